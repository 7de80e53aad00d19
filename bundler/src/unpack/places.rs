//! Where each blob of a release lies when it is laid out.
//!
//! `images/NAME/PLATFORM/layer-NNN/…`, `files/…` as at the site, `state/` the objects, and `blobs/HEX` for whatever
//! nothing else names. A blob that several images share is laid out once, in the first place.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use consign_format::release::ReleaseManifest;
use consign_format::{Descriptor, Digest};
use consign_registry::manifest::{Manifest, Pointers};

use super::names::{safe_part, safe_path};
use crate::bundle::kept::Kept;

/// Indexes of indexes of indexes are nobody's.
const DEPTH: usize = 4;

/// Where a blob lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// As it is, in a file.
    File(PathBuf),
    /// As a tar, decompressed, in a folder.
    Layer(PathBuf),
}

impl Place {
    pub(super) fn text(&self) -> String {
        let (Place::File(path) | Place::Layer(path)) = self;
        path.display().to_string()
    }
}

/// Every blob of the release with its places, the first of which is laid out.
pub(super) fn places(release: &ReleaseManifest, kept: &Kept) -> BTreeMap<Digest, Vec<Place>> {
    let mut places = Places { kept, found: BTreeMap::new() };
    let state = Path::new("state");
    if let Some(Pointers::Image { layers, .. }) = places.parse(&release.state).map(|manifest| manifest.content) {
        layers.iter().for_each(|layer| places.add(layer.digest, Place::Layer(state.to_owned())));
    }
    for file in &release.files {
        places.add(file.digest, Place::File(Path::new("files").join(safe_path(file.to.as_bytes()))));
    }
    for image in &release.images {
        let name = image.reference.split('@').next().unwrap_or_default().replace(['/', ':'], "_");
        let folder = format!("{}-{}", safe_part(name.as_bytes()), &image.digest.hex()[..12]);
        let folder = Path::new("images").join(folder);
        places.walk(&image.digest, &folder, DEPTH);
        for referrer in &image.referrers {
            places.walk(&referrer.digest, &folder.join("referrers").join(&referrer.digest.hex()[..12]), DEPTH);
        }
    }
    for blob in &release.blobs {
        let elsewhere = || vec![Place::File(Path::new("blobs").join(blob.digest.hex()))];
        places.found.entry(blob.digest).or_insert_with(elsewhere);
    }
    places.found
}

struct Places<'a> {
    kept: &'a Kept,
    found: BTreeMap<Digest, Vec<Place>>,
}

impl Places<'_> {
    fn add(&mut self, digest: Digest, place: Place) {
        let places = self.found.entry(digest).or_default();
        // A blob that is a layer to one and a plain file to another is untarred: the scanner sees more.
        match (&place, places.first()) {
            (Place::Layer(_), Some(Place::File(_))) => places.insert(0, place),
            _ if places.contains(&place) => {}
            _ => places.push(place),
        }
    }

    fn parse(&self, digest: &Digest) -> Option<Manifest> {
        Manifest::parse(self.kept.read(digest).ok()?, None).ok()
    }

    fn walk(&mut self, digest: &Digest, folder: &Path, depth: usize) {
        let Some(manifest) = self.parse(digest).filter(|_| depth > 0) else { return };
        self.add(*digest, Place::File(folder.join("manifest.json")));
        match manifest.content {
            Pointers::Index(manifests) => {
                // A sparse index names more than travels.
                for child in manifests.iter().filter(|child| self.kept.read(&child.digest).is_ok()) {
                    self.walk(&child.digest, &folder.join(platform(child)), depth - 1);
                }
            }
            Pointers::Image { config, layers } => {
                self.add(config.digest, Place::File(folder.join("config.json")));
                for (n, layer) in layers.iter().enumerate() {
                    let path = folder.join(format!("layer-{n:03}"));
                    // `…tar`, `…tar+gzip`, `…tar+zstd`, `…diff.tar.gzip`: of images, charts and others alike.
                    let is_tar = layer.media_type.contains("tar");
                    self.add(layer.digest, if is_tar { Place::Layer(path) } else { Place::File(path) });
                }
            }
        }
    }
}

fn platform(child: &Descriptor) -> String {
    let hex = &child.digest.hex()[..12];
    match &child.platform {
        Some(platform) => format!("{}-{hex}", safe_part(platform.to_string().replace('/', "-").as_bytes())),
        None => hex.to_owned(),
    }
}
