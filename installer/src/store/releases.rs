//! Release manifests, kept as they were signed: what a rollback and the registry read long after the medium is gone.

use std::collections::BTreeSet;

use consign_format::Digest;
use consign_format::Limits;
use consign_format::release::ReleaseManifest;
use consign_registry::durable::{DurableError, Step, write_file};

use super::{Store, StoreError, state_file};

impl Store {
    /// Keeps a release manifest under its digest.
    pub fn write_release(&self, digest: &Digest, manifest: &ReleaseManifest) -> Result<(), StoreError> {
        let path = self.release_file(digest);
        // The canonical form is unique, so these are the bytes that were signed; were they not, nothing is kept.
        let bytes = manifest.to_bytes().map_err(|error| StoreError::damaged(&path, error.to_string()))?;
        if Digest::of(&bytes) != *digest {
            return Err(StoreError::damaged(&path, "it is not the manifest that was signed"));
        }
        Ok(write_file(&path, &bytes, 0o444)?)
    }

    /// The blobs of every release that some product holds: each was hashed when it was loaded.
    pub fn held_blobs(&self) -> Result<BTreeSet<Digest>, StoreError> {
        let mut held = BTreeSet::new();
        for product in self.products()? {
            for release in product.held() {
                held.extend(self.read_release(&release.digest)?.blobs.iter().map(|blob| blob.digest));
            }
        }
        Ok(held)
    }

    /// The releases that were complete here once and have not been collected, by their files' names.
    pub fn known_releases(&self) -> Result<BTreeSet<Digest>, StoreError> {
        let mut known = BTreeSet::new();
        for folder in [self.releases_dir(), self.repositories_dir()] {
            let unreadable = |source| DurableError::io(Step::Read, &folder, source);
            for entry in std::fs::read_dir(&folder).map_err(unreadable)? {
                let name = entry.map_err(unreadable)?.file_name();
                known.extend(name.to_str().and_then(|name| Digest::from_hex(name).ok()));
            }
        }
        Ok(known)
    }

    /// Reads a release manifest back; it must be there and be the one its name says.
    pub fn read_release(&self, digest: &Digest) -> Result<ReleaseManifest, StoreError> {
        let path = self.release_file(digest);
        let bytes = state_file::read_bytes(&path, Limits::DEFAULT.release)?;
        let bytes = bytes.ok_or_else(|| StoreError::Missing { path: path.clone() })?;
        if Digest::of(&bytes) != *digest {
            return Err(StoreError::damaged(path, "its digest does not hold"));
        }
        ReleaseManifest::parse(&bytes).map_err(|error| StoreError::damaged(path, error.to_string()))
    }
}
