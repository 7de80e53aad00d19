//! The journal: what was begun and what was ended, one line each, on the disk before the next thing is done.
//!
//! It decides nothing. Every step is idempotent and is resumed by running again; the journal says to people, and to
//! `status`, where a run was cut off. It is the one place in which a refused bundle leaves a trace: a count.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use consign_format::{Digest, Name};
use consign_registry::durable::{DurableError, Folder, Step};
use rustix::fs::OFlags;
use serde::{Deserialize, Serialize};

use super::{Store, StoreError, state_file};

/// From this size on a new journal is begun; the one before is kept.
const FULL: u64 = 4 << 20;

/// One line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// Seconds since 1970 by the site's clock.
    pub at: u64,
    /// What is done: `verify`, `load`, `push`, `activate`, `apply`, `health`, `confirm`, `rollback`, `receipt`.
    pub step: String,
    /// Whether it begins, ended or failed.
    pub mark: Mark,
    /// The product.
    pub product: Name,
    /// The release.
    pub release: Digest,
    /// What else is to be said; never Secret data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// Where a step stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Mark {
    /// It begins now.
    Begin,
    /// It ended well.
    End,
    /// It failed.
    Failed,
}

/// The journal of one site, open for appending.
#[derive(Debug)]
pub struct Journal {
    file: File,
    path: PathBuf,
}

impl Journal {
    /// Opens the journal. A last line that a power cut left unfinished is cut off: it never was on record.
    pub fn open(store: &Store) -> Result<Self, StoreError> {
        let path = store.journal_dir().join("journal");
        let io = |step| move |source| DurableError::io(step, &store.journal_dir().join("journal"), source);
        let mut options = OpenOptions::new();
        options.read(true).append(true).create(true).mode(0o644).custom_flags(OFlags::NOFOLLOW.bits() as i32);
        let mut file = options.open(&path).map_err(io(Step::Create))?;
        let length = file.metadata().map_err(io(Step::Read))?.len();
        if length > FULL {
            set_aside(store.journal_dir().as_path())?;
            return Journal::open(store);
        }
        let mut text = Vec::new();
        file.seek(SeekFrom::Start(0)).and_then(|_| file.read_to_end(&mut text)).map_err(io(Step::Read))?;
        let whole = text.iter().rposition(|&b| b == b'\n').map_or(0, |at| at + 1);
        if whole < text.len() {
            file.set_len(whole as u64).map_err(io(Step::Write))?;
        }
        Folder::open(&store.journal_dir())?.sync()?;
        Ok(Journal { file, path })
    }

    /// Writes a line and waits until it is on the disk.
    pub fn write(&mut self, entry: &Entry) -> Result<(), StoreError> {
        let unwritable = |source| StoreError::Unwritable { path: self.path.clone(), source };
        let mut line = serde_json::to_vec(entry).map_err(unwritable)?;
        line.push(b'\n');
        let io = |source| DurableError::io(Step::Write, &self.path, source);
        let length = self.file.metadata().map_err(io)?.len();
        let written = self.file.write_all(&line).and_then(|()| self.file.sync_data());
        // What a full disk left of the line must not become the beginning of the next; if this fails too, the next run
        // cuts it off.
        written.map_err(|source| {
            let _ = self.file.set_len(length);
            io(source).into()
        })
    }
}

fn set_aside(folder: &Path) -> Result<(), StoreError> {
    let (from, to) = (folder.join("journal"), folder.join("journal.old"));
    rustix::fs::rename(&from, &to).map_err(|error| DurableError::io(Step::Rename, &from, error))?;
    Ok(Folder::open(folder)?.sync()?)
}

impl Store {
    /// Reads the journal, oldest line first; an unfinished last line does not count.
    pub fn read_journal(&self) -> Result<Vec<Entry>, StoreError> {
        let path = self.journal_dir().join("journal");
        let bytes = state_file::read_bytes(&path, 2 * FULL)?.unwrap_or_default();
        let whole = bytes.iter().rposition(|&b| b == b'\n').map_or(0, |at| at + 1);
        let lines = bytes[..whole].split(|&b| b == b'\n').filter(|line| !line.is_empty());
        lines
            .map(|line| serde_json::from_slice(line).map_err(|error| StoreError::damaged(&path, error.to_string())))
            .collect()
    }

    /// The step that a run began and neither ended nor failed: where it was cut off.
    pub fn cut_off(&self) -> Result<Option<Entry>, StoreError> {
        let last = self.read_journal()?.into_iter().next_back();
        Ok(last.filter(|entry| entry.mark == Mark::Begin))
    }

    /// Bundles refused since the receipt before.
    pub fn refused(&self) -> Result<u64, StoreError> {
        Ok(state_file::read(&self.journal_dir().join("refused"))?.unwrap_or(0))
    }

    /// Sets the number of bundles refused.
    pub fn set_refused(&self, count: u64) -> Result<(), StoreError> {
        state_file::write(&self.journal_dir().join("refused"), &count, 0o644)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(step: &str, mark: Mark) -> Entry {
        let (product, release) = ("p".parse().unwrap(), Digest::of(b"r"));
        Entry { at: 7, step: step.to_owned(), mark, product, release, note: None }
    }

    #[test]
    fn a_torn_line_never_was_on_record() {
        let root = tempfile::tempdir().unwrap();
        let store = Store::at(root.path());
        store.create().unwrap();
        let mut journal = Journal::open(&store).unwrap();
        journal.write(&entry("load", Mark::Begin)).unwrap();
        assert_eq!(store.cut_off().unwrap(), Some(entry("load", Mark::Begin)));
        journal.write(&entry("load", Mark::End)).unwrap();
        assert_eq!(store.cut_off().unwrap(), None);
        journal.file.write_all(b"{\"at\":7,\"st").unwrap();
        assert_eq!(store.read_journal().unwrap().len(), 2);
        drop(journal);
        let mut journal = Journal::open(&store).unwrap();
        journal.write(&entry("apply", Mark::Begin)).unwrap();
        let steps: Vec<String> = store.read_journal().unwrap().into_iter().map(|entry| entry.step).collect();
        assert_eq!(steps, ["load", "load", "apply"]);
    }

    #[test]
    fn a_full_journal_is_set_aside() {
        let root = tempfile::tempdir().unwrap();
        let store = Store::at(root.path());
        store.create().unwrap();
        let line = [vec![b' '; FULL as usize], b"\n".to_vec()].concat();
        std::fs::write(store.journal_dir().join("journal"), line).unwrap();
        Journal::open(&store).unwrap().write(&entry("load", Mark::Begin)).unwrap();
        assert_eq!(store.read_journal().unwrap().len(), 1);
        assert!(store.journal_dir().join("journal.old").exists());
    }
}
