//! Texts that look like images and were not found to be any: an operator's `RELATED_IMAGE_…` variable, an
//! argument such as `--config-reloader=quay.io/…`, a custom resource's `image`. They are only told to the
//! author, who declares them in `images.fields` or knows better; a guess must never decide what is carried.

use std::collections::BTreeSet;

use consign_format::reference::Reference;
use serde_json::Value;

use super::{Found, field};
use crate::object::{Object, ObjectRef};

/// A text that may be an image which would be missing at the site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suspect {
    /// The object.
    pub object: ObjectRef,
    /// The field, as a JSON Pointer.
    pub field: String,
    /// What looks like a reference.
    pub reference: String,
}

/// Returns what looks like an image and is neither among `found` nor carried under the same reference anyway.
pub fn suspects(objects: &[Object], found: &[Found]) -> Vec<Suspect> {
    let carried: BTreeSet<&str> = found.iter().map(|found| found.reference.as_str()).collect();
    let mut all = Vec::new();
    for object in objects.iter().filter(|object| object.kind() != "CustomResourceDefinition") {
        let mut places = Vec::new();
        walk(&object.value, &mut String::new(), &mut places);
        let unknown = places.into_iter().filter(|(_, reference)| !carried.contains(reference.as_str()));
        all.extend(unknown.map(|(field, reference)| Suspect { object: object.reference(), field, reference }));
    }
    all
}

fn walk(value: &Value, pointer: &mut String, places: &mut Vec<(String, String)>) {
    let children: Vec<(String, &Value)> = match value {
        Value::Object(map) => map.iter().map(|(key, child)| (field::escape(key), child)).collect(),
        Value::Array(items) => items.iter().enumerate().map(|(at, child)| (at.to_string(), child)).collect(),
        _ => return,
    };
    for (segment, child) in children {
        let length = pointer.len();
        pointer.push('/');
        pointer.push_str(&segment);
        if let Some(text) = child.as_str().and_then(|text| suspect(value, &segment, text)) {
            places.push((pointer.clone(), text.to_owned()));
        }
        walk(child, pointer, places);
        pointer.truncate(length);
    }
}

/// Tells whether a text under this key of this parent looks like a reference, and which part of it.
fn suspect<'t>(parent: &Value, key: &str, text: &'t str) -> Option<&'t str> {
    let speaks = |name: &str| name.to_ascii_lowercase().contains("image");
    let named = key == "image" || key.ends_with("Image");
    let variable = key == "value" && parent["name"].as_str().is_some_and(speaks);
    let candidate = if named || variable {
        text
    } else if parent.is_array() && text.starts_with('-') {
        // `--sidecar-image=quay.io/x:1`; whatever an option is called, a host with a tag gives it away.
        text.split_once('=').map(|(_, value)| value).filter(|value| is_full(value))?
    } else {
        return None;
    };
    looks_like(candidate).then_some(candidate)
}

/// A reference with a tag or digest; a lone word is too often something else.
fn looks_like(text: &str) -> bool {
    let named = text.contains('/') || text.rsplit('/').next().is_some_and(|last| last.contains(':'));
    named && !text.contains("://") && text.parse::<Reference>().is_ok()
}

/// A reference with host, repository and tag or digest, all written out. `host:port` alone is none.
fn is_full(text: &str) -> bool {
    let hosted = text.split_once('/').is_some_and(|(host, _)| host.contains('.'));
    let last = text.rsplit('/').next().unwrap_or(text);
    hosted && (last.contains(':') || last.contains('@'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::discover::discover;
    use crate::object::tests::object;
    use serde_json::json;

    #[test]
    fn what_looks_like_an_image_is_told() {
        let operator = object(json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "operator", "namespace": "app"},
            "spec": {"template": {"spec": {"containers": [{
                "name": "operator", "image": "quay.io/x/operator:v1",
                "env": [
                    {"name": "RELATED_IMAGE_PROXY", "value": "quay.io/x/proxy:v1"},
                    {"name": "OWN_IMAGE", "value": "quay.io/x/operator:v1"},
                    {"name": "IMAGE_PULL_POLICY", "value": "Always"},
                    {"name": "URL", "value": "quay.io/x/other:v1"}
                ],
                "args": ["--reloader=quay.io/x/reloader:v2", "--listen=0.0.0.0:8080", "--repo=https://x.io/a:1", "-v=2"]
            }]}}}
        }));
        let workflow = object(json!({
            "apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow", "metadata": {"name": "w", "namespace": "app"},
            "spec": {"templates": [{"container": {"image": "alpine:3"}}], "baseImage": "true"}
        }));
        let objects = [operator, workflow];
        let found = discover(&objects, &[]).unwrap();
        let told: Vec<_> = suspects(&objects, &found).into_iter().map(|s| (s.field, s.reference)).collect();
        let expected = [
            ("/spec/template/spec/containers/0/args/0", "quay.io/x/reloader:v2"),
            ("/spec/template/spec/containers/0/env/0/value", "quay.io/x/proxy:v1"),
            ("/spec/templates/0/container/image", "alpine:3"),
        ];
        assert_eq!(told, expected.map(|(field, reference)| (field.to_owned(), reference.to_owned())));
    }
}
