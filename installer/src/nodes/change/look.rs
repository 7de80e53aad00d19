//! Looks at every file that is ours or should be, and says what is to be done; nothing is changed here.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use consign_format::Digest;

use super::{Action, Change, Content, FileChange, Planned};
use crate::nodes::place::Found;
use crate::nodes::written::{Before, Entry, Told, Written};
use crate::nodes::{NodesError, Place, Runtime, WantedFile, own};

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
    Change { files: vec![], keep: BTreeMap::new(), before, after }
}

struct Looking<'a> {
    place: &'a Place,
    force: bool,
    foreign: Vec<PathBuf>,
    changed: Vec<PathBuf>,
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
                let bytes = own::bring_back(self.place, &before.digest)?;
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
        self.change.files.sort_by(|a, b| a.file.path.cmp(&b.file.path));
        Ok(self.change)
    }
}
