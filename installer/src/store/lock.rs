//! One run at a time: whoever changes a site holds the lock of its store until the end of the run.
//!
//! The kernel lets go of it when the process ends, however it ends; so there is no stale lock to clean up.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;

use consign_registry::durable::{DurableError, Step};
use rustix::fs::{FlockOperation, OFlags, flock};

use super::{Store, StoreError};

/// The lock, held until it is dropped.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// Takes the lock, or refuses at once if another run has it.
pub fn take(store: &Store) -> Result<Lock, StoreError> {
    let path = store.dir().join("lock");
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).mode(0o600).custom_flags(OFlags::NOFOLLOW.bits() as i32);
    let file = options.open(&path).map_err(|source| DurableError::io(Step::Create, &path, source))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Lock { _file: file }),
        Err(error) if error == rustix::io::Errno::WOULDBLOCK => Err(StoreError::Busy { dir: store.dir().to_owned() }),
        Err(error) => Err(DurableError::io(Step::Create, &path, error).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
