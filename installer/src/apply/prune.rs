//! What left the release leaves the cluster: decided here, purely; carried out by the inventory.
//!
//! Never decides to delete what holds state without a signed `allowPrune`, nor what its author asked to keep.

use std::collections::BTreeSet;

use consign_format::depends::ObjectId;
use serde_json::Value;

use super::Direction;
use super::depends;
use super::hooks::{self, Hook};
use super::stage::Position;
use crate::handoff::{GroupKind, ObjectKey};

/// A live object that carries the set's label and is no longer desired.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Leftover {
    pub(crate) key: ObjectKey,
    pub(crate) uid: String,
    /// Why it stays; `None` where it goes.
    pub(crate) kept: Option<String>,
    position: Position,
    /// What it depended on.
    needs: Vec<ObjectId>,
}

/// Kinds that hold state, or whose removal takes everything in them along.
const HOLDS_STATE: [(&str, &str); 4] = [
    ("", "PersistentVolumeClaim"),
    ("", "PersistentVolume"),
    ("", "Namespace"),
    ("apiextensions.k8s.io", "CustomResourceDefinition"),
];

/// Annotations by which an author says "do not prune this", in the tongues of the tools.
const OPT_OUTS: [(&str, &[&str]); 6] = [
    (super::secrets::GENERATED, &["true"]),
    ("argocd.argoproj.io/sync-options", &["Prune=false", "Delete=false"]),
    ("kustomize.toolkit.fluxcd.io/prune", &["disabled"]),
    ("helm.sh/resource-policy", &["keep"]),
    ("client.lifecycle.config.k8s.io/deletion", &["detach"]),
    ("cli-utils.sigs.k8s.io/on-remove", &["keep"]),
];

/// Decides about one labelled object of a kind. `None` where it is desired, or where a controller made it
/// and copied the label (as for the EndpointSlices of a labelled Service).
pub(crate) fn decide(
    kind: &GroupKind,
    metadata: &Value,
    desired: (&BTreeSet<String>, &BTreeSet<ObjectKey>),
    allow_prune: &[String],
    direction: Direction,
) -> Option<Leftover> {
    let text = |name: &str| metadata[name].as_str().unwrap_or_default().to_owned();
    let key = ObjectKey::new(kind.clone(), text("namespace"), text("name"));
    let uid = text("uid");
    let owners = metadata["ownerReferences"].as_array();
    let controlled = owners.into_iter().flatten().any(|owner| owner["controller"] == true);
    // The Endpoints of a Service carry its labels and have no owner.
    let service = ObjectKey::new(GroupKind::new("", "Service"), key.namespace.clone(), key.name.clone());
    let endpoints = kind.is("", "Endpoints") && desired.1.contains(&service);
    if uid.is_empty() || controlled || endpoints || desired.0.contains(&uid) || desired.1.contains(&key) {
        return None;
    }
    let left_by_failure = || {
        let hook = hooks::read(&metadata["annotations"]) != Hook::None;
        (hook && direction == Direction::Back).then(|| "kept: a hook of the release that is left".to_owned())
    };
    let kept = opted_out(metadata).or_else(|| kept_for_state(kind, allow_prune)).or_else(left_by_failure);
    let position = Position::of(kind, &serde_json::json!({"metadata": {"annotations": metadata["annotations"]}}));
    let needs = depends::named(&metadata["annotations"]).unwrap_or_default();
    Some(Leftover { key, uid, kept, position, needs })
}

/// Puts what goes in the reverse of the order in which it came.
pub(crate) fn in_order(mut leftovers: Vec<Leftover>) -> Vec<Leftover> {
    let mut places: Vec<_> =
        leftovers.iter_mut().map(|one| (depends::id(&one.key), std::mem::take(&mut one.needs), one.position)).collect();
    depends::arrange_live(&mut places);
    for (leftover, (_, _, position)) in leftovers.iter_mut().zip(places) {
        leftover.position = position;
    }
    leftovers.sort_by(|a, b| (b.position, &b.key).cmp(&(a.position, &a.key)));
    leftovers
}

fn opted_out(metadata: &Value) -> Option<String> {
    OPT_OUTS.iter().find_map(|(name, values)| {
        let found = metadata["annotations"][name].as_str()?;
        let said = found.split(',').map(str::trim).find(|part| values.contains(part))?;
        Some(format!("kept: {name} says {said}"))
    })
}

/// Whether objects of a kind hold state, or take others along when they go.
pub(crate) fn holds_state(kind: &GroupKind) -> bool {
    HOLDS_STATE.iter().any(|(group, name)| kind.is(group, name))
}

