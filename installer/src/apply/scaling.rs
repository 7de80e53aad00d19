//! Replicas that an autoscaler of the release governs: the live number stands, or every install would undo its work
//! (or be refused, since the autoscaler holds the field). Pure.

use std::collections::BTreeSet;

use serde_json::Value;

use super::members::Member;
use crate::handoff::{GroupKind, ObjectKey};

/// The objects that HorizontalPodAutoscalers among the members scale.
///
/// Autoscalers that are not in the release (KEDA makes its own) are not seen: then the release must not set replicas.
pub fn targets(members: &[Member]) -> BTreeSet<ObjectKey> {
    let scalers = members.iter().filter(|one| one.key.kind.is("autoscaling", "HorizontalPodAutoscaler"));
    scalers
        .filter_map(|scaler| {
            let target = &scaler.object["spec"]["scaleTargetRef"];
            let group = target["apiVersion"].as_str()?.split_once('/').map_or("", |(group, _)| group);
            let kind = GroupKind::new(group, target["kind"].as_str()?);
            Some(ObjectKey::new(kind, scaler.key.namespace.clone(), target["name"].as_str()?))
        })
        .collect()
}

/// The object with the live number of replicas; `None` where it sets none, or the same.
/// The field is set to the live value rather than left out: leaving it out would give it up, and where the
/// autoscaler has not taken it yet the server would reset it to 1.
pub fn with_live_replicas(object: &Value, live: &Value) -> Option<Value> {
    let (wanted, now) = (&object["spec"]["replicas"], &live["spec"]["replicas"]);
    if wanted.is_null() || !now.is_number() || wanted == now {
        return None;
    }
    let mut object = object.clone();
    object["spec"]["replicas"] = now.clone();
    Some(object)
}

#[cfg(test)]
mod tests {
    use super::super::stage::Position;
    use super::*;
    use serde_json::json;

    #[test]
    fn an_autoscaler_names_its_target_in_its_own_namespace() {
        let kind = GroupKind::new("autoscaling", "HorizontalPodAutoscaler");
        let object =
            json!({"spec": {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}}});
        let member = Member {
            position: Position::of(&kind, &object),
            key: ObjectKey::new(kind, "n", "scaler"),
            api_version: "autoscaling/v2".into(),
            object,
        };
        let targets: Vec<_> = targets(&[member]).iter().map(ToString::to_string).collect();
        assert_eq!(targets, ["Deployment n/web"]);
    }

    #[test]
    fn the_live_number_stands() {
        let of = |replicas: Value| json!({"spec": {"replicas": replicas}});
        assert_eq!(with_live_replicas(&of(json!(2)), &of(json!(5))), Some(of(json!(5))));
        assert_eq!(with_live_replicas(&of(json!(2)), &of(json!(2))), None);
        assert_eq!(with_live_replicas(&json!({"spec": {}}), &of(json!(5))), None);
        assert_eq!(with_live_replicas(&of(json!(2)), &json!({})), None);
    }
}
