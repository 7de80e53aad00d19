//! What this program wrote on a node: path by path, with digests, so that nothing of anybody else is ever taken for ours.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs::File;
use std::path::{Path, PathBuf};

use consign_format::Digest;
use consign_registry::durable::{DurableError, Folder, Step, create_dir, write_file};
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use super::place::metadata;
use super::{NodesError, OWN_FOLDER, Place, Runtime};
use crate::store::{StoreError, state_file};

/// The manifest of what was written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Written {
    /// The files, by their path on the node.
    pub files: BTreeMap<String, Entry>,
    /// The folders that were made for them, in the order in which they were made.
    pub folders: Vec<String>,
    /// What was said when they were written, for the next run that says nothing.
    #[serde(default)]
    pub told: Told,
}

/// What the person who wrote the files said, or the configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Told {
    /// The servers.
    pub servers: Vec<String>,
    /// Hosts beside those that the store names.
    pub hosts: BTreeSet<String>,
    /// The file with the credentials.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credentials: Option<PathBuf>,
    /// Whether other machines may be asked without TLS.
    pub plain_http: bool,
}

/// One file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Entry {
    /// What we wrote.
    pub digest: Digest,
    /// What we wrote before that; a run that was cut off may have left it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub was: Option<Digest>,
    /// Whether the runtime reads it only when it starts, or is told to.
    #[serde(default)]
    pub restart: bool,
    /// The runtimes that read it.
    pub runtimes: BTreeSet<Runtime>,
    /// What somebody else had there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Before>,
}

/// A file of somebody else that ours took the place of; its bytes lie beside the manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Before {
    /// Its digest.
    pub digest: Digest,
    /// Its permission bits.
    pub mode: u32,
}

impl Written {
    /// Reads the manifest; an empty one where nothing was written.
    pub fn read(place: &Place) -> Result<Self, NodesError> {
        Ok(state_file::read(&manifest(place)?)?.unwrap_or_default())
    }

    /// Writes the manifest down. Its folder is there.
    pub fn write(&self, place: &Place) -> Result<(), NodesError> {
        Ok(state_file::write(&manifest(place)?, self, 0o600)?)
    }

    /// The runtimes that something was written for.
    pub fn runtimes(&self) -> BTreeSet<Runtime> {
        self.files.values().flat_map(|entry| entry.runtimes.iter().copied()).collect()
    }

    /// Whether it says nothing, so that nothing of it need stay.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }
}

fn manifest(place: &Place) -> Result<PathBuf, NodesError> {
    place.resolve(&format!("{OWN_FOLDER}/written"))
}

/// Where the bytes of a file of somebody else are kept.
fn kept(digest: &Digest) -> String {
    format!("{OWN_FOLDER}/before-{}", digest.hex())
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

/// Takes kept bytes away.
pub(super) fn forget(place: &Place, digest: &Digest) -> Result<(), NodesError> {
    remove(&place.resolve(&kept(digest))?)
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

/// Takes away the folders that we made and that nobody put anything into.
pub(super) fn remove_folders(place: &Place, folders: &[String]) -> Result<(), NodesError> {
    for folder in folders.iter().rev() {
        let real = place.resolve(folder)?;
        // What is not empty, or gone already, is left as it is.
        let _ = std::fs::remove_dir(&real);
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
