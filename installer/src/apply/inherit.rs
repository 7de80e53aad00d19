//! Fields that an adopted tool has applied become ours, so that what leaves the release leaves the object.
//!
//! Without this the other tool's field manager would hold them for ever: server-side apply removes a field only when
//! its last owner lets go (kubectl and Argo CD do the same when they move from client-side apply). Pure.

use serde_json::{Value, json};

use super::MANAGER;
use crate::handoff::Owner;

/// Managers that apply by updating: whole manifests, as a tool applies them, and not the single field that a person
/// edited or a controller set.
const APPLY_BY_UPDATE: [&str; 3] = ["kubectl-client-side-apply", "argocd-controller", "helm"];

/// The object's `managedFields` as they are once what adopted tools applied is ours; `None` where that is nothing.
///
/// Fields written at another version of the API than ours are left to their owner: they would have to be converted.
pub fn inherited(live: &Value, adopt: &[Owner]) -> Option<Value> {
    let entries = live.pointer("/metadata/managedFields").and_then(Value::as_array)?;
    let ours = entries.iter().find(|entry| is_applied(entry) && entry["manager"] == MANAGER);
    let heritage = |entry: &&Value| is_left_by(entry, adopt);
    let version = &ours.or_else(|| entries.iter().find(heritage))?["apiVersion"];
    let (left, mut kept): (Vec<&Value>, Vec<&Value>) =
        entries.iter().partition(|entry| heritage(entry) && entry["apiVersion"] == *version);
    let first = left.first()?;
    let mut fields = ours.map_or_else(|| json!({}), |ours| ours["fieldsV1"].clone());
    left.iter().for_each(|entry| unite(&mut fields, &entry["fieldsV1"]));
    kept.retain(|entry| ours != Some(*entry));
    let mut entry = ours.unwrap_or(first).clone();
    entry["manager"] = json!(MANAGER);
    entry["operation"] = json!("Apply");
    entry["fieldsV1"] = fields;
    Some(kept.into_iter().chain([&entry]).cloned().collect())
}

fn is_applied(entry: &Value) -> bool {
    entry["operation"] == "Apply" && entry.get("subresource").is_none()
}

fn is_left_by(entry: &Value, adopt: &[Owner]) -> bool {
    let manager = entry["manager"].as_str().unwrap_or_default();
    let by_update = entry.get("subresource").is_none() && APPLY_BY_UPDATE.contains(&manager);
    manager != MANAGER && (is_applied(entry) || by_update) && adopt.contains(&Owner::of_manager(manager))
}

/// Sets of fields are trees of names; their union is the union of the trees.
fn unite(into: &mut Value, from: &Value) {
    let (Some(into), Some(from)) = (into.as_object_mut(), from.as_object()) else { return };
    for (name, below) in from {
        unite(into.entry(name.clone()).or_insert_with(|| json!({})), below);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(manager: &str, operation: &str, fields: Value) -> Value {
        json!({"manager": manager, "operation": operation, "apiVersion": "v1", "fieldsType": "FieldsV1", "fieldsV1": fields})
    }

    fn object(entries: &[Value]) -> Value {
        json!({"metadata": {"managedFields": entries}})
    }

    #[test]
    fn what_adopted_tools_applied_is_united_with_ours() {
        let live = object(&[
            entry("kubectl-client-side-apply", "Update", json!({"f:data": {".": {}, "f:a": {}}})),
            entry("consign", "Apply", json!({"f:data": {"f:b": {}}})),
            entry("kubectl-edit", "Update", json!({"f:data": {"f:c": {}}})),
        ]);
        let after = inherited(&live, &[Owner::Kubectl]).unwrap();
        let united = json!({"f:data": {".": {}, "f:a": {}, "f:b": {}}});
        assert_eq!(
            after,
            json!([entry("kubectl-edit", "Update", json!({"f:data": {"f:c": {}}})), entry("consign", "Apply", united)])
        );
        assert_eq!(inherited(&object(after.as_array().unwrap()), &[Owner::Kubectl]), None, "once is enough");
    }

    #[test]
    fn the_first_of_ours_is_made_of_theirs() {
        let live = object(&[entry("kustomize-controller", "Apply", json!({"f:data": {"f:a": {}}}))]);
        let after = inherited(&live, &[Owner::Flux]).unwrap();
        assert_eq!(after, json!([entry("consign", "Apply", json!({"f:data": {"f:a": {}}}))]));
    }

    #[test]
    fn nobody_else_is_inherited_from() {
        let mut status = entry("kubectl", "Apply", json!({"f:status": {}}));
        status["subresource"] = json!("status");
        let mut older = entry("kubectl", "Apply", json!({"f:data": {}}));
        older["apiVersion"] = json!("v1beta1");
        let ours = entry("consign", "Apply", json!({}));
        for (entries, adopt) in [
            (vec![entry("kubectl-client-side-apply", "Update", json!({}))], vec![]),
            (vec![entry("kubectl-client-side-apply", "Update", json!({}))], vec![Owner::Flux]),
            (vec![status], vec![Owner::Kubectl]),
            (vec![ours.clone(), older], vec![Owner::Kubectl]),
            (vec![ours], vec![Owner::Manager("consign".into())]),
        ] {
            assert_eq!(inherited(&object(&entries), &adopt), None, "{entries:?}");
        }
        assert_eq!(inherited(&json!({}), &[Owner::Kubectl]), None);
    }
}
