//! Whether an object has to be written: the server's dry-run answer held against the live object.
//!
//! The server applies its defaults and webhooks to the dry run, so both sides have them; nothing is normalised here.

use serde_json::{Map, Value};

/// What the server keeps for itself and changes on its own.
const SERVERS_OWN: [&str; 8] = [
    "managedFields",
    "resourceVersion",
    "generation",
    "uid",
    "creationTimestamp",
    "selfLink",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
];

/// Tells whether applying would change anything that lasts: content, or which fields we answer for.
/// The second matters where another manager set the same values first: unless ours are written too,
/// a later release could not remove them.
pub fn differs(live: &Value, dry_run: &Value, manager: &str) -> bool {
    content(live) != content(dry_run) || owned(live, manager) != owned(dry_run, manager)
}

/// The object without status and without what the server keeps for itself. Borrowed; objects may be large.
pub(super) fn content(object: &Value) -> Map<String, Value> {
    let mut kept = Map::new();
    for (name, value) in object.as_object().into_iter().flatten() {
        match (name.as_str(), value) {
            ("status", _) => {}
            ("metadata", Value::Object(metadata)) => {
                let left = metadata.iter().filter(|(name, _)| !SERVERS_OWN.contains(&name.as_str()));
                kept.insert(name.clone(), Value::Object(left.map(|(k, v)| (k.clone(), v.clone())).collect()));
            }
            _ => {
                kept.insert(name.clone(), value.clone());
            }
        }
    }
    kept
}

/// The fields that `manager` has applied, in the server's own notation, and the version they are written in.
fn owned<'a>(object: &'a Value, manager: &str) -> Vec<(&'a Value, &'a Value)> {
    let entries = object.pointer("/metadata/managedFields").and_then(Value::as_array);
    let ours = entries.into_iter().flatten().filter(|entry| {
        entry["manager"] == manager && entry["operation"] == "Apply" && entry.get("subresource").is_none()
    });
    ours.map(|entry| (&entry["apiVersion"], &entry["fieldsV1"])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn object() -> Value {
        json!({
            "apiVersion": "v1", "kind": "ConfigMap", "data": {"a": "1"}, "status": {"seen": 1},
            "metadata": {"name": "a", "labels": {"x": "y"}, "resourceVersion": "5", "generation": 2, "managedFields": [
                {"manager": "consign", "operation": "Apply", "apiVersion": "v1", "time": "then", "fieldsV1": {"f:data": {"f:a": {}}}},
                {"manager": "other", "operation": "Update", "fieldsV1": {"f:data": {}}}
            ]}
        })
    }

    #[test]
    fn what_the_server_keeps_is_no_difference() {
        let mut dry_run = object();
        dry_run["metadata"]["resourceVersion"] = json!("6");
        dry_run["metadata"]["generation"] = json!(3);
        dry_run["metadata"]["managedFields"][0]["time"] = json!("now");
        dry_run["metadata"]["managedFields"][1]["fieldsV1"] = json!({});
        dry_run["status"] = json!({});
        assert!(!differs(&object(), &dry_run, "consign"));
    }

    #[test]
    fn content_labels_and_ownership_are() {
        for (pointer, value) in [
            ("/data/a", json!("2")),
            ("/metadata/labels/x", json!("z")),
            ("/metadata/managedFields/0/fieldsV1", json!({"f:data": {"f:a": {}, "f:b": {}}})),
            ("/metadata/managedFields/0/manager", json!("somebody")),
        ] {
            let mut dry_run = object();
            *dry_run.pointer_mut(pointer).unwrap() = value;
            assert!(differs(&object(), &dry_run, "consign"), "{pointer}");
        }
    }
}
