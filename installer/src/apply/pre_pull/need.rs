//! Which images must be on which nodes before a release is applied: from its pods and the nodes there are. Pure.

use std::collections::{BTreeMap, BTreeSet};

use consign_format::Reference;
use serde_json::Value;

use super::super::fitness;
use super::super::members::Member;
use crate::images::Brought;
use crate::pod_spec;

/// An image that pods of one namespace run, and where.
#[derive(Debug)]
pub(super) struct Wanted<'a> {
    /// As the pods name it.
    pub(super) image: &'a str,
    /// The namespace of the pods.
    pub(super) namespace: &'a str,
    /// The members whose pods run it.
    members: Vec<&'a Member>,
    /// The platforms that the image is for; none where nobody said.
    platforms: &'a [String],
}

/// The images of a release's pods that can be pulled before it is applied, and those that cannot: what has no digest in
/// its name is, until then, another image.
pub(super) fn wanted<'a>(members: &'a [Member], brought: &'a Brought) -> (Vec<Wanted<'a>>, BTreeSet<&'a str>) {
    let (mut found, mut floating) = (BTreeMap::<(&str, &str), Wanted<'_>>::new(), BTreeSet::new());
    for member in members {
        let pod = pod_spec::pod_of(&member.key, &member.object);
        let containers = pod.into_iter().flat_map(pod_spec::containers);
        for image in containers.filter_map(|container| container["image"].as_str()) {
            if !image.parse::<Reference>().is_ok_and(|reference| reference.digest.is_some()) {
                floating.insert(image);
                continue;
            }
            let namespace = member.key.namespace.as_str();
            let platforms = brought.find(image).unwrap_or_default();
            let one = found.entry((namespace, image));
            let one = one.or_insert_with(|| Wanted { image, namespace, members: Vec::new(), platforms });
            one.members.push(member);
        }
    }
    (found.into_values().collect(), floating)
}

impl<'a> Wanted<'a> {
    /// The pods that run it.
    pub(super) fn pods(&self) -> impl Iterator<Item = &'a Value> {
        self.members.iter().filter_map(|member| pod_spec::pod_of(&member.key, &member.object))
    }

    /// Whether a pod that runs it may come to a node for which it is.
    pub(super) fn is_for(&self, node: &Value, alike: bool) -> bool {
        // Where nobody said which platform it is for, it is tried only where there is but one to be for.
        let fits = if self.platforms.is_empty() {
            alike
        } else {
            fitness::is_for(self.platforms.iter(), &fitness::platform(node))
        };
        fits && self.members.iter().any(|member| may_come(member, node))
    }
}

/// Whether all nodes are of one platform.
pub(super) fn alike(nodes: &[&Value]) -> bool {
    nodes.iter().map(|node| fitness::platform(node)).collect::<BTreeSet<_>>().len() < 2
}

/// Why nothing is brought to a node; `None` where pods come to it.
pub(super) fn out_of_use(node: &Value) -> Option<&'static str> {
    let ready = super::super::health::condition(node, "Ready").is_some_and(|one| one["status"] == "True");
    if !ready {
        Some("it is not ready")
    } else if node["spec"]["unschedulable"] == true {
        Some("it takes no new pods")
    } else if node["status"]["nodeInfo"]["operatingSystem"] != "linux" {
        Some("it does not run Linux")
    } else {
        None
    }
}

/// Whether a node selector and the taints let a member's pods come to a node. Affinities are not read.
fn may_come(member: &Member, node: &Value) -> bool {
    let Some(pod) = pod_spec::pod_of(&member.key, &member.object) else { return false };
    let fixed = pod["spec"]["nodeName"].as_str();
    let taints = node["spec"]["taints"].as_array().into_iter().flatten();
    fixed.is_none_or(|name| node["metadata"]["name"] == *name)
        && fitness::selects(pod, node)
        && taints.into_iter().all(|taint| is_tolerated(taint, member, pod))
}

fn is_tolerated(taint: &Value, member: &Member, pod: &Value) -> bool {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    // Its controller adds what a DaemonSet's pods tolerate of a node's own troubles.
    let own = member.key.kind.is("apps", "DaemonSet") && text(&taint["key"]).starts_with("node.kubernetes.io/");
    if own || taint["effect"] == "PreferNoSchedule" {
        return true;
    }
    pod["spec"]["tolerations"].as_array().into_iter().flatten().any(|one| {
        let exists = one["operator"] == "Exists";
        let any_key = text(&one["key"]).is_empty() && exists;
        let any_effect = text(&one["effect"]).is_empty();
        (any_key || one["key"] == taint["key"])
            && (exists || text(&one["value"]) == text(&taint["value"]))
            && (any_effect || one["effect"] == taint["effect"])
    })
}

#[cfg(test)]
mod tests {
    use super::super::super::stage::Position;
    use super::*;
    use crate::handoff::ObjectKey;
    use consign_format::Digest;
    use consign_format::release::Image;
    use serde_json::json;

    fn pinned(name: &str) -> String {
        format!("registry.example/{name}:1@{}", Digest::of(name.as_bytes()))
    }