fn kept_for_state(kind: &GroupKind, allow_prune: &[String]) -> Option<String> {
    let allowed = allow_prune.iter().any(|one| *one == kind.to_dotted() || *one == kind.kind);
    (holds_state(kind) && !allowed).then(|| format!("kept: a {kind} is pruned only where the release allows it"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn decided(kind: &str, metadata: Value, allow: &[&str]) -> Option<Option<String>> {
        let allow: Vec<_> = allow.iter().map(|one| one.to_string()).collect();
        let uids = BTreeSet::from(["desired".to_owned()]);
        let keys = BTreeSet::from([ObjectKey::new(GroupKind::new("", "Service"), "n", "web")]);
        decide(&GroupKind::from_dotted(kind), &metadata, (&uids, &keys), &allow, Direction::Forward).map(|one| one.kept)
    }

    #[test]
    fn what_is_desired_or_made_by_a_controller_is_no_leftover() {
        for (kind, metadata) in [
            ("ConfigMap", json!({"name": "a", "namespace": "n", "uid": "desired"})),
            ("ConfigMap", json!({"name": "a", "namespace": "n"})),
            ("Service", json!({"name": "web", "namespace": "n", "uid": "x"})),
            ("Endpoints", json!({"name": "web", "namespace": "n", "uid": "x"})),
            (
                "EndpointSlice.discovery.k8s.io",
                json!({"name": "a", "namespace": "n", "uid": "x", "ownerReferences": [{"controller": true}]}),
            ),
        ] {
            assert_eq!(decided(kind, metadata, &[]), None, "{kind}");
        }
    }

    #[test]
    fn what_holds_state_stays_unless_allowed() {
        let claim = || json!({"name": "data", "namespace": "n", "uid": "x"});
        for kind in
            ["PersistentVolumeClaim", "PersistentVolume", "Namespace", "CustomResourceDefinition.apiextensions.k8s.io"]
        {
            assert!(decided(kind, claim(), &[]).unwrap().unwrap().starts_with("kept: a "), "{kind}");
            assert_eq!(decided(kind, claim(), &[kind]).unwrap(), None, "{kind}");
        }
        assert!(decided("PersistentVolumeClaim", claim(), &["PersistentVolume"]).unwrap().is_some());
        assert_eq!(decided("ConfigMap", claim(), &[]).unwrap(), None);
    }

    #[test]
    fn every_tools_opt_out_is_honoured() {
        for (name, value, keeps) in [
            ("argocd.argoproj.io/sync-options", "Validate=false, Prune=false", true),
            ("argocd.argoproj.io/sync-options", "Delete=false", true),
            ("argocd.argoproj.io/sync-options", "Prune=true", false),
            ("kustomize.toolkit.fluxcd.io/prune", "disabled", true),
            ("helm.sh/resource-policy", "keep", true),
            ("client.lifecycle.config.k8s.io/deletion", "detach", true),
            ("cli-utils.sigs.k8s.io/on-remove", "keep", true),
            ("consign.dev/generated", "true", true),
            ("helm.sh/resource-policy", "delete", false),
        ] {
            let metadata = json!({"name": "a", "namespace": "n", "uid": "x", "annotations": {name: value}});
            assert_eq!(decided("ConfigMap", metadata, &["ConfigMap"]).unwrap().is_some(), keeps, "{name}={value}");
        }
    }

    #[test]
    fn going_back_leaves_hooks_for_those_who_look_for_the_cause() {
        let metadata = json!({"name": "a", "uid": "x", "annotations": {"helm.sh/hook": "pre-upgrade"}});
        let kept = |direction| {
            let none = (&BTreeSet::new(), &BTreeSet::new());
            decide(&GroupKind::from_dotted("Job.batch"), &metadata, none, &[], direction).unwrap().kept
        };
        assert_eq!(kept(Direction::Forward), None);
        assert_eq!(kept(Direction::Back).unwrap(), "kept: a hook of the release that is left");
    }

    #[test]
    fn the_last_applied_goes_first() {
        let leftover = |kind: &str| {
            let metadata = json!({"name": "a", "uid": kind});
            let none = (&BTreeSet::new(), &BTreeSet::new());
            decide(&GroupKind::from_dotted(kind), &metadata, none, &[], Direction::Forward).unwrap()
        };
        let order =
            in_order(["ConfigMap", "ClusterRole.rbac.authorization.k8s.io", "Deployment.apps"].map(leftover).into());
        let kinds: Vec<_> = order.iter().map(|one| one.key.kind.kind.as_str()).collect();
        assert_eq!(kinds, ["Deployment", "ConfigMap", "ClusterRole"]);

        // By what they depended on; a circle that somebody made of it asks for nothing.
        let map = |name: &str, on: &str| {
            let annotations = json!({"config.kubernetes.io/depends-on": on});
            let metadata = json!({"name": name, "uid": name, "namespace": "n", "annotations": annotations});
            let none = (&BTreeSet::new(), &BTreeSet::new());
            decide(&GroupKind::from_dotted("ConfigMap"), &metadata, none, &[], Direction::Forward).unwrap()
        };
        let on = |name: &str| format!("/namespaces/n/ConfigMap/{name},/namespaces/n/ConfigMap/gone");
        let names = |list: Vec<Leftover>| in_order(list).into_iter().map(|one| one.key.name).collect::<Vec<_>>();
        assert_eq!(names(vec![map("a", &on("b")), map("b", &on("c")), map("c", "what")]), ["a", "b", "c"]);
        assert_eq!(names(vec![map("a", &on("b")), map("b", &on("a"))]), ["b", "a"]);
    }
}
