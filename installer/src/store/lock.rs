//! One run at a time: whoever changes a site holds the lock of its store until the end of the run.
//!
//! The kernel lets go of it when the process ends, however it ends; so there is no stale lock to clean up. What a run
//! that was cut off had half written is: whoever takes the lock knows that nobody writes any more, and removes it.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::time::Duration;

use consign_registry::durable::{DurableError, Folder, Step};
use rustix::fs::{FlockOperation, OFlags, flock};

use super::{Store, StoreError};

/// How long is waited after each try. A process that starts another one shares its open files with it for the moment
/// until that is a program of its own, and with them a lock that it has let go of itself.
const PAUSES: [Duration; 3] = [Duration::from_millis(20), Duration::from_millis(100), Duration::ZERO];

/// The lock, held until it is dropped.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// Takes the lock, or refuses if another run has it. Drafts of a run that was cut off are removed.
pub fn take(store: &Store) -> Result<Lock, StoreError> {
    let path = store.dir().join("lock");
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).mode(0o600).custom_flags(OFlags::NOFOLLOW.bits() as i32);
    let file = options.open(&path).map_err(|source| DurableError::io(Step::Create, &path, source))?;
    for pause in PAUSES {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {
                remove_drafts(store)?;
                return Ok(Lock { _file: file });
            }
            Err(error) if error == rustix::io::Errno::WOULDBLOCK => std::thread::sleep(pause),
            Err(error) => return Err(DurableError::io(Step::Create, &path, error).into()),
        }
    }
    Err(StoreError::Busy { dir: store.dir().to_owned() })
}

/// Whether a run has the lock now. Where nothing was ever changed, none has.
pub fn is_held(store: &Store) -> Result<bool, StoreError> {
    let path = store.dir().join("lock");
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(OFlags::NOFOLLOW.bits() as i32);
    let file = match options.open(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        // Who may not open it can't know; what the journal says counts then.
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => return Ok(false),
        other => other.map_err(|source| DurableError::io(Step::Read, &path, source))?,
    };
    match flock(&file, FlockOperation::NonBlockingLockShared) {
        Ok(()) => Ok(false),
        Err(error) if error == rustix::io::Errno::WOULDBLOCK => Ok(true),
        Err(error) => Err(DurableError::io(Step::Read, &path, error).into()),
    }
}

/// Removes the drafts of small files; those of blobs are removed by who opens the blobs.
fn remove_drafts(store: &Store) -> Result<(), StoreError> {
    let dir = store.dir();
    let mut folders: Vec<_> = ["", "trust", "trust/domains", "repositories", "releases", "receipts", "journal"]
        .map(|name| dir.join(name))
        .into();
    folders.extend(store.config_file().parent().map(ToOwned::to_owned));
    for by_domain in ["products", "files/placed", "files/units"] {
        if let Ok(domains) = std::fs::read_dir(dir.join(by_domain)) {
            folders.extend(domains.flatten().filter(|entry| entry.path().is_dir()).map(|entry| entry.path()));
        }
    }
    for folder in folders.iter().filter(|folder| folder.is_dir()) {
        Folder::open(folder)?.remove_drafts()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_half_written_is_gone_once_the_lock_is_taken() {
        let root = tempfile::tempdir().unwrap();
        let store = Store::at(root.path());
        store.create().unwrap();
        let by_domain = ["products/dev", "files/placed/dev", "files/units/dev"];
        for place in by_domain {
            consign_registry::durable::create_dir(&store.dir().join(place), 0o755).unwrap();
        }
        let places = [&by_domain[..], &["", "trust", "trust/domains", "repositories", "releases", "receipts"]].concat();
        for place in &places {
            std::fs::write(store.dir().join(place).join(".draft-1-2"), "half").unwrap();
            std::fs::write(store.dir().join(place).join("kept"), "whole").unwrap();
        }
        drop(take(&store).unwrap());
        for place in &places {
            assert!(!store.dir().join(place).join(".draft-1-2").exists(), "{place}");
            assert!(store.dir().join(place).join("kept").exists(), "{place}");
        }
    }

    #[test]
    fn the_second_run_is_refused_until_the_first_has_ended() {
        let root = tempfile::tempdir().unwrap();
        let store = Store::at(root.path());
        store.create().unwrap();
        let held = take(&store).unwrap();
        assert!(matches!(take(&store), Err(StoreError::Busy { .. })));
        drop(held);
        take(&store).unwrap();
    }
}
