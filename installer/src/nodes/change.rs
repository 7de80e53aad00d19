//! From what a node has to what it should have, or back to what it had.
//!
//! Everything is looked at first; only when nothing is in the way is the first byte written. The manifest of what will
//! be ours is on the disk before any of it, so that a run that was cut off is finished, or undone, by the next one.

use std::collections::{BTreeMap, BTreeSet};

use consign_format::Digest;
use consign_registry::durable::write_file;
use serde::Serialize;

use super::place::Found;
use super::written::{self, Before, Entry, Told, Written};
use super::{NodesError, OWN_FOLDER, Place, Runtime, WantedFile};

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
    /// Bytes of others that are back in their place then.
    forget: BTreeSet<Digest>,
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
        self.files().all(|file| file.action == Action::Unchanged) && self.before == self.after
    }

    /// The runtimes that have to read their configuration anew.
    pub fn restarts(&self) -> BTreeSet<Runtime> {
        let changed = self.files().filter(|file| file.restart && file.action != Action::Unchanged);
        changed.flat_map(|file| file.runtimes.iter().copied()).collect()
    }
}

/// Looks at everything that `runtimes` have and should have. To remove is to want nothing, and to tell nothing.
pub fn prepare(
    place: &Place,
    runtimes: &BTreeSet<Runtime>,
    wanted: &[WantedFile],
    told: Option<Told>,
    force: bool,
) -> Result<Change, NodesError> {
    let before = Written::read(place)?;
    let mut looking = Looking { place, force, foreign: vec![], changed: vec![], change: empty(before) };
    for file in wanted {
        looking.want(file)?;
    }
    let paths: BTreeSet<&str> = wanted.iter().map(|file| file.path.as_str()).collect();
    for (path, entry) in looking.change.before.files.clone() {
        if !paths.contains(path.as_str()) {
            looking.no_longer_want(&path, &entry, runtimes)?;
        }
    }
    looking.keep_other_readers(runtimes);
    if let Some(told) = told {
        looking.change.after.told = told;
    }
    looking.finish()
}

fn empty(before: Written) -> Change {
    let after = Written { files: BTreeMap::new(), ..before.clone() };
    Change { files: vec![], keep: BTreeMap::new(), forget: BTreeSet::new(), before, after }
}

struct Looking<'a> {
    place: &'a Place,
    force: bool,
    foreign: Vec<std::path::PathBuf>,
    changed: Vec<std::path::PathBuf>,
    change: Change,
}

/// Whose the file is that stands at a path.
enum Whose {
    Nobodys,
    Ours,
    Wanted,
    /// Ours, with something in it that we did not write.
    Changed,
    Foreign,
}

fn whose(found: Option<&Found>, entry: Option<&Entry>, wanted: Option<&WantedFile>) -> Whose {
    let Some(found) = found else { return Whose::Nobodys };
    let digest = Digest::of(&found.bytes);
    if wanted.is_some_and(|file| file.content.as_bytes() == found.bytes && (entry.is_some() || !file.is_shared())) {
        return Whose::Wanted;
    }
    match entry {
        None => Whose::Foreign,
        Some(entry) => {
            // What was there before us is there again where a run was cut off before it wrote.
            let before = entry.before.as_ref().map(|before| before.digest);
            let known = [Some(entry.digest), entry.was, before].contains(&Some(digest));
            if known { Whose::Ours } else { Whose::Changed }
        }
    }
}

impl WantedFile {
    /// Whether somebody else may have written the very same: a file without our comment in it.
    fn is_shared(&self) -> bool {
        !self.content.starts_with('#')
    }
}

