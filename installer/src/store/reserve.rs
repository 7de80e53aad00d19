//! Room that a run sets aside before it begins, so that it can be brought to an end though the disk runs full meanwhile:
//! the journal's lines, the product's file and the receipt. A site that nobody watches goes back by itself even then.
//!
//! Several files, because a file system runs out of inodes as well. They are drafts: whoever takes the lock next removes
//! what a power cut left of them.

use std::io::Write as _;

use consign_registry::durable::{Draft, DurableError, Folder, Step};
use consign_terminal::bytes;

use super::{Store, StoreError};

/// What one of the files holds. A receipt is some kilobytes.
const FILE: usize = 32 << 10;
/// How many there are: a receipt that stays, and a few files that are replaced one after the other.
const FILES: usize = 8;

/// Room set aside, until it is needed or dropped.
#[derive(Debug)]
pub struct Reserve {
    folder: Folder,
    files: Vec<Draft>,
}

impl Reserve {
    /// Sets room aside on the file system of the store.
    ///
    /// # Errors
    /// [`StoreError::NoReserve`] where there is not even that much; then nothing has been begun.
    pub fn set_aside(store: &Store) -> Result<Self, StoreError> {
        let folder = Folder::open(store.dir())?;
        let mut reserve = Reserve { folder, files: Vec::new() };
        for _ in 0..FILES {
            match file(&reserve.folder) {
                Ok(file) => reserve.files.push(file),
                Err(DurableError::NoRoom { source, .. }) => {
                    reserve.give_back();
                    return Err(StoreError::NoReserve { what: reserve.in_words(), source });
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(reserve)
    }

    /// Gives the room back to the file system; whether there was any left to give.
    pub fn give_back(&mut self) -> bool {
        let had = !self.files.is_empty();
        self.files.clear();
        if had {
            // Only then some file systems hand the blocks out again; where that fails, the next write says so.
            let _ = self.folder.sync();
        }
        had
    }

    /// What is needed, and what there is.
    fn in_words(&self) -> String {
        let need = format!("{} in {FILES} files", bytes((FILE * FILES) as u64));
        let Ok(free) = self.folder.free() else { return format!("{need} under {}", self.folder.path().display()) };
        let files = free.files.map_or(String::new(), |files| format!(" in {files} files"));
        let free = bytes(free.bytes);
        format!("{need} under {}, and {free}{files} are free", self.folder.path().display())
    }
}

impl Drop for Reserve {
    /// To last: after a power cut none of it is found.
    fn drop(&mut self) {
        self.give_back();
    }
}

fn file(folder: &Folder) -> Result<Draft, DurableError> {
    let mut draft = Draft::create(folder, 0o600)?;
    draft.write_all(&[0; FILE]).map_err(|source| draft.error(Step::Write, source))?;
    Ok(draft)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_set_aside_is_gone_when_it_is_given_back_and_when_it_is_dropped() {
        let root = tempfile::tempdir().unwrap();
        let store = Store::at(root.path());
        store.create().unwrap();
        let drafts = || {
            let names = std::fs::read_dir(store.dir()).unwrap().map(|entry| entry.unwrap());
            names.filter(|entry| entry.file_name().to_string_lossy().starts_with(".draft-")).count()
        };
        let mut reserve = Reserve::set_aside(&store).unwrap();
        assert_eq!(drafts(), FILES);
        assert!(reserve.give_back());
        assert_eq!(drafts(), 0);
        assert!(!reserve.give_back(), "it is given back once");
        let again = Reserve::set_aside(&store).unwrap();
        drop(again);
        assert_eq!(drafts(), 0);
    }
}
