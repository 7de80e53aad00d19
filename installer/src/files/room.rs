//! Whether there is room for files, on every file system they go to.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;

use consign_registry::durable::Folder;
use consign_terminal::bytes;

use super::FilesError;

/// A file occupies whole blocks, and a folder entry; counted generously.
const PER_FILE: u64 = 8192;

/// Bytes and files needed by file system.
#[derive(Default)]
pub(super) struct Room {
    needs: BTreeMap<u64, (Folder, u64, u64)>,
}

impl Room {
    /// Adds what is to be written into a folder.
    pub(super) fn add(&mut self, folder: &Folder, size: u64) -> Result<(), FilesError> {
        let place = self.needs.entry(folder.metadata()?.dev()).or_insert_with(|| (folder.clone(), 0, 0));
        place.1 = place.1.saturating_add(size).saturating_add(PER_FILE);
        place.2 = place.2.saturating_add(1);
        Ok(())
    }

    /// Demands that there is room for all of it.
    pub(super) fn check(&self) -> Result<(), FilesError> {
        for (folder, need, files) in self.needs.values() {
            let at = || folder.path().display().to_string();
            let free = folder.free()?;
            if *need > free {
                return Err(FilesError::NoRoom { need: bytes(*need), free: bytes(free), at: at() });
            }
            if let Some(free) = folder.free_files()?.filter(|free| files > free) {
                let (need, free) = (format!("{files} inodes"), free.to_string());
                return Err(FilesError::NoRoom { need, free, at: at() });
            }
        }
        Ok(())
    }
}
