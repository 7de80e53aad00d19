//! Replaces the first bytes of a large file such that a power cut leaves the old ones, or the means to finish.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::OFlags;

use super::{DurableError, Folder, Step, parent_of, write_file};

/// Puts bytes over the beginning of a file. They are whole on the disk under the name `waiting`, in the same folder,
/// before the first one is copied; that name goes away when the last one is on the disk.
///
/// # Errors
/// [`DurableError`]. Where `waiting` is there, [`finish_front`] does the rest.
pub fn replace_front(path: &Path, waiting: &Path, front: &[u8]) -> Result<(), DurableError> {
    // Before anything waits: a file that cannot be written to would never be finished.
    let file = open(path, front)?;
    write_file(waiting, front, 0o644)?;
    finish(&file, path, waiting, front)
}

/// Finishes what [`replace_front`] began, with the bytes that wait.
///
/// # Errors
/// [`DurableError`]; it can be tried again.
pub fn finish_front(path: &Path, waiting: &Path, front: &[u8]) -> Result<(), DurableError> {
    finish(&open(path, front)?, path, waiting, front)
}

fn open(path: &Path, front: &[u8]) -> Result<File, DurableError> {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let opened = OpenOptions::new().write(true).custom_flags(flags).open(path);
    let file = opened.map_err(|source| DurableError::io(Step::Create, path, source))?;
    let metadata = file.metadata().map_err(|source| DurableError::io(Step::Read, path, source))?;
    if !metadata.is_file() || metadata.len() < front.len() as u64 {
        return Err(DurableError::Unsafe { path: path.to_owned(), expected: "file" });
    }
    Ok(file)
}

fn finish(file: &File, path: &Path, waiting: &Path, front: &[u8]) -> Result<(), DurableError> {
    file.write_all_at(front, 0).map_err(|source| DurableError::io(Step::Write, path, source))?;
    file.sync_data().map_err(|source| DurableError::io(Step::Sync, path, source))?;
    let folder = Folder::open(&parent_of(waiting))?;
    folder.remove_file(waiting.file_name().unwrap_or_default())?;
    folder.sync()
}
