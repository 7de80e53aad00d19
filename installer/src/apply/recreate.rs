//! Which objects may be deleted and made anew where a field that never changes would have to change.
//!
//! Only what its author has marked, in our words, Argo CD's or Flux's; never what holds state or takes others along.

use serde_json::Value;

use super::{Direction, prune};
use crate::handoff::GroupKind;

/// Annotations by which an author allows it.
const ALLOWED: [(&str, &[&str]); 3] = [
    ("consign.dev/recreate", &["on-immutable"]),
    ("argocd.argoproj.io/sync-options", &["Force=true", "Replace=true"]),
    ("kustomize.toolkit.fluxcd.io/force", &["enabled", "Enabled"]),
];

/// What allows to recreate an object; `None` where nothing does. Going back, what the release that is left has marked
/// counts too: it has recreated the object on the way in.
pub(super) fn allowed(kind: &GroupKind, desired: &Value, live: &Value, direction: Direction) -> Option<String> {
    if prune::holds_state(kind) {
        return None;
    }
    let left = (direction == Direction::Back).then_some(live);
    [Some(desired), left].into_iter().flatten().find_map(said)
}

fn said(object: &Value) -> Option<String> {
    ALLOWED.iter().find_map(|(name, values)| {
        let found = object["metadata"]["annotations"][name].as_str()?;
        let said = found.split(',').map(str::trim).find(|part| values.contains(part))?;
        Some(format!("{name} says {said}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn marked(name: &str, value: &str) -> Value {
        json!({"metadata": {"annotations": {name: value}}})
    }

    #[test]
    fn only_what_is_marked_and_never_what_holds_state() {
        let job = GroupKind::new("batch", "Job");
        let plain = json!({"metadata": {}});
        for (name, value, good) in [
            ("consign.dev/recreate", "on-immutable", true),
            ("argocd.argoproj.io/sync-options", "Prune=false, Replace=true", true),
            ("argocd.argoproj.io/sync-options", "Force=true", true),
            ("kustomize.toolkit.fluxcd.io/force", "enabled", true),
            ("kustomize.toolkit.fluxcd.io/force", "disabled", false),
            ("consign.dev/recreate", "always", false),
        ] {
            let desired = marked(name, value);
            assert_eq!(allowed(&job, &desired, &plain, Direction::Forward).is_some(), good, "{name}: {value}");
            assert_eq!(allowed(&job, &plain, &desired, Direction::Forward), None, "only the release says so");
            assert_eq!(allowed(&job, &plain, &desired, Direction::Back).is_some(), good, "{name}: {value}");
            for kind in [
                "PersistentVolumeClaim",
                "PersistentVolume",
                "Namespace",
                "CustomResourceDefinition.apiextensions.k8s.io",
            ] {
                assert_eq!(allowed(&GroupKind::from_dotted(kind), &desired, &desired, Direction::Back), None);
            }
        }
    }
}
