//! Where each blob of a release lies when it is laid out.
//!
//! `images/NAME/PLATFORM/layer-NNN/…`, `files/…` as at the site, `state/` the objects, and `blobs/HEX` for whatever
//! nothing else names. A blob that several images share is laid out once, in the first place.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use consign_format::release::ReleaseManifest;
use consign_format::{Descriptor, Digest};
use consign_registry::manifest::{Manifest, Pointers};

use super::listing::NotUnpacked;
use super::names::{safe_part, safe_path};
use crate::bundle::kept::Kept;

/// Indexes of indexes of indexes are nobody's.
pub(super) const DEPTH: usize = 4;

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

/// The manifests that the release itself names, whatever roles it gives them.
pub(super) fn named(release: &ReleaseManifest) -> impl Iterator<Item = Digest> {
    let images = release.images.iter();
    let images = images.flat_map(|image| image.referrers.iter().map(|referrer| referrer.digest).chain([image.digest]));
    images.chain([release.state])
}

/// What kept indexes name, the release has, and nobody has asked for yet.
pub(super) fn unread(release: &ReleaseManifest, kept: &Kept) -> BTreeSet<Digest> {
    let carried: BTreeSet<Digest> = release.blobs.iter().map(|blob| blob.digest).collect();
    let children = |digest: &Digest| match parse(kept, digest).map(|manifest| manifest.content) {
        Ok(Pointers::Index(children)) => children,
        _ => Vec::new(),
    };
    let children = carried.iter().flat_map(children).map(|child| child.digest);
    children.filter(|digest| carried.contains(digest) && !kept.is_wanted(digest)).collect()
}

fn parse(kept: &Kept, digest: &Digest) -> Result<Manifest, String> {
    Manifest::parse(kept.read(digest)?, None).map_err(|error| error.to_string())
}

