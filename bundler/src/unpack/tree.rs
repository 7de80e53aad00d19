//! The folder that is being filled: one of our own making, so that nothing in it can lead elsewhere.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::layer::LayerError;
use super::{Bounds, UnpackError};

/// How much is read at a time.
const BUFFER: usize = 64 * 1024;

pub(super) struct Tree {
    root: PathBuf,
    bounds: Bounds,
    made: BTreeSet<PathBuf>,
    entries: u64,
    spent: u64,
    buffer: Vec<u8>,
    /// Files written.
    pub(super) files: u64,
    /// Bytes written.
    pub(super) bytes: u64,
}

impl Tree {
    pub(super) fn new(root: &Path, bounds: Bounds) -> Self {
        let (root, buffer) = (root.to_owned(), vec![0; BUFFER]);
        Tree { root, bounds, made: BTreeSet::new(), entries: 0, spent: 0, buffer, files: 0, bytes: 0 }
    }

    /// Counts an entry of a layer.
    pub(super) fn entry(&mut self) -> Result<(), UnpackError> {
        self.entries += 1;
        match self.entries > self.bounds.entries {
            true => Err(UnpackError::OverLimit { what: "entries", limit: self.bounds.entries }),
            false => Ok(()),
        }
    }

    /// Writes a file; an error of the source is one of form, an error of the folder ends the run.
    pub(super) fn write(&mut self, path: &Path, content: &mut dyn Read) -> Result<u64, LayerError> {
        let (mut file, path) = self.create(path).map_err(|source| self.error(path, source))?;
        let mut written = 0;
        loop {
            let read = match content.read(&mut self.buffer) {
                Ok(0) => break,
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(LayerError::Form(error.to_string())),
            };
            self.count(read as u64)?;
            file.write_all(&self.buffer[..read]).map_err(|source| self.error(&path, source))?;
            written += read as u64;
            self.bytes += read as u64;
        }
        self.files += 1;
        Ok(written)
    }

    /// Counts what comes out of a layer, written or not: what is passed over takes time too.
    pub(super) fn count(&mut self, bytes: u64) -> Result<(), UnpackError> {
        self.spent = self.spent.saturating_add(bytes);
        match self.spent > self.bounds.bytes {
            true => Err(UnpackError::OverLimit { what: "bytes", limit: self.bounds.bytes }),
            false => Ok(()),
        }
    }

    /// Creates a file that is not there yet. Where the name is taken (a layer may hold a name twice, or a file where
    /// another of its entries needs a folder), the file lies under `%again` instead: the scanner must see both.
    pub(super) fn create(&mut self, path: &Path) -> io::Result<(File, PathBuf)> {
        match self.create_at(path) {
            Ok(file) => return Ok((file, path.to_owned())),
            Err(error) if matches!(error.kind(), io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory) => {}
            Err(error) => return Err(error),
        }
        let last = path.file_name().unwrap_or_default();
        let elsewhere = Path::new("%again").join(self.entries.to_string()).join(last);
        let file = self.create_at(&elsewhere)?;
        Ok((file, elsewhere))
    }

    fn create_at(&mut self, path: &Path) -> io::Result<File> {
        let parent = path.parent().unwrap_or(Path::new(""));
        if !self.made.contains(parent) {
            std::fs::create_dir_all(self.root.join(parent))?;
            self.made.insert(parent.to_owned());
        }
        // create_new follows no link and opens nothing that is there; the mode is ours, never the layer's.
        OpenOptions::new().write(true).create_new(true).mode(0o644).open(self.root.join(path))
    }

    fn error(&self, path: &Path, source: io::Error) -> UnpackError {
        UnpackError::Io { path: self.root.join(path), source }
    }
}
