//! What has to be in the registry, found by following manifests: per repository its blobs, and its manifests in the
//! order in which they can be pushed, children before what names them.

use std::collections::{BTreeMap, BTreeSet};

use consign_format::{Descriptor, Digest, Limits, media_type};

use super::error::PushError;
use crate::BlobFolder;
use crate::manifest::{Manifest, Pointers};

/// A manifest or index that has to be in a repository, and stay there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Top {
    /// The repository, in full.
    pub repository: String,
    /// What it is.
    pub descriptor: Descriptor,
    /// Tags that keep it from being collected; without any it is there by its digest.
    pub tags: Vec<String>,
}

/// What one repository has to have.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Contents {
    /// Configurations and layers, by digest.
    pub(super) blobs: BTreeMap<Digest, Descriptor>,
    /// Manifests and indexes, children first.
    pub(super) manifests: Vec<Descriptor>,
    /// Tags, and what each stands for.
    pub(super) tags: BTreeMap<String, Digest>,
    seen: BTreeSet<Digest>,
}

/// All of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    pub(super) repositories: BTreeMap<String, Contents>,
    /// Media types of indexes that name manifests which do not travel.
    pub(super) sparse: BTreeSet<String>,
}

impl Plan {
    /// Follows `tops` through a folder of blobs. `carried` are the digests that belong to the release: an index may
    /// name manifests beyond them.
    pub fn of(tops: &[Top], blobs: &BlobFolder, carried: &BTreeSet<Digest>) -> Result<Self, PushError> {
        let mut plan = Plan::default();
        for top in tops {
            plan.add(top, blobs, carried)?;
        }
        Ok(plan)
    }

    fn add(&mut self, top: &Top, blobs: &BlobFolder, carried: &BTreeSet<Digest>) -> Result<(), PushError> {
        let contents = self.repositories.entry(top.repository.clone()).or_default();
        contents.tags.extend(top.tags.iter().map(|tag| (tag.clone(), top.descriptor.digest)));
        // Depth first, without recursion: a manifest is listed when it comes up for the second time.
        let mut waiting = vec![(top.descriptor.clone(), false)];
        while let Some((descriptor, is_followed)) = waiting.pop() {
            if is_followed {
                contents.manifests.push(descriptor);
                continue;
            }
            if !contents.seen.insert(descriptor.digest) {
                continue;
            }
            let bytes = blobs.read(&descriptor.digest, Limits::DEFAULT.manifest)?;
            let manifest = Manifest::parse(&bytes, Some(&descriptor.media_type)).map_err(|source| {
                PushError::Manifest { digest: descriptor.digest, repository: top.repository.clone(), source }
            })?;
            waiting.push((Descriptor::new(&manifest.media_type, descriptor.digest, bytes.len() as u64), true));
            let is_index = matches!(manifest.content, Pointers::Index(_));
            for pointer in manifest.pointers() {
                if is_index && !carried.contains(&pointer.digest) {
                    self.sparse.insert(manifest.media_type.clone());
                } else if media_type::is_manifest(&pointer.media_type) {
                    waiting.push((pointer.clone(), false));
                } else {
                    contents.blobs.insert(pointer.digest, pointer.clone());
                }
            }
        }
        Ok(())
    }

    /// Every blob once, with the repositories it has to be in.
    pub(super) fn by_blob(&self) -> BTreeMap<Digest, (&Descriptor, Vec<&str>)> {
        let mut by_blob: BTreeMap<Digest, (&Descriptor, Vec<&str>)> = BTreeMap::new();
        for (repository, contents) in &self.repositories {
            for (digest, descriptor) in &contents.blobs {
                by_blob.entry(*digest).or_insert_with(|| (descriptor, Vec::new())).1.push(repository);
            }
        }
        by_blob
    }

    /// The bytes of all blobs, each counted once for every repository it has to be in.
    pub fn bytes(&self) -> u64 {
        let blobs = self.repositories.values().flat_map(|contents| contents.blobs.values());
        blobs.fold(0, |sum, blob| sum.saturating_add(blob.size))
    }

    /// The repositories that have to have each blob; for whoever wants to know where a registry has it already.
    pub fn places(&self) -> impl Iterator<Item = (Digest, &str)> {
        self.repositories
            .iter()
            .flat_map(|(repository, contents)| contents.blobs.keys().map(move |digest| (*digest, repository.as_str())))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn put(blobs: &BlobFolder, media_type: &str, bytes: &[u8]) -> Descriptor {
        let descriptor = Descriptor::of(media_type, bytes);
        blobs.put(&descriptor.digest, descriptor.size, bytes).unwrap();
        descriptor
    }

    #[test]
    fn children_come_before_what_names_them_and_nothing_comes_twice() {
        let dir = tempfile::tempdir().unwrap();
        let blobs = BlobFolder::open(dir.path()).unwrap();
        let config = put(&blobs, media_type::OCI_CONFIG, b"{}");
        let image = |layer: &[u8]| {
            let layer = put(&blobs, media_type::OCI_LAYER_TAR, layer);
            let text = json!({"schemaVersion": 2, "config": config, "layers": [layer]}).to_string();
            (layer, put(&blobs, media_type::OCI_MANIFEST, text.as_bytes()))
        };
        let index = |children: &[&Descriptor]| {
            let text = json!({"schemaVersion": 2, "manifests": children}).to_string();
            put(&blobs, media_type::OCI_INDEX, text.as_bytes())
        };
        let ((layer, one), (_, two)) = (image(b"one"), image(b"two"));
        let absent = Descriptor::new(media_type::OCI_MANIFEST, Digest::of(b"absent"), 6);
        let (inner, outer) = (index(&[&one]), index(&[&one, &two]));
        let top = index(&[&inner, &outer, &absent]);
        let tops = [("a", &top), ("a", &one), ("b", &one)].map(|(repository, descriptor)| Top {
            repository: repository.to_owned(),
            descriptor: descriptor.clone(),
            tags: vec!["kept".to_owned()],
        });
        let carried = [&one, &two, &inner, &outer, &top].map(|descriptor| descriptor.digest).into();
        let plan = Plan::of(&tops, &blobs, &carried).unwrap();
        let manifests: Vec<Digest> = plan.repositories["a"].manifests.iter().map(|manifest| manifest.digest).collect();
        assert_eq!(manifests.len(), 5, "{manifests:?}");
        let at = |descriptor: &Descriptor| manifests.iter().position(|digest| *digest == descriptor.digest).unwrap();
        for (child, parent) in [(&one, &inner), (&one, &outer), (&two, &outer), (&inner, &top), (&outer, &top)] {
            assert!(at(child) < at(parent), "{manifests:?}");
        }
        assert_eq!(plan.sparse.iter().collect::<Vec<_>>(), [media_type::OCI_INDEX]);
        assert_eq!(plan.by_blob()[&layer.digest].1, ["a", "b"]);
        assert_eq!(plan.bytes(), (2 + 3 + 3) + (2 + 3));
    }
}
