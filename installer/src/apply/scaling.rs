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

/// The object as it has to be applied so that the live number of replicas stands; `None` where it is right as it is.
///
/// Once the autoscaler has scaled, it holds the field, and the object leaves it out. Before that the field is ours:
/// leaving it out would give it up, and the server would reset it to 1; so it says what is live.
pub fn with_live_replicas(object: &Value, live: &Value, manager: &str) -> Option<Value> {
    let now = &live["spec"]["replicas"];
    let wanted = object["spec"].get("replicas").filter(|wanted| !wanted.is_null())?;
    let mut applied = object.clone();
    if !now.is_number() {
        return None;
    }
    if !holds_replicas(live, manager) {
        applied["spec"].as_object_mut()?.remove("replicas");
        return Some(applied);
    }
    applied["spec"]["replicas"] = now.clone();
    (wanted != now).then_some(applied)
}

fn holds_replicas(live: &Value, manager: &str) -> bool {
    let entries = live.pointer("/metadata/managedFields").and_then(Value::as_array);
    entries.into_iter().flatten().any(|entry| {
        let ours = entry["manager"] == manager && entry["operation"] == "Apply";
        ours && entry.pointer("/fieldsV1/f:spec/f:replicas").is_some()
    })
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
            is_hook: false,
            object,
        };
        let targets: Vec<_> = targets(&[member]).iter().map(ToString::to_string).collect();
        assert_eq!(targets, ["Deployment n/web"]);
    }

    #[test]
    fn the_live_number_stands() {
        let of = |replicas: Value| json!({"spec": {"replicas": replicas, "x": 1}});
        let live = |replicas: i64, holder: &str| {
            let mut live = of(json!(replicas));
            live["metadata"]["managedFields"] = json!([
                {"manager": holder, "operation": "Apply", "fieldsV1": {"f:spec": {"f:replicas": {}}}}]);
            live
        };
        assert_eq!(with_live_replicas(&of(json!(2)), &live(5, "us"), "us"), Some(of(json!(5))));
        assert_eq!(with_live_replicas(&of(json!(2)), &live(2, "us"), "us"), None);
        let without = Some(json!({"spec": {"x": 1}}));
        assert_eq!(with_live_replicas(&of(json!(2)), &live(5, "them"), "us"), without);
        assert_eq!(with_live_replicas(&of(json!(2)), &live(2, "them"), "us"), without);
        assert_eq!(with_live_replicas(&json!({"spec": {"x": 1}}), &live(5, "us"), "us"), None);
        assert_eq!(with_live_replicas(&of(json!(2)), &json!({}), "us"), None);
    }
}
