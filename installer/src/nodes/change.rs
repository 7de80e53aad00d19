//! From what a node has to what it should have, or back to what it had.
//!
//! Everything is looked at first; only when nothing is in the way is the first byte written. The manifest of what will
//! be ours is on the disk before any of it, so that a run that was cut off is finished, or undone, by the next one.

use std::collections::{BTreeMap, BTreeSet};

use consign_format::Digest;
use consign_registry::durable::write_file;
use serde::Serialize;

use super::written::Written;
use super::{NodesError, OWN_FOLDER, Place, Runtime, own};
use crate::store::StoreError;

mod look;

pub use look::prepare;

/// What is done with one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Action {
    /// It was not there.
    Written,
    /// It was there, and was ours or may go.
    Replaced,
    /// It is as it should be.
    Unchanged,
    /// It is taken away.
    Removed,
    /// What somebody else had there is back.
    Restored,
}

/// One file and what is done with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FileChange {
    /// The path on the node.
    pub path: String,
    /// What is done.
    pub action: Action,
    /// The runtimes that read it.
    pub runtimes: BTreeSet<Runtime>,
    /// Whether they read it only when they start, or are told to.
    pub restart: bool,
}

#[derive(Debug)]
struct Planned {
    file: FileChange,
    /// What is to be written, where something is.
    content: Option<Content>,
}

#[derive(Debug)]
struct Content {
    bytes: Vec<u8>,
    mode: u32,
}

/// All that is to be done; nothing of it is yet.
#[derive(Debug)]
pub struct Change {
    files: Vec<Planned>,
    /// Bytes of others that have to be kept first.
    keep: BTreeMap<Digest, Vec<u8>>,
    before: Written,
    after: Written,
}

impl Change {
    /// The files, in the order of their paths.
    pub fn files(&self) -> impl Iterator<Item = &FileChange> {
        self.files.iter().map(|planned| &planned.file)
    }

    /// Whether nothing on the node is another thing than it should be.
    pub fn is_nothing(&self) -> bool {
        let leftovers = self.after.is_empty() && !self.after.folders.is_empty();
        self.files().all(|file| file.action == Action::Unchanged) && self.before == self.after && !leftovers
    }

    /// The runtimes that have to read their configuration anew.
    pub fn restarts(&self) -> BTreeSet<Runtime> {
        let changed = self.files().filter(|file| file.restart && file.action != Action::Unchanged);
        changed.flat_map(|file| file.runtimes.iter().copied()).collect()
    }
}

/// Does what was prepared.
pub fn make(place: &Place, mut change: Change) -> Result<(), NodesError> {
    if change.is_nothing() {
        return Ok(());
    }
    let manifest = format!("{OWN_FOLDER}/written");
    change.note_folders(place, &manifest)?;
    own::make_folders(place, &manifest)?;
    let _lock = own::lock(place)?;
    let now = Written::read(place)?;
    if (&now.files, &now.told) != (&change.before.files, &change.before.told) {
        // Another run was faster, so what was looked at is no longer so.
        return Err(StoreError::Busy { dir: place.name(OWN_FOLDER) }.into());
    }
    let meanwhile = change.meanwhile();
    own::remove_drafts(place, meanwhile.files.keys().chain([&manifest]))?;
    for (digest, bytes) in &change.keep {
        own::keep(place, digest, bytes)?;
    }
    meanwhile.write(place)?;
    for planned in &change.files {
        put(place, planned)?;
    }
    settle(place, change.after, &meanwhile)
}

impl Change {
    /// Remembers which folders will have been made for what is written.
    fn note_folders(&mut self, place: &Place, manifest: &str) -> Result<(), NodesError> {
        let writes = self.files.iter().filter(|planned| planned.content.is_some());
        for path in std::iter::once(manifest).chain(writes.map(|planned| planned.file.path.as_str())) {
            for folder in own::missing_folders(place, path)? {
                if !self.after.folders.contains(&folder) {
                    self.after.folders.push(folder);
                }
            }
        }
        Ok(())
    }

    /// The manifest until all is done: what goes away is still in it.
    fn meanwhile(&self) -> Written {
        let mut meanwhile = self.after.clone();
        for (path, entry) in &self.before.files {
            meanwhile.files.entry(path.clone()).or_insert_with(|| entry.clone());
        }
        meanwhile
    }
}

fn put(place: &Place, planned: &Planned) -> Result<(), NodesError> {
    let file = &planned.file;
    let path = place.resolve(&file.path)?;
    match &planned.content {
        _ if file.action == Action::Unchanged => Ok(()),
        None => own::remove(&path),
        Some(content) => {
            own::make_folders(place, &file.path)?;
            Ok(write_file(&path, &content.bytes, content.mode)?)
        }
    }
}

/// The manifest of what is now; where nothing of ours is left, nothing at all is. What the manifest needs goes last.
fn settle(place: &Place, mut after: Written, meanwhile: &Written) -> Result<(), NodesError> {
    let (own, others): (Vec<String>, Vec<String>) =
        std::mem::take(&mut after.folders).into_iter().partition(|path| own::holds_manifest(path));
    let left = own::remove_folders(place, others)?;
    if after.is_empty() {
        own::remove_manifest(place)?;
        own::forget_all_but(place, &BTreeSet::new())?;
        own::remove_folders(place, own)?;
        return Ok(());
    }
    after.folders = own.into_iter().chain(left).collect();
    if after != *meanwhile {
        after.write(place)?;
    }
    own::forget_all_but(place, &after.kept())
}
