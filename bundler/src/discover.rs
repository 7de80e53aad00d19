//! Finds every image reference in the desired state.
//!
//! A container is known by its shape, not by its kind: wherever an object holds `containers`,
//! `initContainers` or `ephemeralContainers` with images, or `volumes` with image sources, they are found,
//! so a Deployment, a CronJob and somebody's Rollout are one case. What does not have that shape is named
//! by the author in `images.fields` ([`field`]). Nothing is guessed from plain texts.

use std::collections::BTreeMap;

use consign_format::error::{Code, Coded, codes};
use consign_format::reference::{Reference, ReferenceError};
use serde_json::Value;

use crate::object::{Object, ObjectRef, Origin};

pub mod field;
mod suspects;

use field::FieldRule;
pub use suspects::{Suspect, suspects};

/// Lists of containers in a pod spec (core/v1 PodSpec).
const CONTAINERS: &[&str] = &["containers", "initContainers", "ephemeralContainers"];

/// One image reference and the field that holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The reference, exactly as written.
    pub reference: String,
    /// The object that holds it.
    pub object: ObjectRef,
    /// The field, as a JSON Pointer (RFC 6901) into the object.
    pub field: String,
    /// Whether the field can bear a digest; `false` only where `images.fields` says `pin: false`.
    pub pin: bool,
    /// Where the object was read.
    pub origin: Origin,
}

/// Why the images of a release are not known.
#[derive(Debug, thiserror::Error)]
pub enum DiscoverError {
    /// A field holds no image reference.
    #[error("{object} at {field}: not an image reference ({origin})")]
    Reference {
        /// The object.
        object: Box<ObjectRef>,
        /// The field, as a JSON Pointer.
        field: String,
        /// Where the object was read.
        origin: Box<Origin>,
        /// What is wrong with the reference.
        source: ReferenceError,
    },
    /// A declared field is there and is not a text.
    #[error("{object} at {field}: `{rule}` of `images.fields` leads to something that is not a text ({origin})")]
    NotText {
        /// The object.
        object: Box<ObjectRef>,
        /// The field, as a JSON Pointer.
        field: String,
        /// The rule.
        rule: String,
        /// Where the object was read.
        origin: Box<Origin>,
    },
    /// A declared field is in no object: a slip of the pen would leave an image behind.
    #[error("`{rule}` of `images.fields` is in no object of the release")]
    Unmatched {
        /// The rule.
        rule: String,
        /// Whether the release has objects of the kind at all.
        kind_present: bool,
    },
}

impl Coded for DiscoverError {
    fn code(&self) -> Code {
        match self {
            DiscoverError::Reference { .. } => codes::REFERENCE_INVALID,
            DiscoverError::NotText { .. } => codes::FIELD_MALFORMED,
            DiscoverError::Unmatched { .. } => codes::FIELD_NOT_FOUND,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            DiscoverError::Unmatched { kind_present: true, .. } => {
                Some("the kind is there; check the path, with [] after each list".to_owned())
            }
            DiscoverError::Unmatched { .. } => Some("remove it, or check the kind".to_owned()),
            DiscoverError::NotText { .. } => Some("name the field that holds the whole reference".to_owned()),
            DiscoverError::Reference { .. } => None,
        }
    }
}

/// Finds the images of all objects, in the order of the objects and of the fields' pointers.
///
/// A CustomResourceDefinition is passed over: its schema speaks of containers without having any.
///
/// # Errors
/// [`DiscoverError`], naming object and field.
pub fn discover(objects: &[Object], fields: &[FieldRule]) -> Result<Vec<Found>, DiscoverError> {
    let mut matched = vec![false; fields.len()];
    let mut all = Vec::new();
    for object in objects {
        // By pointer, so that a field both known by its shape and declared is found once; declared wins.
        let mut places: BTreeMap<String, bool> = BTreeMap::new();
        if object.kind() != "CustomResourceDefinition" {
            walk(&object.value, &mut String::new(), &mut places);
        }
        for (rule, matched) in fields.iter().zip(&mut matched) {
            for pointer in declared(object, rule)? {
                *matched = true;
                places.insert(pointer, rule.pin);
            }
        }
        for (pointer, pin) in places {
            all.push(found(object, pointer, pin)?);
        }
    }
    match fields.iter().zip(&matched).find(|(_, matched)| !**matched) {
        None => Ok(all),
        Some((rule, _)) => Err(DiscoverError::Unmatched {
            rule: rule.to_string(),
            kind_present: objects.iter().any(|object| rule.is_for(object)),
        }),
    }
}

