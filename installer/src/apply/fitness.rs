//! Whether the cluster is one that the release was built for: its version, its APIs, the platforms of its nodes.
//!
//! Asked on the way to a release, never on the way back: what ran before is fit, and an emergency is no time for doubts.

use std::collections::BTreeSet;

use serde_json::Value;

use super::api_table::ApiTable;
use super::cluster::CallError;
use super::error::Refusal;
use super::members::{self, Member};
use super::verbs::Selector;
use super::{ApplyError, Cluster, inventory};
use crate::handoff::{Event, Needs, OnEvent};
use crate::pod_spec;

/// Holds a cluster against what a release needs.
pub(super) struct Fitness<'a> {
    pub(super) cluster: &'a Cluster,
    pub(super) api: &'a ApiTable,
    pub(super) needs: &'a Needs,
    pub(super) members: &'a [Member],
}

impl Fitness<'_> {
    /// Checks all; each finding names everything of its sort.
    pub(super) async fn check(&self, on: &mut OnEvent<'_>) -> Result<(), ApplyError> {
        self.version(on)?;
        self.apis()?;
        self.platforms(on).await
    }

    /// What was rendered for a newer Kubernetes may hold fields that an older one drops without a word.
    fn version(&self, on: &mut OnEvent<'_>) -> Result<(), ApplyError> {
        let runs = self.cluster.version();
        let Some(wanted) = &self.needs.kubernetes else { return Ok(()) };
        match (minor(runs), minor(wanted)) {
            (Some(is), Some(meant)) if is < meant => {
                Err(ApplyError::TooOld { version: runs.to_owned(), minimum: wanted.clone() })
            }
            (Some(is), Some(meant)) if is > meant => {
                on(Event::Note(format!("the release was rendered for Kubernetes {wanted}, the cluster runs {runs}")));
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn apis(&self) -> Result<(), ApplyError> {
        let brought = members::definitions(self.members.iter().map(|member| &member.object));
        let is_there = |wanted: &&String| {
            let mut parts = wanted.splitn(3, '/');
            let (group, version, kind) = (parts.next(), parts.next(), parts.next());
            let api = [group, version].into_iter().flatten().collect::<Vec<_>>().join("/");
            self.api.serves(&api, kind)
                || brought.keys().any(|(version, one)| *version == api && kind.is_none_or(|kind| kind == one))
        };
        let missing = self.needs.apis.iter().filter(|wanted| !is_there(wanted));
        let missing: Vec<_> = missing.map(|wanted| format!("{wanted} (the release was rendered for it)")).collect();
        if missing.is_empty() { Ok(()) } else { Err(ApplyError::ApiMissing { missing }) }
    }

    /// A pod needs a node whose platform all its images are for; a DaemonSet needs that of every node it may run on.
    /// Affinities and taints are not read.
    async fn platforms(&self, on: &mut OnEvent<'_>) -> Result<(), ApplyError> {
        let pods: Vec<_> = self.members.iter().filter_map(|one| Some((one, self.wanted(one)?))).collect();
        if pods.is_empty() {
            return Ok(());
        }
        let nodes = self.cluster.list(inventory::served(self.api, "Node")?, "", &Selector::default()).await;
        let nodes = match nodes {
            Ok(nodes) => nodes,
            Err(CallError::Said(status)) if status.code == 403 => {
                on(Event::Note("nodes may not be listed; whether images fit their platforms is not known".to_owned()));
                return Ok(());
            }
            Err(error) => return Err(self.cluster.failed(error)),
        };
        let mut unfit = Vec::new();
        for (member, wanted) in pods {
            let Some((reason, grave)) = unfitness(member, &wanted, &nodes) else { continue };
            if grave {
                unfit.push(Refusal { key: member.key.clone(), reason });
            } else {
                on(Event::Note(format!("{}: {reason}", member.key)));
            }
        }
        if unfit.is_empty() { Ok(()) } else { Err(ApplyError::NodePlatform { objects: unfit }) }
    }

    /// The platforms that all images of a member's pods are for; `None` where there are no pods, or nothing is known.
    fn wanted(&self, member: &Member) -> Option<BTreeSet<String>> {
        let pod = pod_spec::pod_of(&member.key, &member.object)?;
        let known = pod_spec::images(pod).filter_map(|image| self.needs.images.find(image));
        known
            .filter(|platforms| !platforms.is_empty())
            .map(|platforms| platforms.iter().cloned().collect::<BTreeSet<_>>())
            .reduce(|all, one| &all & &one)
    }
}

/// What is wrong, and whether the pods cannot run at all.
fn unfitness(member: &Member, wanted: &BTreeSet<String>, nodes: &[Value]) -> Option<(String, bool)> {
    let pod = pod_spec::pod_of(&member.key, &member.object)?;
    let chosen: Vec<&Value> = nodes.iter().filter(|node| selects(pod, node)).collect();
    let strange: BTreeSet<String> =
        chosen.iter().map(|node| platform(node)).filter(|one| !is_for(wanted.iter(), one)).collect();
    if strange.is_empty() {
        return None;
    }
    let all = chosen.iter().all(|node| !is_for(wanted.iter(), &platform(node)));
    let carried = wanted.iter().cloned().collect::<Vec<_>>().join(", ");
    let found = strange.into_iter().collect::<Vec<_>>().join(", ");
    let carried = if carried.is_empty() { "no platform in common".to_owned() } else { carried };
    let reason = format!("its images are for {carried}, and it may come to nodes of {found}");
    Some((reason, all || member.key.kind.is("apps", "DaemonSet")))
}

/// Whether a pod's `nodeSelector` lets it come to a node.
pub(super) fn selects(pod: &Value, node: &Value) -> bool {
    let selector = pod["spec"]["nodeSelector"].as_object();
    selector.into_iter().flatten().all(|(name, value)| node["metadata"]["labels"][name] == *value)
}

/// The platform of a node, as images name theirs.
pub(super) fn platform(node: &Value) -> String {
    let info = |name: &str| node["status"]["nodeInfo"][name].as_str().unwrap_or("?").to_owned();
    format!("{}/{}", info("operatingSystem"), info("architecture"))
}

/// A node does not say its variant: `linux/arm64` runs `linux/arm64/v8`.
pub(super) fn is_for<'a>(mut wanted: impl Iterator<Item = &'a String>, node: &str) -> bool {
    wanted.any(|one| one == node || one.strip_prefix(node).is_some_and(|rest| rest.starts_with('/')))
}

/// Major and minor of `v1.33.2+k3s1` or `1.33`.
fn minor(version: &str) -> Option<(u32, u32)> {
    let mut parts = version.trim_start_matches('v').split(['.', '-', '+']).map(str::parse);
    match (parts.next(), parts.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => Some((major, minor)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::stage::Position;
    use super::*;
    use crate::handoff::ObjectKey;
    use serde_json::json;

    fn member(kind: &str, selector: Value) -> Member {
        let object = json!({"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": "a", "namespace": "n"},
            "spec": {"template": {"spec": {"nodeSelector": selector, "containers": []}}}});
        let key = ObjectKey::of(&object).unwrap();
        let position = Position::of(&key.kind, &object);
        Member { key, api_version: "apps/v1".into(), position, object, is_hook: false }
    }

    fn node(arch: &str) -> Value {
        json!({"metadata": {"labels": {"kubernetes.io/arch": arch}},
            "status": {"nodeInfo": {"operatingSystem": "linux", "architecture": arch}}})
    }

    #[test]
    fn pods_need_a_node_and_daemons_need_all() {
        let wanted = |platforms: &[&str]| platforms.iter().map(|one| (*one).to_owned()).collect::<BTreeSet<_>>();
        let both = [node("amd64"), node("arm64")];
        let arm = json!({"kubernetes.io/arch": "arm64"});
        for (kind, selector, platforms, grave) in [
            ("Deployment", json!({}), vec!["linux/amd64", "linux/arm64/v8"], None),
            ("Deployment", json!({}), vec!["linux/amd64"], Some(false)),
            ("Deployment", arm.clone(), vec!["linux/amd64"], Some(true)),
            ("Deployment", arm.clone(), vec!["linux/arm64"], None),
            ("Deployment", json!({}), vec!["linux/s390x"], Some(true)),
            ("Deployment", json!({}), vec![], Some(true)),
            ("DaemonSet", json!({}), vec!["linux/amd64"], Some(true)),
            ("DaemonSet", arm, vec!["linux/arm64"], None),
        ] {
            let found = unfitness(&member(kind, selector), &wanted(&platforms), &both);
            assert_eq!(found.as_ref().map(|(_, grave)| *grave), grave, "{kind} {platforms:?}: {found:?}");
        }
        assert_eq!(unfitness(&member("Deployment", json!({})), &wanted(&["linux/s390x"]), &[]), None);
    }

    #[test]
    fn versions_are_compared_by_minor() {
        assert_eq!(minor("v1.33.2+k3s1"), Some((1, 33)));
        assert_eq!(minor("1.9"), Some((1, 9)));
        assert_eq!(minor("latest"), None);
    }
}
