//! Objects of a cluster as they may leave the site: without values of secrets, without what only repeats.

use serde_json::{Map, Value, json};

use super::scrub::{MASK, Scrubber, is_secret_name};

/// Annotations that repeat whole objects, their environment included.
const REPEATS: [&str; 2] = ["kubectl.kubernetes.io/last-applied-configuration", "applyset.kubernetes.io/contains"];
/// Fields that are named like secrets and only name one.
const NAMING: [&str; 6] =
    ["secretName", "key", "topologyKey", "serviceAccountToken", "secretKeyRef", "imagePullSecrets"];

/// An object, cleaned.
pub(super) fn object(object: &Value, scrubber: &Scrubber) -> Value {
    let mut object = object.clone();
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
        if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
            annotations.retain(|name, _| !REPEATS.contains(&name.as_str()));
        }
    }
    walk(&mut object, scrubber);
    object
}

/// Name, namespace, type and keys of a Secret or ConfigMap: nothing of what is in it.
pub(super) fn keys_only(object: &Value) -> Value {
    let keys = |field: &str| object[field].as_object().map(|data| data.keys().cloned().collect::<Vec<_>>());
    let keys: Vec<String> = [keys("data"), keys("binaryData")].into_iter().flatten().flatten().collect();
    let metadata = &object["metadata"];
    json!({
        "name": metadata["name"], "namespace": metadata["namespace"], "created": metadata["creationTimestamp"],
        "type": object["type"], "immutable": object["immutable"],
        "keys": keys,
    })
}

fn walk(value: &mut Value, scrubber: &Scrubber) {
    match value {
        Value::String(text) => *text = scrubber.text(text),
        Value::Array(list) => {
            // `--password hunter2` is two entries of a list.
            let mut after_flag = false;
            for one in list {
                let is_flag = one
                    .as_str()
                    .is_some_and(|text| text.starts_with('-') && is_secret_name(text.trim_start_matches('-')));
                if after_flag && one.is_string() {
                    *one = MASK.into();
                }
                after_flag = is_flag;
                walk(one, scrubber);
            }
        }
        Value::Object(fields) => {
            mask_environment(fields);
            for (name, one) in fields.iter_mut() {
                match one {
                    Value::String(_) if is_secret_name(name) && !NAMING.contains(&name.as_str()) => *one = MASK.into(),
                    other => walk(other, scrubber),
                }
            }
        }
        _ => {}
    }
}

/// `{name: DB_PASSWORD, value: hunter2}`
fn mask_environment(fields: &mut Map<String, Value>) {
    let secret = fields.get("name").and_then(Value::as_str).is_some_and(is_secret_name);
    if let Some(value) = fields.get_mut("value").filter(|value| secret && value.is_string()) {
        *value = MASK.into();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_says_what_it_is_and_not_what_it_knows() {
        let pod = json!({
            "metadata": {"name": "p", "managedFields": [1], "annotations": {
                "kubectl.kubernetes.io/last-applied-configuration": "{\"x\":\"hunter2\"}", "my/token": "hunter2", "a": "b"}},
            "spec": {"imagePullSecrets": [{"name": "pull"}], "containers": [{
                "args": ["--password", "hunter2", "--port=5", "--token=hunter2"],
                "env": [{"name": "DB_PASSWORD", "value": "hunter2"}, {"name": "HOST", "value": "db"},
                        {"name": "T", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]}],
                "volumes": [{"secret": {"secretName": "tls"}}]}});
        let clean = object(&pod, &Scrubber::default());
        assert!(!clean.to_string().contains("hunter2"), "{clean:#}");
        assert_eq!(clean["spec"]["containers"][0]["env"][1]["value"], "db");
        assert_eq!(
            clean["spec"]["containers"][0]["args"],
            json!(["--password", MASK, "--port=5", format!("--token={MASK}")])
        );
        assert_eq!(clean["spec"]["volumes"][0]["secret"]["secretName"], "tls");
        assert_eq!(
            clean["spec"]["containers"][0]["env"][2]["valueFrom"]["secretKeyRef"],
            json!({"name": "s", "key": "k"})
        );
        assert_eq!(clean["metadata"]["annotations"], json!({"a": "b", "my/token": MASK}));
    }

    #[test]
    fn of_a_secret_only_keys_are_left() {
        let secret = json!({"metadata": {"name": "s", "annotations": {"x": "hunter2"}}, "data": {"k": "aHVudGVyMg=="}, "type": "Opaque"});
        let left = keys_only(&secret);
        assert_eq!((&left["keys"], &left["type"]), (&json!(["k"]), &json!("Opaque")));
        assert!(!left.to_string().contains("aHVu") && !left.to_string().contains("hunter2"));
    }
}