fn found(object: &Object, field: String, pin: bool) -> Result<Found, DiscoverError> {
    let reference = object.value.pointer(&field).and_then(Value::as_str).unwrap_or_default();
    if let Err(source) = reference.parse::<Reference>() {
        let origin = Box::new(object.origin.clone());
        return Err(DiscoverError::Reference { object: Box::new(object.reference()), field, origin, source });
    }
    let (reference, origin) = (reference.to_owned(), object.origin.clone());
    Ok(Found { reference, object: object.reference(), field, pin, origin })
}

fn declared(object: &Object, rule: &FieldRule) -> Result<Vec<String>, DiscoverError> {
    if !rule.is_for(object) {
        return Ok(Vec::new());
    }
    let pointers = rule.pointers(&object.value);
    match pointers.iter().find(|pointer| !object.value.pointer(pointer).is_some_and(Value::is_string)) {
        None => Ok(pointers),
        Some(pointer) => Err(DiscoverError::NotText {
            object: Box::new(object.reference()),
            field: pointer.clone(),
            rule: rule.to_string(),
            origin: Box::new(object.origin.clone()),
        }),
    }
}

/// Walks a value and notes every image field of a pod spec's shape. The depth is bounded by the YAML reader.
fn walk(value: &Value, pointer: &mut String, places: &mut BTreeMap<String, bool>) {
    match value {
        Value::Object(map) => {
            for list in CONTAINERS {
                note(map.get(*list), &format!("{pointer}/{list}"), "/image", places);
            }
            note(map.get("volumes"), &format!("{pointer}/volumes"), "/image/reference", places);
            for (key, child) in map {
                step(child, &field::escape(key), pointer, places);
            }
        }
        Value::Array(items) => {
            for (at, child) in items.iter().enumerate() {
                step(child, &at.to_string(), pointer, places);
            }
        }
        _ => {}
    }
}

fn step(child: &Value, segment: &str, pointer: &mut String, places: &mut BTreeMap<String, bool>) {
    if !(child.is_object() || child.is_array()) {
        return;
    }
    let length = pointer.len();
    pointer.push('/');
    pointer.push_str(segment);
    walk(child, pointer, places);
    pointer.truncate(length);
}

