//! The second half of replacing the first bytes of a large file: the new ones wait beside it, so that a power cut leaves
//! the means to finish.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::OFlags;

use super::{DurableError, Folder, Step, parent_of};

/// Puts bytes over the beginning of a file. They are whole on the disk under the name `waiting` already; that name goes
/// away when the last one is in its place and on the disk.
///
/// # Errors
/// [`DurableError`]; it can be tried again.
pub fn finish_front(path: &Path, waiting: &Path, front: &[u8]) -> Result<(), DurableError> {
    let file = open(path, front)?;
    file.write_all_at(front, 0).map_err(|source| DurableError::io(Step::Write, path, source))?;
    file.sync_data().map_err(|source| DurableError::io(Step::Sync, path, source))?;
    let folder = Folder::open(&parent_of(waiting))?;
    folder.remove_file(waiting.file_name().unwrap_or_default())?;
    folder.sync()
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
