//! Whether the pods that run hold the images that the release pins. Where nothing could be tried beforehand, as in a
//! namespace that came with the release, this is the first that is known of a webhook that exchanges them.

use std::time::Duration;

use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::api_table::ApiTable;
use super::cluster::CallError;
use super::members::Member;
use super::verbs::Selector;
use super::{ApplyError, Cluster, reasons, rewritten, wait};
use crate::handoff::{Event, OnEvent, Unhealthy};
use crate::pod_spec;

/// Pause before a server that did not answer is asked again.
const PAUSE: Duration = Duration::from_secs(1);

/// Looks at pods that run.
pub(super) struct Running<'a> {
    pub(super) cluster: &'a Cluster,
    pub(super) api: &'a ApiTable,
}

impl Running<'_> {
    /// The healthy workloads whose pods run what is not the release's. Where pods may not be listed, that is told.
    ///
    /// # Errors
    /// The server has not answered when the time is over.
    pub(super) async fn exchanged(
        &self,
        members: &[Member],
        deadline: Instant,
        on: &mut OnEvent<'_>,
    ) -> Result<Vec<Unhealthy>, ApplyError> {
        let mut found = Vec::new();
        for member in members.iter().filter(|member| rolled_out(member)) {
            let reason = loop {
                match self.of(member).await {
                    Ok(reason) => break reason,
                    Err(CallError::Said(status)) if status.code == 403 => {
                        let reason = &status.message;
                        on(Event::Note(format!("which images the pods of {} run is not known: {reason}", member.key)));
                        break None;
                    }
                    Err(error) if Instant::now() >= deadline || wait::is_final(&error) => {
                        return Err(self.cluster.failed(error));
                    }
                    Err(_) => sleep(PAUSE).await,
                }
            };
            found.extend(reason.map(|reason| Unhealthy { key: member.key.clone(), reason, failed: true }));
        }
        Ok(found)
    }

    async fn of(&self, member: &Member) -> Result<Option<String>, CallError> {
        let (Some(kind), Some(labels)) = (self.api.get("v1", "Pod"), reasons::pod_selector(&member.object)) else {
            return Ok(None);
        };
        let selector = Selector { labels: &labels, fields: "" };
        let pods = self.cluster.list(kind, &member.key.namespace, &selector).await?;
        Ok(pods.iter().find_map(|pod| other_images(member, pod)))
    }
}

/// Whether all pods of a healthy workload are of its newest template. Where an update waits for a person or stops at
/// a partition, older ones run rightly, and where it makes new pods before the old ones go, for a moment more.
fn rolled_out(member: &Member) -> bool {
    let spec = &member.object["spec"];
    let kind = &member.key.kind;
    let (strategy, rolling) = (&spec["updateStrategy"], &spec["updateStrategy"]["rollingUpdate"]);
    let says = |field: &str| !(rolling[field].is_null() || rolling[field] == 0 || rolling[field] == "0%");
    let waits = strategy["type"] == "OnDelete" || says("partition") || says("maxSurge");
    kind.is("apps", "Deployment") || ((kind.is("apps", "StatefulSet") || kind.is("apps", "DaemonSet")) && !waits)
}

/// What is wrong with the images of one pod; `None` where nothing is, and of pods of others or on their way out.
fn other_images(member: &Member, pod: &Value) -> Option<String> {
    let name = pod["metadata"]["name"].as_str().unwrap_or("?");
    let owners = pod["metadata"]["ownerReferences"].as_array();
    let is_ours = owners.into_iter().flatten().any(|owner| {
        let by = owner["name"].as_str().unwrap_or_default();
        match member.key.kind.kind.as_str() {
            // Its ReplicaSets are named after it and a hash of the template.
            "Deployment" => {
                let hash = by.strip_prefix(member.key.name.as_str()).and_then(|rest| rest.strip_prefix('-'));
                owner["kind"] == "ReplicaSet" && hash.is_some_and(|hash| !hash.contains('-'))
            }
            kind => owner["kind"] == kind && by == member.key.name,
        }
    });
    if !is_ours || pod["metadata"]["deletionTimestamp"].is_string() {
        return None;
    }
    let template = pod_spec::pod_of(&member.key, &member.object)?;
    let others = rewritten::exchanged(&rewritten::between(template, pod))?;
    Some(format!("pod {name} runs other images than the release's: {others}"))
}

#[cfg(test)]
mod tests {
    use super::super::stage::Position;
    use super::*;
    use crate::handoff::ObjectKey;
    use serde_json::json;

    fn member(kind: &str, strategy: &Value) -> Member {
        let object = json!({"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": "web", "namespace": "n"},
            "spec": {"updateStrategy": strategy, "selector": {"matchLabels": {"app": "web"}},
                "template": {"spec": {"containers": [{"name": "app", "image": "a:1@sha256:11"}]}}}});
        let key = ObjectKey::of(&object).unwrap();
        let position = Position::of(&key.kind, &object);
        Member { key, api_version: "apps/v1".into(), position, object, is_hook: false }
    }

    fn pod(owner: (&str, &str), image: &str) -> Value {
        json!({"metadata": {"name": "web-x", "ownerReferences": [{"kind": owner.0, "name": owner.1}]},
            "spec": {"containers": [{"name": "app", "image": image}]}})
    }

    #[test]
    fn a_pod_of_the_workloads_own_must_hold_its_images() {
        let says = "pod web-x runs other images than the release's: a:1@sha256:11 becomes b:1";
        let (deployment, set) = (member("Deployment", &Value::Null), member("StatefulSet", &Value::Null));
        for (member, owner, image, expected) in [
            (&deployment, ("ReplicaSet", "web-5d8f"), "b:1", Some(says)),
            (&deployment, ("ReplicaSet", "web-5d8f"), "mirror/a@sha256:11", None),
            (&deployment, ("ReplicaSet", "web-admin-5d8f"), "b:1", None),
            (&deployment, ("Job", "web-5d8f"), "b:1", None),
            (&set, ("StatefulSet", "web"), "b:1", Some(says)),
            (&set, ("StatefulSet", "web-2"), "b:1", None),
        ] {
            assert_eq!(other_images(member, &pod(owner, image)).as_deref(), expected, "{owner:?} {image}");
        }
        let mut leaving = pod(("StatefulSet", "web"), "b:1");
        leaving["metadata"]["deletionTimestamp"] = json!("now");
        assert_eq!(other_images(&set, &leaving), None);
    }

    #[test]
    fn where_older_pods_run_rightly_none_is_judged() {
        for (kind, strategy, expected) in [
            ("Deployment", json!(null), true),
            ("DaemonSet", json!({"type": "RollingUpdate"}), true),
            ("DaemonSet", json!({"type": "OnDelete"}), false),
            ("DaemonSet", json!({"rollingUpdate": {"maxUnavailable": 1, "maxSurge": "0%"}}), true),
            ("DaemonSet", json!({"rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}}), false),
            ("StatefulSet", json!({"rollingUpdate": {"partition": 0, "maxUnavailable": 1}}), true),
            ("StatefulSet", json!({"type": "RollingUpdate", "rollingUpdate": {"partition": 2}}), false),
            ("Job", json!(null), false),
        ] {
            assert_eq!(rolled_out(&member(kind, &strategy)), expected, "{kind} {strategy}");
        }
    }
}
