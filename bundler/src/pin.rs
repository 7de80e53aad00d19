//! Writes the locked digests into the desired state: `name:tag` becomes `name:tag@sha256:…`, host, repository
//! and tag as the author wrote them (DESIGN §1.3). Nothing else in an object is touched.

use std::collections::BTreeMap;

use consign_format::Digest;
use consign_format::error::{Code, Coded, codes};
use consign_format::reference::Reference;
use serde_json::Value;

use crate::discover::Found;
use crate::object::{Object, ObjectRef};

/// Why an image field could not be pinned.
#[derive(Debug, thiserror::Error)]
pub enum PinError {
    /// The lock says nothing of the reference.
    #[error("{object} at {field}: `{reference}` is not in the lock")]
    NotLocked {
        /// The object.
        object: Box<ObjectRef>,
        /// The field, as a JSON Pointer.
        field: String,
        /// The reference as written.
        reference: String,
    },
    /// The author's own digest is not the locked one.
    #[error("{object} at {field}: `{reference}` is pinned, and the lock says {locked}")]
    PinnedElsewhere {
        /// The object.
        object: Box<ObjectRef>,
        /// The field, as a JSON Pointer.
        field: String,
        /// The reference as written.
        reference: String,
        /// The digest in the lock.
        locked: Digest,
    },
    /// The objects are not those in which the images were found.
    #[error("{object} at {field}: `{reference}` is no longer there")]
    Moved {
        /// The object.
        object: Box<ObjectRef>,
        /// The field, as a JSON Pointer.
        field: String,
        /// The reference that was found.
        reference: String,
    },
}

impl Coded for PinError {
    fn code(&self) -> Code {
        match self {
            PinError::NotLocked { .. } => codes::IMAGE_NOT_LOCKED,
            PinError::PinnedElsewhere { .. } | PinError::Moved { .. } => codes::IMAGE_PINNED_ELSEWHERE,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            PinError::NotLocked { .. } => Some("run `consign lock --update`".to_owned()),
            PinError::PinnedElsewhere { .. } => {
                Some("the digest in the manifest wins: run `consign lock --update`, or correct the manifest".to_owned())
            }
            PinError::Moved { .. } => None,
        }
    }
}

/// Pins every found field to the digest that `locked` gives for its reference as written. Fields that cannot
/// bear a digest stay as they are, but must be locked too: their images are carried.
///
/// # Errors
/// [`PinError`], naming object and field; objects before it may already be pinned, so drop them all.
pub fn pin(objects: &mut [Object], found: &[Found], locked: &BTreeMap<String, Digest>) -> Result<(), PinError> {
    let at: BTreeMap<ObjectRef, usize> = objects.iter().enumerate().map(|(at, o)| (o.reference(), at)).collect();
    for place in found {
        let (object, field, reference) = (Box::new(place.object.clone()), place.field.clone(), place.reference.clone());
        let Some(digest) = locked.get(&reference) else {
            return Err(PinError::NotLocked { object, field, reference });
        };
        let Some(pinned) = pinned(&reference, digest) else {
            return Err(PinError::PinnedElsewhere { object, field, reference, locked: *digest });
        };
        if !place.pin {
            continue;
        }
        let value = at.get(&*object).and_then(|at| objects[*at].value.pointer_mut(&field));
        match value {
            Some(value) if value.as_str() == Some(&reference) => *value = Value::String(pinned),
            _ => return Err(PinError::Moved { object, field, reference }),
        }
    }
    Ok(())
}

/// Returns a reference as written with its digest, or nothing if it already has another one.
fn pinned(reference: &str, digest: &Digest) -> Option<String> {
    match Reference::split_digest(reference) {
        (name, None) => Some(format!("{name}@{digest}")),
        (_, Some(own)) => (own == digest.to_string()).then(|| reference.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::discover::discover;
    use crate::object::tests::object;
    use serde_json::json;

    fn pod(images: &[&str]) -> Vec<Object> {
        let containers: Vec<_> = images.iter().map(|image| json!({"name": "c", "image": image})).collect();
        vec![object(json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "n"},
            "spec": {"containers": containers, "image": images[0]}
        }))]
    }

    fn pinned_pod(images: &[&str], locked: &[(&str, Digest)]) -> Result<Vec<Object>, PinError> {
        let mut objects = pod(images);
        let found = discover(&objects, &[]).unwrap();
        let locked = locked.iter().map(|(name, digest)| ((*name).to_owned(), *digest)).collect();
        pin(&mut objects, &found, &locked).map(|()| objects)
    }

    #[test]
    fn host_repository_and_tag_stay_as_written() {
        let digest = Digest::of(b"x");
        let own = format!("a:1@{digest}");
        let names = ["nginx", "nginx:1.27", "registry.corp:5000/a/b:v1", own.as_str()];
        let locked = names.map(|name| (name, digest));
        let objects = pinned_pod(&names, &locked).unwrap();
        for (at, expected) in [
            format!("nginx@{digest}"),
            format!("nginx:1.27@{digest}"),
            format!("registry.corp:5000/a/b:v1@{digest}"),
            own.clone(),
        ]
        .into_iter()
        .enumerate()
        {
            assert_eq!(objects[0].value["spec"]["containers"][at]["image"], json!(expected));
        }
        assert_eq!(objects[0].value["spec"]["image"], json!("nginx"), "only found fields are touched");
    }

    #[test]
    fn another_digest_and_an_unlocked_image_are_errors() {
        let (one, other) = (Digest::of(b"1"), Digest::of(b"2"));
        let own = format!("a:1@{one}");
        let error = pinned_pod(&[&own], &[(&own, other)]).unwrap_err();
        assert_eq!(error.code(), codes::IMAGE_PINNED_ELSEWHERE);
        let error = pinned_pod(&["a:1"], &[]).unwrap_err();
        assert_eq!(error.to_string(), "Pod n/p at /spec/containers/0/image: `a:1` is not in the lock");
    }

    #[test]
    fn a_field_that_cannot_bear_a_digest_is_left() {
        let mut objects = pod(&["a:1"]);
        let rule = "Pod.spec.containers[].image".parse::<crate::discover::field::FieldRule>().unwrap();
        let found = discover(&objects, &[rule.with_pin(false)]).unwrap();
        let before = objects.clone();
        pin(&mut objects, &found, &BTreeMap::from([("a:1".to_owned(), Digest::of(b"x"))])).unwrap();
        assert_eq!(objects, before);
        assert!(pin(&mut objects, &found, &BTreeMap::new()).is_err(), "it is carried, so it is locked");
    }
}
