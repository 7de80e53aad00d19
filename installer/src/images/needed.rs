//! Every image that a pod of the release will run, those of its hooks too, is one that the release brings.
//!
//! A controller waits for ever for a hook whose image nobody can pull; here it is found before anything is applied.
//! The builder pins every image that it finds; this holds the objects against the list that was signed with them.

use std::collections::BTreeSet;

use consign_format::error::{Code, Coded, codes};
use consign_format::release::ReleaseManifest;
use consign_format::{Digest, Reference};
use serde_json::Value;

use crate::handoff::ObjectKey;
use crate::pod_spec;

/// Images that pods need and the release does not bring.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the release does not bring {}", .images.join(", "))]
pub struct ImagesAbsent {
    /// `IMAGE (of Kind ns/name)`, one for each.
    pub images: Vec<String>,
}

impl Coded for ImagesAbsent {
    fn code(&self) -> Code {
        codes::IMAGE_ABSENT
    }

    fn hint(&self) -> Option<String> {
        Some("the release was built wrong; ask those who built it. Nothing was applied".to_owned())
    }
}

/// Demands that the images of all pods are in the release; names all that are not.
pub fn check_needed(release: &ReleaseManifest, objects: &[Value]) -> Result<(), ImagesAbsent> {
    let digests: BTreeSet<Digest> = release.images.iter().map(|image| image.digest).collect();
    let tagged: BTreeSet<(String, Option<String>)> = release
        .images
        .iter()
        .filter_map(|image| image.reference.parse::<Reference>().ok())
        .map(|reference| (reference.name(), reference.tag))
        .collect();
    let is_brought = |image: &str| {
        image.parse::<Reference>().is_ok_and(|reference| match reference.digest {
            Some(digest) => digests.contains(&digest),
            None => tagged.contains(&(reference.name(), reference.tag)),
        })
    };
    let mut absent = BTreeSet::new();
    for object in objects {
        let Some(key) = ObjectKey::of(object) else { continue };
        let images = pod_spec::pod_of(&key, object).into_iter().flat_map(pod_spec::images);
        absent.extend(images.filter(|image| !is_brought(image)).map(|image| format!("{image} (of {key})")));
    }
    if absent.is_empty() { Ok(()) } else { Err(ImagesAbsent { images: absent.into_iter().collect() }) }
}