impl Looking<'_> {
    fn want(&mut self, file: &WantedFile) -> Result<(), NodesError> {
        let entry = self.change.before.files.get(&file.path).cloned();
        let found = self.place.read(&file.path)?;
        let mut before = entry.as_ref().and_then(|entry| entry.before.clone());
        let action = match whose(found.as_ref(), entry.as_ref(), Some(file)) {
            Whose::Nobodys => Action::Written,
            Whose::Wanted if found.as_ref().is_some_and(|found| found.mode == file.mode) => Action::Unchanged,
            Whose::Wanted | Whose::Ours => Action::Replaced,
            Whose::Changed => {
                self.changed.push(self.place.name(&file.path));
                Action::Replaced
            }
            Whose::Foreign => {
                self.foreign.push(self.place.name(&file.path));
                before = found.as_ref().map(|found| self.keep(found));
                Action::Replaced
            }
        };
        let digest = Digest::of(file.content.as_bytes());
        let was = entry.and_then(|entry| if entry.digest == digest { entry.was } else { Some(entry.digest) });
        let (runtimes, restart) = (file.runtimes.clone(), file.restart);
        let kept = Entry { digest, was, restart, runtimes: runtimes.clone(), before };
        self.change.after.files.insert(file.path.clone(), kept);
        let content = Some(Content { bytes: file.content.clone().into_bytes(), mode: file.mode });
        let file = FileChange { path: file.path.clone(), action, runtimes, restart };
        self.change.files.push(Planned { file, content });
        Ok(())
    }

    fn keep(&mut self, found: &Found) -> Before {
        let digest = Digest::of(&found.bytes);
        self.change.keep.insert(digest, found.bytes.clone());
        Before { digest, mode: found.mode }
    }

    fn no_longer_want(&mut self, path: &str, entry: &Entry, runtimes: &BTreeSet<Runtime>) -> Result<(), NodesError> {
        let others: BTreeSet<Runtime> = entry.runtimes.difference(runtimes).copied().collect();
        if !others.is_empty() {
            self.change.after.files.insert(path.to_owned(), Entry { runtimes: others, ..entry.clone() });
            return Ok(());
        }
        let found = self.place.read(path)?;
        match whose(found.as_ref(), Some(entry), None) {
            Whose::Changed => self.changed.push(self.place.name(path)),
            // Somebody took it away already.
            Whose::Nobodys if entry.before.is_none() => return Ok(()),
            _ => {}
        }
        let content = match &entry.before {
            None => None,
            Some(before) => {
                let bytes = written::bring_back(self.place, &before.digest)?;
                self.change.forget.insert(before.digest);
                Some(Content { bytes, mode: before.mode })
            }
        };
        let action = if content.is_some() { Action::Restored } else { Action::Removed };
        let (path, runtimes, restart) = (path.to_owned(), entry.runtimes.clone(), entry.restart);
        self.change.files.push(Planned { file: FileChange { path, action, runtimes, restart }, content });
        Ok(())
    }

    /// A file that others still read keeps their names.
    fn keep_other_readers(&mut self, runtimes: &BTreeSet<Runtime>) {
        for (path, entry) in &mut self.change.after.files {
            if let Some(earlier) = self.change.before.files.get(path) {
                entry.runtimes.extend(earlier.runtimes.difference(runtimes));
                entry.restart |= earlier.restart && !entry.runtimes.is_empty();
            }
        }
    }

    fn finish(mut self) -> Result<Change, NodesError> {
        if !self.force && !self.foreign.is_empty() {
            return Err(NodesError::Foreign { paths: self.foreign });
        }
        if !self.force && !self.changed.is_empty() {
            return Err(NodesError::Changed { paths: self.changed });
        }
        // The same bytes may have stood at two paths, of which one still needs them.
        let needed: BTreeSet<Digest> =
            self.change.after.files.values().filter_map(|entry| entry.before.as_ref()).map(|b| b.digest).collect();
        self.change.forget.retain(|digest| !needed.contains(digest));
        self.change.files.sort_by(|a, b| a.file.path.cmp(&b.file.path));
        Ok(self.change)
    }
}

/// Does what was prepared.
pub fn make(place: &Place, mut change: Change) -> Result<(), NodesError> {
    if change.is_nothing() {
        return Ok(());
    }
    let writes =
        change.files.iter().filter(|planned| planned.content.is_some()).map(|planned| planned.file.path.clone());
    let manifest = format!("{OWN_FOLDER}/written");
    for path in std::iter::once(manifest.clone()).chain(writes) {
        for folder in written::missing_folders(place, &path)? {
            if !change.after.folders.contains(&folder) {
                change.after.folders.push(folder);
            }
        }
    }
    written::make_folders(place, &manifest)?;
    let _lock = written::lock(place)?;
    for (digest, bytes) in &change.keep {
        written::keep(place, digest, bytes)?;
    }
    // Until all is done, what goes away is still in the manifest.
    let mut meanwhile = change.after.clone();
    for (path, entry) in &change.before.files {
        meanwhile.files.entry(path.clone()).or_insert_with(|| entry.clone());
    }
    meanwhile.write(place)?;
    for planned in &change.files {
        put(place, planned)?;
    }
    settle(place, &change)
}

fn put(place: &Place, planned: &Planned) -> Result<(), NodesError> {
    let file = &planned.file;
    let path = place.resolve(&file.path)?;
    match &planned.content {
        _ if file.action == Action::Unchanged => Ok(()),
        None => written::remove(&path),
        Some(content) => {
            written::make_folders(place, &file.path)?;
            Ok(write_file(&path, &content.bytes, content.mode)?)
        }
    }
}

/// The manifest of what is now; where nothing of ours is left, nothing at all is.
fn settle(place: &Place, change: &Change) -> Result<(), NodesError> {
    if !change.after.is_empty() {
        change.after.write(place)?;
    }
    for digest in &change.forget {
        written::forget(place, digest)?;
    }
    if change.after.is_empty() {
        written::remove_manifest(place)?;
        written::remove_folders(place, &change.after.folders)?;
    }
    Ok(())
}
