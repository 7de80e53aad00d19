//! Whether there is room for files, on every file system they go to.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;

use consign_registry::durable::Folder;
use consign_terminal::bytes;

use super::FilesError;

/// A file occupies whole blocks, and a folder entry; counted generously.
const PER_FILE: u64 = 8192;

/// What is needed, by file system.
#[derive(Default)]
pub(super) struct Room {
    needs: BTreeMap<u64, Need>,
}

struct Need {
    /// Some folder on it.
    folder: Folder,
    bytes: u64,
    files: u64,
}

impl Room {
    /// Adds what is to be written into a folder.
    pub(super) fn add(&mut self, folder: &Folder, size: u64) -> Result<(), FilesError> {
        let none = || Need { folder: folder.clone(), bytes: 0, files: 0 };
        let need = self.needs.entry(folder.metadata()?.dev()).or_insert_with(none);
        need.bytes = need.bytes.saturating_add(size).saturating_add(PER_FILE);
        need.files = need.files.saturating_add(1);
        Ok(())
    }

    /// Demands that there is room for all of it.
    pub(super) fn check(&self) -> Result<(), FilesError> {
        for Need { folder, bytes: need, files } in self.needs.values() {
            let at = || folder.path().display().to_string();
            let free = folder.free()?;
            if *need > free.bytes {
                return Err(FilesError::NoRoom { need: bytes(*need), free: bytes(free.bytes), at: at() });
            }
            if let Some(free) = free.files.filter(|free| files > free) {
                let (need, free) = (format!("{files} inodes"), free.to_string());
                return Err(FilesError::NoRoom { need, free, at: at() });
            }
        }
        Ok(())
    }
}
