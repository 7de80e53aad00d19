//! Whether another tool already answers for a live object. Two tools on one object undo each other's work.

use serde_json::Value;

use super::applyset::PART_OF;
use crate::handoff::Owner;

/// Labels and annotations by which tools recognise their own objects, and the tool in plain words.
const MARKS: [(&str, &str, Owner, &str); 6] = [
    ("annotations", "argocd.argoproj.io/tracking-id", Owner::ArgoCd, "Argo CD"),
    ("labels", "argocd.argoproj.io/instance", Owner::ArgoCd, "Argo CD"),
    ("labels", "kustomize.toolkit.fluxcd.io/name", Owner::Flux, "Flux"),
    ("labels", "helm.toolkit.fluxcd.io/name", Owner::Flux, "Flux"),
    ("annotations", "objectset.rio.cattle.io/id", Owner::Fleet, "Rancher Fleet or k3s"),
    ("annotations", "meta.helm.sh/release-name", Owner::Helm, "Helm"),
];

/// Field managers under which those tools write, for trackers that leave no mark of their own
/// (Argo CD's older label `app.kubernetes.io/instance` is everybody's).
const MANAGERS: [(&str, &str); 3] =
    [("argocd-controller", "Argo CD"), ("kustomize-controller", "Flux"), ("helm-controller", "Flux")];

/// Somebody else who answers for an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tracker {
    /// Who; `None` for another ApplySet, which nobody takes over.
    pub owner: Option<Owner>,
    /// Who, and the mark by which that shows.
    pub words: String,
}

/// Names who else tracks the live object.
///
/// A mark that the release itself carries with the same value says nothing: an application exported from a
/// controller's repository brings such marks along, and the second install must not refuse the first one's work.
pub fn trackers(live: &Value, desired: &Value, set_id: &str) -> Vec<Tracker> {
    let mut found = Vec::new();
    for (place, mark, owner, tool) in MARKS {
        let value = &live["metadata"][place][mark];
        if value.is_string() && desired["metadata"][place][mark] != *value {
            found.push(Tracker { owner: Some(owner), words: format!("{tool} (it carries {mark})") });
        }
    }
    let part_of = &live["metadata"]["labels"][PART_OF];
    if part_of.as_str().is_some_and(|id| id != set_id) {
        found.push(Tracker { owner: None, words: format!("another ApplySet (it carries {PART_OF})") });
    }
    let entries = live.pointer("/metadata/managedFields").and_then(Value::as_array);
    let applied = entries.into_iter().flatten().filter(|entry| entry.get("subresource").is_none());
    for manager in applied.filter_map(|entry| entry["manager"].as_str()) {
        if let Some((_, tool)) = MANAGERS.iter().find(|(name, _)| *name == manager) {
            let words = format!("{tool} (field manager {manager})");
            found.push(Tracker { owner: Some(Owner::of_manager(manager)), words });
        }
    }
    found
}

/// The merge patch that takes the other tools' marks off an adopted object; `None` where there are none.
/// Without it the other tool, once back, would treat the object as its own again.
pub fn marks_off(live: &Value, desired: &Value) -> Option<Value> {
    let mut patch = serde_json::json!({"metadata": {}});
    let mut any = false;
    for (place, mark, ..) in MARKS {
        if live["metadata"][place][mark].is_string() && !desired["metadata"][place][mark].is_string() {
            patch["metadata"][place][mark] = Value::Null;
            any = true;
        }
    }
    any.then_some(patch)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn marks_managers_and_other_sets_are_seen() {
        let cases = [
            (json!({"annotations": {"argocd.argoproj.io/tracking-id": "a:apps/Deployment:n/x"}}), Some("Argo CD")),
            (json!({"labels": {"kustomize.toolkit.fluxcd.io/name": "a"}}), Some("Flux")),
            (json!({"labels": {"applyset.kubernetes.io/part-of": "theirs"}}), Some("another ApplySet")),
            (json!({"annotations": {"meta.helm.sh/release-name": "web"}}), Some("Helm")),
            (json!({"managedFields": [{"manager": "argocd-controller", "operation": "Update"}]}), Some("Argo CD")),
            (json!({"managedFields": [{"manager": "argocd-controller", "subresource": "status"}]}), None),
            (json!({"labels": {"applyset.kubernetes.io/part-of": "ours", "app.kubernetes.io/instance": "x"}}), None),
            (json!({"managedFields": [{"manager": "kubectl", "operation": "Apply"}]}), None),
        ];
        for (metadata, expected) in cases {
            let found = trackers(&json!({"metadata": metadata}), &json!({}), "ours");
            assert_eq!(found.len(), usize::from(expected.is_some()), "{metadata}");
            assert!(found.iter().all(|one| one.words.starts_with(expected.unwrap_or_default())));
        }
    }

    #[test]
    fn a_mark_that_the_release_brings_is_ours() {
        let live = json!({"metadata": {"labels": {"argocd.argoproj.io/instance": "a"}}});
        assert_eq!(trackers(&live, &live, "ours"), []);
        let other = json!({"metadata": {"labels": {"argocd.argoproj.io/instance": "b"}}});
        assert_eq!(trackers(&live, &other, "ours")[0].owner, Some(Owner::ArgoCd));
    }

    #[test]
    fn adoption_takes_marks_off() {
        let live = json!({"metadata": {"labels": {"helm.toolkit.fluxcd.io/name": "a", "x": "y"}}});
        assert_eq!(
            marks_off(&live, &json!({})).unwrap(),
            json!({"metadata": {"labels": {"helm.toolkit.fluxcd.io/name": null}}})
        );
        assert_eq!(marks_off(&json!({"metadata": {"labels": {"x": "y"}}}), &json!({})), None);
    }
}