/// Every blob of the release with its places, the first of which is laid out; and the manifests that were not opened,
/// so that what they name lies there as it is, unless something else names it too.
pub(super) fn places(release: &ReleaseManifest, kept: &Kept) -> (BTreeMap<Digest, Vec<Place>>, Vec<NotUnpacked>) {
    let carried = release.blobs.iter().map(|blob| blob.digest).collect();
    let mut places = Places { kept, carried, found: BTreeMap::new(), unopened: BTreeMap::new() };
    let state = Path::new("state");
    match parse(kept, &release.state).map(|manifest| manifest.content) {
        Ok(Pointers::Image { layers, .. }) => {
            layers.iter().for_each(|layer| places.add(layer.digest, Place::Layer(state.to_owned())));
        }
        Ok(Pointers::Index(_)) => places.not_opened(&release.state, "the state is an index"),
        Err(reason) => places.not_opened(&release.state, &reason),
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
    let Places { found, unopened, .. } = places;
    let unopened = unopened.into_iter().map(|(digest, reason)| {
        let at = found.get(&digest).and_then(|places| places.first()).map(Place::text).unwrap_or_default();
        NotUnpacked { digest, at, reason: format!("it is named as a manifest, and was not opened: {reason}") }
    });
    let unopened = unopened.collect();
    (found, unopened)
}

struct Places<'a> {
    kept: &'a Kept,
    /// Every blob of the release.
    carried: BTreeSet<Digest>,
    found: BTreeMap<Digest, Vec<Place>>,
    /// Manifests that were not opened, and why.
    unopened: BTreeMap<Digest, String>,
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

    fn not_opened(&mut self, digest: &Digest, reason: &str) {
        self.unopened.insert(*digest, reason.to_owned());
    }

    fn walk(&mut self, digest: &Digest, folder: &Path, depth: usize) {
        if depth == 0 {
            return self.not_opened(digest, "too many indexes lie above it");
        }
        let manifest = match parse(self.kept, digest) {
            Ok(manifest) => manifest,
            Err(reason) => return self.not_opened(digest, &reason),
        };
        self.add(*digest, Place::File(folder.join("manifest.json")));
        match manifest.content {
            Pointers::Index(manifests) => {
                // A sparse index names more than travels.
                for child in &manifests {
                    if !self.carried.contains(&child.digest) {
                        continue;
                    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    type Unopened = Vec<(Digest, String)>;

    /// A release of these blobs, all called layers, and one image.
    struct Content(BTreeMap<Digest, Vec<u8>>);

    impl Content {
        fn new() -> (Self, Digest) {
            let mut content = Content(BTreeMap::new());
            let state = content.manifest(&[b"the state"]);
            (content, state)
        }

        fn add(&mut self, bytes: &[u8]) -> Digest {
            self.0.insert(Digest::of(bytes), bytes.to_vec());
            Digest::of(bytes)
        }

        fn point(digest: Digest, media_type: &str) -> Value {
            json!({"mediaType": media_type, "digest": digest, "size": 1})
        }

        fn manifest(&mut self, layers: &[&[u8]]) -> Digest {
            let mut point = |bytes: &&[u8]| Self::point(self.add(bytes), "application/vnd.oci.image.layer.v1.tar");
            let layers: Vec<Value> = layers.iter().map(&mut point).collect();
            let config = Self::point(self.add(b"{}"), "application/vnd.oci.image.config.v1+json");
            self.add(json!({"schemaVersion": 2, "config": config, "layers": layers}).to_string().as_bytes())
        }

        fn index(&mut self, children: &[Digest]) -> Digest {
            let point = |child: &Digest| Self::point(*child, "application/vnd.oci.image.manifest.v1+json");
            let children: Vec<Value> = children.iter().map(point).collect();
            self.add(json!({"schemaVersion": 2, "manifests": children}).to_string().as_bytes())
        }

        fn release(&self, state: Digest, image: Digest) -> ReleaseManifest {
            let blob = |(digest, bytes): (&Digest, &Vec<u8>)| json!({"digest": digest, "size": bytes.len(), "mediaType": "x", "role": "layer"});
            let blobs: Vec<Value> = self.0.iter().map(blob).collect();
            let source = json!({"ref": "main", "commit": "c", "tree": "t", "commitTime": 1,
                "signature": {"status": "absent"}});
            serde_json::from_value(json!({
                "schema": "s", "product": "demo", "version": "1", "sequence": 1, "issued": 1, "source": source,
                "kubernetes": {"version": "1.33"}, "state": state, "blobs": blobs,
                "images": [{"reference": "registry.example/a:1", "digest": image}],
                "rollout": {"onFailure": "halt", "healthTimeout": 1},
            }))
            .unwrap()
        }

        /// As `unpack` reads.
        fn kept(&self, release: &ReleaseManifest) -> Kept {
            let mut kept = Kept::default();
            named(release).for_each(|digest| kept.want(digest, 1000));
            loop {
                for (digest, bytes) in &self.0 {
                    kept.take(digest, bytes.len() as u64, &mut bytes.as_slice());
                }
                let unread = unread(release, &kept);
                if unread.is_empty() {
                    return kept;
                }
                unread.iter().for_each(|digest| kept.want(*digest, 1000));
            }
        }

        fn places(&self, state: Digest, image: Digest) -> (BTreeMap<Digest, Vec<Place>>, Unopened) {
            let release = self.release(state, image);
            let (places, unopened) = places(&release, &self.kept(&release));
            (places, unopened.into_iter().map(|one| (one.digest, one.reason)).collect())
        }
    }

    #[test]
    fn a_manifest_is_opened_whatever_its_role_says() {
        let (mut content, state) = Content::new();
        let image = content.manifest(&[b"a layer"]);
        let inner = content.index(&[image]);
        let outer = content.index(&[inner, Digest::of(b"does not travel")]);
        for named in [image, inner, outer] {
            let (places, unopened) = content.places(state, named);
            assert_eq!(unopened, []);
            let place = &places[&Digest::of(b"a layer")][0];
            assert!(matches!(place, Place::Layer(path) if path.starts_with("images")), "{place:?}");
        }
    }

    #[test]
    fn what_is_named_as_a_manifest_and_not_opened_is_said() {
        let (mut content, state) = Content::new();
        let none = content.add(b"no manifest");
        let large = content.add(&[b' '; 1001]);
        let deep = content.manifest(&[b"a layer"]);
        let mut image = deep;
        for _ in 0..DEPTH {
            image = content.index(&[image]);
        }
        let missing = Digest::of(b"is nowhere");
        for (child, top, reason) in [
            (none, none, "not the JSON"),
            (none, content.index(&[none]), "not the JSON"),
            (large, content.index(&[large]), "over the limit of 1000 bytes"),
            (missing, missing, "not in the bundle"),
            (deep, image, "too many indexes"),
        ] {
            let (_, unopened) = content.places(state, top);
            let [(digest, said)] = unopened.as_slice() else { panic!("{reason}: {unopened:?}") };
            assert!(*digest == child && said.contains(reason), "{said}");
        }
        let (_, unopened) = content.places(none, deep);
        assert_eq!(unopened.iter().map(|(digest, _)| *digest).collect::<Vec<_>>(), [none], "the state too");
    }
}
