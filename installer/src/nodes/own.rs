//! The folder of our own on a node, and the folders that are made for files: made, locked, cleaned, taken away again.
//!
//! A run may be cut off anywhere. So the manifest is there before what it lists and goes after it, and what is left
//! where even that was cut off can be told: nobody else writes here.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::File;
use std::path::{Path, PathBuf};

use consign_format::Digest;
use consign_registry::durable::{DurableError, Folder, Step, create_dir, write_file};
use rustix::fs::{FlockOperation, flock};

use super::place::metadata;
use super::{NodesError, OWN_FOLDER, Place};
use crate::store::StoreError;

/// How the names of kept files begin.
const KEPT: &str = "before-";

/// Where the manifest is.
pub(super) fn manifest(place: &Place) -> Result<PathBuf, NodesError> {
    place.resolve(&format!("{OWN_FOLDER}/written"))
}

/// Where the bytes of a file of somebody else are kept.
fn kept(digest: &Digest) -> String {
    format!("{OWN_FOLDER}/{KEPT}{}", digest.hex())
}

/// Keeps the bytes of a file of somebody else.
pub(super) fn keep(place: &Place, digest: &Digest, bytes: &[u8]) -> Result<(), NodesError> {
    Ok(write_file(&place.resolve(&kept(digest))?, bytes, 0o600)?)
}

/// Gives kept bytes back; they must be what was kept.
pub(super) fn bring_back(place: &Place, digest: &Digest) -> Result<Vec<u8>, NodesError> {
    let path = kept(digest);
    let found = place.read(&path)?.ok_or_else(|| StoreError::Missing { path: place.name(&path) })?;
    if Digest::of(&found.bytes) != *digest {
        return Err(StoreError::damaged(place.name(&path), "its digest does not hold").into());
    }
    Ok(found.bytes)
}

/// Takes kept bytes away, but for those that are still needed.
pub(super) fn forget_all_but(place: &Place, needed: &BTreeSet<Digest>) -> Result<(), NodesError> {
    for path in place.files(OWN_FOLDER, "") {
        let name = path.rsplit('/').next().unwrap_or_default();
        let Some(hex) = name.strip_prefix(KEPT) else { continue };
        if !needed.iter().any(|digest| digest.hex() == hex) {
            remove(&place.resolve(&path)?)?;
        }
    }
    Ok(())
}

/// Takes the manifest away.
pub(super) fn remove_manifest(place: &Place) -> Result<(), NodesError> {
    remove(&manifest(place)?)
}

/// Takes a file away and syncs its folder; one that is not there is no error.
pub(super) fn remove(path: &Path) -> Result<(), NodesError> {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else { return Ok(()) };
    if metadata(folder)?.is_none() {
        return Ok(());
    }
    let folder = Folder::open(folder)?;
    folder.remove_file(OsStr::new(name))?;
    Ok(folder.sync()?)
}

/// The folders above a file that are not there yet, outermost first, as paths of the node.
pub(super) fn missing_folders(place: &Place, path: &str) -> Result<Vec<String>, NodesError> {
    let mut missing = Vec::new();
    let mut folder = path;
    while let Some((above, _)) = folder.rsplit_once('/').filter(|(above, _)| !above.is_empty()) {
        if metadata(&place.resolve(above)?)?.is_some() {
            break;
        }
        missing.push(above.to_owned());
        folder = above;
    }
    missing.reverse();
    Ok(missing)
}

/// Makes the missing folders above a file.
pub(super) fn make_folders(place: &Place, path: &str) -> Result<(), NodesError> {
    for folder in missing_folders(place, path)? {
        let mode = if folder == OWN_FOLDER { 0o700 } else { 0o755 };
        create_dir(&place.resolve(&folder)?, mode)?;
    }
    Ok(())
}

/// Takes away the folders that we made and that nobody put anything into, and returns those that are left.
pub(super) fn remove_folders(place: &Place, folders: Vec<String>) -> Result<Vec<String>, NodesError> {
    let mut left = Vec::new();
    for folder in folders.into_iter().rev() {
        let real = place.resolve(&folder)?;
        if metadata(&real)?.is_some() && std::fs::remove_dir(&real).is_err() {
            left.push(folder);
        }
    }
    left.reverse();
    Ok(left)
}

/// Whether the manifest lies in this folder, or below it.
pub(super) fn holds_manifest(folder: &str) -> bool {
    Path::new(OWN_FOLDER).starts_with(folder)
}

/// The folders that a run made for the manifest before it was cut off: ours, and those above it that hold nothing else.
pub(super) fn leftovers(place: &Place) -> Result<Vec<String>, NodesError> {
    if metadata(&place.resolve(OWN_FOLDER)?)?.is_none() {
        return Ok(Vec::new());
    }
    let (mut found, mut folder) = (vec![OWN_FOLDER.to_owned()], OWN_FOLDER);
    while let Some((above, _)) = folder.rsplit_once('/').filter(|(above, _)| !above.is_empty()) {
        if place.files(above, "").len() != 1 {
            break;
        }
        found.push(above.to_owned());
        folder = above;
    }
    found.reverse();
    Ok(found)
}

/// Removes what a run that was cut off had half written beside these files.
pub(super) fn remove_drafts<'a>(place: &Place, files: impl Iterator<Item = &'a String>) -> Result<(), NodesError> {
    let folders: BTreeSet<&str> = files.filter_map(|path| Some(path.rsplit_once('/')?.0)).collect();
    for folder in folders {
        let real = place.resolve(folder)?;
        if metadata(&real)?.is_some_and(|found| found.is_dir()) {
            Folder::open(&real)?.remove_drafts()?;
        }
    }
    Ok(())
}

/// One run at a time: the folder itself is locked, so that no file of a lock is left. The kernel lets go of it.
#[derive(Debug)]
pub(super) struct Lock {
    _folder: File,
}

/// Takes the lock. The folder must be there.
pub(super) fn lock(place: &Place) -> Result<Lock, NodesError> {
    let path = place.resolve(OWN_FOLDER)?;
    let folder = File::open(&path).map_err(|source| DurableError::io(Step::Read, &path, source))?;
    match flock(&folder, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Lock { _folder: folder }),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(StoreError::Busy { dir: path }.into()),
        Err(errno) => Err(DurableError::io(Step::Read, &path, errno).into()),
    }
}