/// Notes the image of each item of a list that is a named container or volume.
fn note(list: Option<&Value>, pointer: &str, image: &str, places: &mut BTreeMap<String, bool>) {
    let items = list.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    for (at, item) in items.iter().enumerate() {
        // A patch of somebody else's container (`Prometheus.spec.containers`) may name no image.
        if item["name"].is_string() && item.pointer(image).is_some_and(Value::is_string) {
            places.insert(format!("{pointer}/{at}{image}"), true);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::tests::object;
    use serde_json::json;

    fn with(kind: &str, api: &str, body: Value) -> Object {
        let mut value = json!({"apiVersion": api, "kind": kind, "metadata": {"name": "x", "namespace": "n"}});
        for (key, part) in body.as_object().unwrap() {
            value[key] = part.clone();
        }
        object(value)
    }

    fn places(object: Object, fields: &[&str]) -> Vec<(String, String)> {
        let fields: Vec<FieldRule> = fields.iter().map(|f| f.parse().unwrap()).collect();
        let found = discover(&[object], &fields).unwrap();
        found.into_iter().map(|f| (f.field, f.reference)).collect()
    }

    fn pod() -> Value {
        json!({
            "containers": [{"name": "a", "image": "a:1"}, {"name": "b", "image": "b:1"}],
            "initContainers": [{"name": "i", "image": "i:1"}],
            "ephemeralContainers": [{"name": "e", "image": "e:1"}],
            "volumes": [{"name": "v", "image": {"reference": "v:1"}}, {"name": "w", "emptyDir": {}}]
        })
    }

    #[test]
    fn every_pod_template_of_every_kind_is_found() {
        let inside = [
            "containers/0/image",
            "containers/1/image",
            "ephemeralContainers/0/image",
            "initContainers/0/image",
            "volumes/0/image/reference",
        ];
        for (kind, api, prefix, body) in [
            ("Pod", "v1", "/spec", json!({"spec": pod()})),
            ("PodTemplate", "v1", "/template/spec", json!({"template": {"spec": pod()}})),
            ("Deployment", "apps/v1", "/spec/template/spec", json!({"spec": {"template": {"spec": pod()}}})),
            ("Rollout", "argoproj.io/v1alpha1", "/spec/template/spec", json!({"spec": {"template": {"spec": pod()}}})),
            (
                "CronJob",
                "batch/v1",
                "/spec/jobTemplate/spec/template/spec",
                json!({"spec": {"jobTemplate": {"spec": {"template": {"spec": pod()}}}}}),
            ),
            (
                "Farm",
                "x.io/v1",
                "/spec/barns/0/podTemplate/spec",
                json!({"spec": {"barns": [{"podTemplate": {"spec": pod()}}]}}),
            ),
        ] {
            let found = places(with(kind, api, body), &[]);
            let fields: Vec<_> = found.iter().map(|(field, _)| field.as_str()).collect();
            assert_eq!(fields, inside.map(|field| format!("{prefix}/{field}")), "{kind}");
            let names: Vec<_> = found.iter().map(|(_, name)| name.as_str()).collect();
            assert_eq!(names, ["a:1", "b:1", "e:1", "i:1", "v:1"], "{kind}");
        }
    }

    #[test]
    fn what_only_speaks_of_containers_is_not_an_image() {
        let schema = json!({"spec": {"default": {"containers": [{"name": "a", "image": "a:1"}]}}});
        assert_eq!(places(with("CustomResourceDefinition", "apiextensions.k8s.io/v1", schema), &[]), []);
        let patch = json!({"spec": {"containers": [{"name": "prometheus", "args": []}], "image": "a:1"}});
        assert_eq!(places(with("Prometheus", "monitoring.coreos.com/v1", patch), &[]), []);
        let text = json!({"data": {"pod.yaml": "containers: [{name: a, image: b}]"}});
        assert_eq!(places(with("ConfigMap", "v1", text), &[]), []);
    }

    #[test]
    fn declared_fields_are_found_once() {
        let body = json!({"spec": {
            "image": "a:1", "sidecars": [{"image": "b:1"}, {}], "template": {"spec": pod()}
        }});
        let found = places(
            with("MyKind", "x.io/v1", body),
            &[
                "MyKind.spec.image",
                "MyKind.spec.sidecars[].image",
                "x.io/MyKind.spec.template.spec.containers[*].image",
            ],
        );
        assert_eq!(found.len(), 7);
        assert_eq!(found[0], ("/spec/image".to_owned(), "a:1".to_owned()));
        assert_eq!(found[1], ("/spec/sidecars/0/image".to_owned(), "b:1".to_owned()));
    }

    #[test]
    fn errors_name_object_and_field() {
        let broken = with("Pod", "v1", json!({"spec": {"containers": [{"name": "a", "image": "Upper/Case"}]}}));
        let error = discover(&[broken], &[]).unwrap_err();
        assert_eq!(error.code(), codes::REFERENCE_INVALID);
        assert!(error.to_string().starts_with("Pod n/x at /spec/containers/0/image: "), "{error}");

        let own = with("MyKind", "x.io/v1", json!({"spec": {"image": {"tag": "1"}}}));
        let rule = |text: &str| [text.parse::<FieldRule>().unwrap()];
        let error = discover(std::slice::from_ref(&own), &rule("MyKind.spec.image")).unwrap_err();
        assert_eq!(error.code(), codes::FIELD_MALFORMED);
        let error = discover(std::slice::from_ref(&own), &rule("MyKind.spec.imgae")).unwrap_err();
        assert!(matches!(error, DiscoverError::Unmatched { kind_present: true, .. }), "{error}");
        let error = discover(&[own], &rule("YourKind.spec.image")).unwrap_err();
        assert!(matches!(error, DiscoverError::Unmatched { kind_present: false, .. }), "{error}");
    }
}
