//! What the store need not keep (DESIGN §1.8, §5): everything that no current, previous or staged release refers to.
//!
//! A release that drops out is collected by itself, once its successor is confirmed. What else lies there (blobs of a load
//! that was cut off, blobs that were set aside) is left for a resume until somebody runs `consign-site gc`.

use std::collections::BTreeSet;
use std::ffi::OsString;

use consign_format::error::{Code, Coded, codes};
use consign_format::{Digest, Name};
use consign_registry::BlobError;
use consign_registry::durable::{DurableError, Folder};
use serde::Serialize;

use crate::store::{Store, StoreError};

/// What can go.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub struct Garbage {
    /// Releases that no product holds: their manifests and names.
    pub releases: BTreeSet<Digest>,
    /// Blobs that no release held refers to.
    pub blobs: BTreeSet<Digest>,
    /// Blobs that were set aside, by file name.
    pub aside: BTreeSet<String>,
    /// Files beside the blobs that nobody here has made; named, never removed.
    pub strangers: BTreeSet<String>,
    /// What the blobs take on the disk.
    pub bytes: u64,
}

/// How much is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Releases that were complete here once, and what only they refer to.
    Dropped,
    /// Everything that nothing refers to.
    Everything,
}

/// Nothing is collected.
#[derive(Debug, thiserror::Error)]
pub enum GcError {
    /// A release is on trial: the one before may be needed at any moment, and the one before that as well.
    #[error("release {version} of {product} is active and not confirmed")]
    Unconfirmed {
        /// The product.
        product: Name,
        /// The version on trial.
        version: String,
    },
    /// The store cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<BlobError> for GcError {
    fn from(error: BlobError) -> Self {
        GcError::Store(error.into())
    }
}

impl From<DurableError> for GcError {
    fn from(error: DurableError) -> Self {
        GcError::Store(error.into())
    }
}

impl Coded for GcError {
    fn code(&self) -> Code {
        match self {
            GcError::Unconfirmed { .. } => codes::NOT_CONFIRMED,
            GcError::Store(error) => error.code(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            GcError::Unconfirmed { .. } => {
                Some("run consign-site install with the same bundle again, or with a newer one".to_owned())
            }
            GcError::Store(error) => error.hint(),
        }
    }
}

/// Finds what can go; changes nothing. The caller holds the store's lock, or takes the answer for an estimate.
///
/// # Errors
/// [`GcError`]: a release is on trial, or a manifest that must be there cannot be read. Then nothing is garbage.
pub fn look(store: &Store, scope: Scope) -> Result<Garbage, GcError> {
    let (mut held, mut kept) = (BTreeSet::new(), BTreeSet::new());
    for product in store.products()? {
        if let Some(current) = product.current.as_ref().filter(|current| !current.confirmed) {
            let version = current.release.version.clone();
            return Err(GcError::Unconfirmed { product: product.product, version });
        }
        for release in product.held() {
            held.insert(release.digest);
            kept.extend(store.read_release(&release.digest)?.blobs.iter().map(|blob| blob.digest));
        }
    }
    let mut garbage = Garbage { releases: &store.known_releases()? - &held, ..Garbage::default() };
    let blobs = store.blobs()?;
    let listing = blobs.list()?;
    let candidates: BTreeSet<Digest> = match scope {
        Scope::Everything => listing.blobs.into_iter().collect(),
        // One that cannot be read any more leaves its blobs for `consign-site gc`.
        Scope::Dropped => {
            let dropped = garbage.releases.iter().filter_map(|release| store.read_release(release).ok());
            dropped.flat_map(|release| release.blobs).map(|blob| blob.digest).collect()
        }
    };
    garbage.blobs = &candidates - &kept;
    for digest in &garbage.blobs {
        garbage.bytes += std::fs::symlink_metadata(blobs.path(digest)).map_or(0, |metadata| metadata.len());
    }
    if scope == Scope::Everything {
        let text = |name: OsString| name.to_string_lossy().into_owned();
        garbage.aside = listing.aside.into_iter().map(text).collect();
        garbage.strangers = listing.strangers.into_iter().map(text).collect();
    }
    Ok(garbage)
}

/// Takes it away. The caller holds the store's lock since before it looked.
///
/// Blobs go first: cut off anywhere, the releases that are left say what is still to go.
pub fn collect(store: &Store, garbage: &Garbage) -> Result<(), GcError> {
    let blobs = store.blobs()?;
    for digest in &garbage.blobs {
        blobs.remove(digest)?;
    }
    for name in &garbage.aside {
        blobs.remove_aside(name.as_ref())?;
    }
    blobs.sync()?;
    for folder in [store.repositories_dir(), store.releases_dir()] {
        let folder = Folder::open(&folder)?;
        for release in &garbage.releases {
            folder.remove_file(release.hex().as_ref())?;
        }
        folder.sync()?;
    }
    Ok(())
}
