//! What of a release is still to be loaded, whether the bundle has it, and whether there is room for it.
//!
//! Asked before the first byte is copied: a site finds out at once, and not after an hour of copying.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use consign_format::carriage::{Carriage, Place};
use consign_format::error::{Code, Coded, codes};
use consign_format::release::ReleaseManifest;
use consign_format::{Digest, canonical};
use consign_registry::durable::Free;
use consign_registry::{BlobError, BlobFolder};
use consign_terminal::bytes;

/// A file occupies whole blocks, and a folder entry; counted generously.
const PER_FILE: u64 = 8192;
/// Kept free for state, journal and receipts.
const RESERVE: u64 = 4 << 20;
/// The files of state, journal and receipts.
const RESERVE_FILES: u64 = 32;

/// What is to be loaded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Supply {
    /// Blobs that are not at the site and are in the bundle.
    pub wanted: BTreeSet<Digest>,
    /// Their bytes.
    pub bytes: u64,
}

/// The release cannot become whole here.
#[derive(Debug, thiserror::Error)]
pub enum SupplyError {
    /// Blobs that are nowhere.
    #[error("{count} blobs of the release are neither in the bundle nor at this site, such as {first}")]
    BaseMissing {
        /// How many.
        count: usize,
        /// One of them.
        first: Digest,
    },
    /// There is no room.
    #[error("loading needs {} under {}, and {} are free", bytes(*.need), path.display(), bytes(*.free))]
    NoRoom {
        /// Bytes needed, with what a file system takes for itself.
        need: u64,
        /// Bytes free.
        free: u64,
        /// Where.
        path: PathBuf,
    },
    /// There are no inodes for so many files.
    #[error("loading needs {need} more files under {}, and the file system has room for {free} (inodes)", path.display())]
    NoFiles {
        /// Files needed.
        need: u64,
        /// Files that can still be made.
        free: u64,
        /// Where.
        path: PathBuf,
    },
    /// A blob at the site cannot be looked at.
    #[error(transparent)]
    Blob(#[from] BlobError),
}

impl Coded for SupplyError {
    fn code(&self) -> Code {
        match self {
            SupplyError::BaseMissing { .. } => codes::BASE_MISSING,
            SupplyError::NoRoom { .. } | SupplyError::NoFiles { .. } => codes::NO_ROOM,
            SupplyError::Blob(error) => error.code(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            SupplyError::BaseMissing { .. } => Some("bring a full bundle of this release".to_owned()),
            SupplyError::NoRoom { .. } => Some("make room on that disk and run again; nothing was copied".to_owned()),
            SupplyError::NoFiles { .. } => {
                Some("remove files from that disk (`df -i` counts them) and run again; nothing was copied".to_owned())
            }
            SupplyError::Blob(error) => error.hint(),
        }
    }
}

/// Finds what is to be loaded. Of the blobs that are here, those that no release `held` at the site speaks of were left
/// by a run that was cut off, or put there by somebody: they are hashed before they count.
pub fn supply(
    release: &ReleaseManifest,
    carriage: &Carriage,
    blobs: &BlobFolder,
    held: &BTreeSet<Digest>,
) -> Result<Supply, SupplyError> {
    let carried = carried(carriage);
    let mut supply = Supply::default();
    let mut missing = Vec::new();
    for blob in &release.blobs {
        if blobs.contains(&blob.digest, blob.size)? {
            if !held.contains(&blob.digest) {
                rehash(blobs, &blob.digest)?;
            }
            continue;
        }
        if !carried.contains(&blob.digest) {
            missing.push(blob.digest);
        }
        // The sum of all sizes was checked with the release manifest.
        supply.bytes += blob.size;
        supply.wanted.insert(blob.digest);
    }
    match missing.first() {
        Some(first) => Err(SupplyError::BaseMissing { count: missing.len(), first: *first }),
        None => Ok(supply),
    }
}

fn rehash(blobs: &BlobFolder, digest: &Digest) -> Result<(), BlobError> {
    match blobs.rehash(digest) {
        Err(BlobError::Mismatch { .. }) => Err(BlobError::Foreign { path: blobs.path(digest) }),
        other => other.map(|_| ()),
    }
}

/// The blobs that a bundle carries, packed or not.
fn carried(carriage: &Carriage) -> BTreeSet<Digest> {
    let digest = |name: &str| match Place::parse(name) {
        Some(Place::Blob(digest) | Place::Packed(digest)) => Some(digest),
        _ => None,
    };
    carriage.members.iter().filter_map(|member| digest(&member.name)).collect()
}

/// Demands room for what is to be loaded, all of it, before anything is copied.
pub fn check_room(supply: &Supply, path: &Path, free: Free) -> Result<(), SupplyError> {
    if supply.wanted.is_empty() {
        return Ok(());
    }
    let blobs = supply.wanted.len() as u64;
    let need = supply.bytes.min(canonical::MAX_INTEGER) + blobs.saturating_mul(PER_FILE) + RESERVE;
    if need > free.bytes {
        return Err(SupplyError::NoRoom { need, free: free.bytes, path: path.to_owned() });
    }
    let need = blobs + RESERVE_FILES;
    match free.files.filter(|free| need > *free) {
        Some(free) => Err(SupplyError::NoFiles { need, free, path: path.to_owned() }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_needed_for_what_is_loaded_and_for_nothing_else() {
        let path = Path::new("/x");
        let nothing = Supply::default();
        let free = |bytes, files| Free { bytes, files };
        assert!(check_room(&nothing, path, free(0, Some(0))).is_ok(), "a bundle that is here already needs no room");
        let some = Supply { wanted: BTreeSet::from([Digest::of(b"a")]), bytes: 1000 };
        let need = 1000 + PER_FILE + RESERVE;
        assert!(check_room(&some, path, free(need, None)).is_ok());
        let refused = check_room(&some, path, free(need - 1, None)).unwrap_err();
        assert_eq!(refused.code(), codes::NO_ROOM);
        assert!(matches!(refused, SupplyError::NoRoom { need: n, free, .. } if n == need && free == need - 1));
        assert!(check_room(&some, path, free(need, Some(1 + RESERVE_FILES))).is_ok());
        let refused = check_room(&some, path, free(need, Some(RESERVE_FILES))).unwrap_err();
        assert_eq!(refused.code(), codes::NO_ROOM);
        assert!(matches!(refused, SupplyError::NoFiles { need: 33, free: 32, .. }));
    }
}