    fn member(kind: &str, spec: Value) -> Member {
        let object = json!({"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": "a", "namespace": "n"},
            "spec": {"template": {"spec": spec}}});
        let key = ObjectKey::of(&object).unwrap();
        let position = Position::of(&key.kind, &object);
        Member { key, api_version: "apps/v1".into(), position, object, is_hook: false }
    }

    fn brought(name: &str, platforms: &[&str]) -> Brought {
        let digest = Digest::of(name.as_bytes());
        let platforms = platforms.iter().map(|one| (*one).to_owned()).collect();
        Brought::of(&[Image {
            reference: pinned(name),
            digest,
            platforms,
            referrers: Vec::new(),
            found_in: Vec::new(),
        }])
    }

    fn node(arch: &str, more: Value) -> Value {
        json!({"metadata": {"name": arch, "labels": {"disk": "ssd"}}, "spec": more,
            "status": {"nodeInfo": {"operatingSystem": "linux", "architecture": arch},
                "conditions": [{"type": "Ready", "status": "True"}]}})
    }

    #[test]
    fn an_image_is_wanted_once_in_a_namespace_and_what_floats_is_named() {
        let spec = json!({"initContainers": [{"image": pinned("web")}],
            "containers": [{"image": pinned("web")}, {"image": "registry.example/web:1"}]});
        let members = [member("Deployment", spec.clone()), member("StatefulSet", spec)];
        let brought = Brought::default();
        let (wanted, floating) = wanted(&members, &brought);
        assert_eq!(wanted.len(), 1);
        assert_eq!(wanted[0].members.len(), 4);
        assert_eq!(floating, BTreeSet::from(["registry.example/web:1"]));
    }

    #[test]
    fn it_is_pulled_where_its_pods_may_come_and_it_is_for_the_node() {
        let taint = |key: &str, effect: &str| json!({"taints": [{"key": key, "value": "x", "effect": effect}]});
        let tolerates = |one: Value| json!({"tolerations": [one]});
        let own = "node.kubernetes.io/disk-pressure";
        for (kind, pod, platforms, node, expected) in [
            ("Deployment", json!({}), vec!["linux/amd64"], node("amd64", json!({})), true),
            ("Deployment", json!({}), vec!["linux/amd64"], node("arm64", json!({})), false),
            ("Deployment", json!({}), vec!["linux/amd64", "linux/arm64/v8"], node("arm64", json!({})), true),
            (
                "Deployment",
                json!({"nodeSelector": {"disk": "hdd"}}),
                vec!["linux/amd64"],
                node("amd64", json!({})),
                false,
            ),
            (
                "Deployment",
                json!({"nodeSelector": {"disk": "ssd"}}),
                vec!["linux/amd64"],
                node("amd64", json!({})),
                true,
            ),
            ("Deployment", json!({"nodeName": "other"}), vec!["linux/amd64"], node("amd64", json!({})), false),
            ("Deployment", json!({}), vec!["linux/amd64"], node("amd64", taint("gpu", "NoSchedule")), false),
            ("Deployment", json!({}), vec!["linux/amd64"], node("amd64", taint("gpu", "PreferNoSchedule")), true),
            (
                "Deployment",
                tolerates(json!({"operator": "Exists"})),
                vec!["linux/amd64"],
                node("amd64", taint("gpu", "NoExecute")),
                true,
            ),
            (
                "Deployment",
                tolerates(json!({"key": "gpu", "value": "x"})),
                vec!["linux/amd64"],
                node("amd64", taint("gpu", "NoSchedule")),
                true,
            ),
            (
                "Deployment",
                tolerates(json!({"key": "gpu", "value": "y"})),
                vec!["linux/amd64"],
                node("amd64", taint("gpu", "NoSchedule")),
                false,
            ),
            (
                "Deployment",
                tolerates(json!({"key": "gpu", "operator": "Exists", "effect": "NoExecute"})),
                vec!["linux/amd64"],
                node("amd64", taint("gpu", "NoSchedule")),
                false,
            ),
            ("Deployment", json!({}), vec!["linux/amd64"], node("amd64", taint(own, "NoSchedule")), false),
            ("DaemonSet", json!({}), vec!["linux/amd64"], node("amd64", taint(own, "NoSchedule")), true),
        ] {
            let mut spec = pod.clone();
            spec["containers"] = json!([{"image": pinned("web")}]);
            let (members, brought) = ([member(kind, spec)], brought("web", &platforms));
            let (wanted, _) = wanted(&members, &brought);
            assert_eq!(wanted[0].is_for(&node, true), expected, "{kind} {pod} {platforms:?} {node}");
        }
    }

    #[test]
    fn an_image_of_unknown_platform_is_tried_where_all_nodes_are_alike() {
        let members = [member("Deployment", json!({"containers": [{"image": pinned("web")}]}))];
        let brought = Brought::default();
        let (wanted, _) = wanted(&members, &brought);
        let (amd, arm) = (node("amd64", json!({})), node("arm64", json!({})));
        assert!(wanted[0].is_for(&amd, alike(&[&amd, &amd])));
        assert!(!wanted[0].is_for(&amd, alike(&[&amd, &arm])));
    }

    #[test]
    fn nodes_that_take_no_pods_are_left_out() {
        assert_eq!(out_of_use(&node("amd64", json!({}))), None);
        assert_eq!(out_of_use(&node("amd64", json!({"unschedulable": true}))), Some("it takes no new pods"));
        let mut down = node("amd64", json!({}));
        down["status"]["conditions"][0]["status"] = json!("Unknown");
        assert_eq!(out_of_use(&down), Some("it is not ready"));
        let mut windows = node("amd64", json!({}));
        windows["status"]["nodeInfo"]["operatingSystem"] = json!("windows");
        assert_eq!(out_of_use(&windows), Some("it does not run Linux"));
    }
}
