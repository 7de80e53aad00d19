//! A [`Content`] held as tables in memory over a [`BlobFolder`]: names, tags, and the closure of their manifests.
//!
//! Built once from what a store refers to, then read without locks. A store that changes builds a new one.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use consign_format::{Descriptor, Digest, Limits};

use super::{Content, ContentError};
use crate::blobs::{BlobError, BlobFolder};
use crate::manifest::{Manifest, ManifestError};

/// Why something cannot be put on the shelf.
#[derive(Debug, thiserror::Error)]
pub enum ShelfError {
    /// Its blob cannot be had.
    #[error(transparent)]
    Blob(#[from] BlobError),
    /// It is no manifest this project follows.
    #[error("cannot follow {digest}")]
    Manifest {
        /// The manifest.
        digest: Digest,
        /// Why.
        source: ManifestError,
    },
}

#[derive(Debug, Default)]
struct Repository {
    tags: BTreeMap<String, Descriptor>,
    manifests: BTreeMap<Digest, Descriptor>,
    blobs: BTreeMap<Digest, u64>,
    referrers: BTreeMap<Digest, BTreeMap<Digest, Descriptor>>,
}

/// Names and what stands behind them.
#[derive(Debug)]
pub struct Shelf {
    blobs: BlobFolder,
    repositories: BTreeMap<(String, String), Repository>,
}

impl Shelf {
    /// An empty shelf over a folder.
    pub fn new(blobs: BlobFolder) -> Self {
        Shelf { blobs, repositories: BTreeMap::new() }
    }

    /// Puts a manifest or an index, and everything behind it, under a name. The entries of an index that are not in
    /// the folder are left out (a sparse index); what a manifest points to must be there, which is not checked here:
    /// a blob that is missing is answered with an error when it is asked for.
    pub fn put(&mut self, host: &str, repository: &str, tag: Option<&str>, top: &Descriptor) -> Result<(), ShelfError> {
        let place = self.repositories.entry((host.to_owned(), repository.to_owned())).or_default();
        if let Some(tag) = tag {
            place.tags.insert(tag.to_owned(), top.clone());
        }
        let mut seen = BTreeSet::new();
        let mut waiting = vec![top.clone()];
        while let Some(descriptor) = waiting.pop() {
            if !seen.insert(descriptor.digest) {
                continue;
            }
            if descriptor.digest != top.digest && !self.blobs.contains(&descriptor.digest, descriptor.size)? {
                continue;
            }
            let bytes = self.blobs.read(&descriptor.digest, Limits::DEFAULT.manifest)?;
            let manifest = Manifest::parse(&bytes, Some(&descriptor.media_type))
                .map_err(|source| ShelfError::Manifest { digest: descriptor.digest, source })?;
            place.take(&descriptor.digest, bytes.len() as u64, &manifest, &mut waiting);
        }
        Ok(())
    }

    fn repository(&self, host: &str, repository: &str) -> Option<&Repository> {
        self.repositories.get(&(host.to_owned(), repository.to_owned()))
    }
}

impl Repository {
    fn take(&mut self, digest: &Digest, size: u64, manifest: &Manifest, waiting: &mut Vec<Descriptor>) {
        let descriptor = Descriptor::new(&manifest.media_type, *digest, size);
        self.manifests.insert(*digest, descriptor.clone());
        self.blobs.insert(*digest, size);
        for pointer in manifest.pointers() {
            if consign_format::media_type::is_manifest(&pointer.media_type) {
                waiting.push(pointer.clone());
            } else {
                self.blobs.insert(pointer.digest, pointer.size);
            }
        }
        if let Some(subject) = &manifest.subject {
            let referrer = Descriptor {
                artifact_type: manifest.artifact_type.clone(),
                annotations: manifest.annotations.clone(),
                ..descriptor
            };
            self.referrers.entry(subject.digest).or_default().insert(*digest, referrer);
        }
    }
}

impl Content for Shelf {
    fn resolve_tag(&self, host: &str, repository: &str, tag: &str) -> Result<Option<Descriptor>, ContentError> {
        Ok(self.repository(host, repository).and_then(|found| found.tags.get(tag)).cloned())
    }

    fn manifest(&self, host: &str, repository: &str, digest: &Digest) -> Result<Option<Descriptor>, ContentError> {
        Ok(self.repository(host, repository).and_then(|found| found.manifests.get(digest)).cloned())
    }

    fn blob(&self, host: &str, repository: &str, digest: &Digest) -> Result<Option<(PathBuf, u64)>, ContentError> {
        let size = self.repository(host, repository).and_then(|found| found.blobs.get(digest));
        Ok(size.map(|size| (self.blobs.path(digest), *size)))
    }

    fn tags(&self, host: &str, repository: &str) -> Result<Option<Vec<String>>, ContentError> {
        Ok(self.repository(host, repository).map(|found| found.tags.keys().cloned().collect()))
    }

    fn referrers(&self, host: &str, repository: &str, digest: &Digest) -> Result<Vec<Descriptor>, ContentError> {
        let found = self.repository(host, repository).and_then(|found| found.referrers.get(digest));
        Ok(found.map(|referrers| referrers.values().cloned().collect()).unwrap_or_default())
    }
}
