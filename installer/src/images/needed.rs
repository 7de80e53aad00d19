//! Every image that a pod of the release will run, those of its hooks too, is one that the release brings.
//!
//! A controller waits for ever for a hook whose image nobody can pull; here it is found before anything is applied.
//! The builder pins every image that it finds; this holds the objects against the list that was signed with them.

use std::collections::{BTreeMap, BTreeSet};

use consign_format::error::{Code, Coded, codes};
use consign_format::release::{Image, ReleaseManifest};
use consign_format::{Digest, Reference};
use serde_json::Value;

use crate::handoff::ObjectKey;
use crate::pod_spec;

/// The images of a release, found as pods name them, and the platforms of each.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Brought {
    pinned: BTreeMap<Digest, Vec<String>>,
    tagged: BTreeMap<(String, Option<String>), Vec<String>>,
}

impl Brought {
    /// The images of a release.
    pub fn of(images: &[Image]) -> Self {
        let mut brought = Brought::default();
        for image in images {
            brought.pinned.insert(image.digest, image.platforms.clone());
            if let Ok(reference) = image.reference.parse::<Reference>() {
                brought.tagged.insert((reference.name(), reference.tag), image.platforms.clone());
            }
        }
        brought
    }

    /// The platforms of an image, as a pod names it; none where it is for one platform and nobody said which.
    /// `None` where the release does not bring it.
    pub fn find(&self, image: &str) -> Option<&[String]> {
        let reference: Reference = image.parse().ok()?;
        let found = match reference.digest {
            Some(digest) => self.pinned.get(&digest),
            None => self.tagged.get(&(reference.name(), reference.tag)),
        };
        found.map(Vec::as_slice)
    }
}

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
    let brought = Brought::of(&release.images);
    let mut absent = BTreeSet::new();
    for object in objects {
        let Some(key) = ObjectKey::of(object) else { continue };
        let images = pod_spec::pod_of(&key, object).into_iter().flat_map(pod_spec::images);
        absent.extend(images.filter(|image| brought.find(image).is_none()).map(|image| format!("{image} (of {key})")));
    }
    if absent.is_empty() { Ok(()) } else { Err(ImagesAbsent { images: absent.into_iter().collect() }) }
}
