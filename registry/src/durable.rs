//! Files that survive a power cut, written once.
//!
//! The only place of this project that creates files others rely on: a temporary name in the same folder, fsync,
//! rename, fsync of the folder (DESIGN §1, rule 6). It never follows a link in the last part of a path, never writes
//! into a file that is already there, and leaves nothing behind when it fails.

use std::ffi::OsStr;
use std::fs::{File, Permissions};
use std::io::{self, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use consign_format::error::{Code, Coded, codes};
use rustix::fs::{AtFlags, Mode, OFlags, RenameFlags};
use rustix::io::Errno;

mod folder;
mod front;
mod place;

pub use folder::{Folder, create_dir};
pub use front::finish_front;
pub use place::Free;

/// How the temporary files of [`Draft`] begin, so that what a power cut left can be told from what was committed.
pub const DRAFT_PREFIX: &str = ".draft-";

/// What was being done when the operating system refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Opening or creating.
    Create,
    /// Writing bytes.
    Write,
    /// Reading bytes.
    Read,
    /// Waiting for the disk.
    Sync,
    /// Giving the file its name.
    Rename,
    /// Taking a file away.
    Remove,
}

impl std::fmt::Display for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Step::Create => "create",
            Step::Write => "write",
            Step::Read => "read",
            Step::Sync => "flush to disk",
            Step::Rename => "name",
            Step::Remove => "remove",
        })
    }
}

/// Why a file could not be made durable.
#[derive(Debug, thiserror::Error)]
pub enum DurableError {
    /// The operating system refused.
    #[error("cannot {step} {}", path.display())]
    Io {
        /// What was being done.
        step: Step,
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The disk, or the quota on it, is full.
    #[error("no room to write {}", path.display())]
    NoRoom {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The name is taken, and the caller asked not to replace.
    #[error("{} is already there", path.display())]
    Exists {
        /// The name that is taken.
        path: PathBuf,
    },
    /// A link, or something else that is neither a file nor a folder of ours, stands at this name.
    #[error("{} is not the {expected} that should be there", path.display())]
    Unsafe {
        /// What stands there.
        path: PathBuf,
        /// What should stand there: `file` or `folder`.
        expected: &'static str,
    },
}

impl DurableError {
    /// Wraps what the operating system said, with the step and the path it said it about.
    pub fn io(step: Step, path: &Path, source: impl Into<io::Error>) -> Self {
        let (path, source) = (path.to_owned(), source.into());
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => DurableError::NoRoom { path, source },
            _ => DurableError::Io { step, path, source },
        }
    }
}

impl Coded for DurableError {
    fn code(&self) -> Code {
        match self {
            DurableError::Io { .. } => codes::IO,
            DurableError::NoRoom { .. } => codes::NO_ROOM,
            DurableError::Exists { .. } => codes::ALREADY_EXISTS,
            DurableError::Unsafe { .. } => codes::UNSAFE_FILE,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            DurableError::NoRoom { .. } => Some(
                "make room on that disk (`df` says how many bytes are free, `df -i` how many files) and run again"
                    .to_owned(),
            ),
            DurableError::Unsafe { path, .. } => {
                Some(format!("find out who put {} there; remove it only when you know", path.display()))
            }
            _ => None,
        }
    }
}

/// What to do when the name is taken at the time of [`Draft::commit`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// Put the new file in its place, atomically.
    Replace,
    /// Refuse with [`DurableError::Exists`].
    Refuse,
}

/// An open temporary file that is either committed to a name in its folder, or removed when dropped.
#[derive(Debug)]
pub struct Draft {
    file: File,
    folder: Folder,
    name: String,
    live: bool,
}

impl Draft {
    /// Creates an empty draft in a folder, with exactly these permission bits whatever the umask.
    pub fn create(folder: &Folder, mode: u32) -> Result<Self, DurableError> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        loop {
            // Unique within the process; what an earlier process of the same number left is stepped over by EXCL.
            let name = format!("{DRAFT_PREFIX}{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
            match rustix::fs::openat(folder.handle.as_fd(), name.as_str(), flags, Mode::from_raw_mode(0o600)) {
                Ok(fd) => {
                    let draft = Draft { file: File::from(fd), folder: folder.clone(), name, live: true };
                    draft.permit(mode)?;
                    return Ok(draft);
                }
                Err(Errno::EXIST) => continue,
                Err(errno) => return Err(DurableError::io(Step::Create, &folder.path.join(name), errno)),
            }
        }
    }

    /// A file system without modes (FAT on a stick) gives what it gives, and that will do where nobody gets more by it.
    fn permit(&self, mode: u32) -> Result<(), DurableError> {
        let Err(error) = self.file.set_permissions(Permissions::from_mode(mode)) else { return Ok(()) };
        let given = self.file.metadata().map_err(|error| self.error(Step::Create, error))?.permissions().mode();
        if given & 0o077 & !mode == 0 { Ok(()) } else { Err(self.error(Step::Create, error)) }
    }

    /// The open file, for reading back and for writing at an offset.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Waits until the bytes and the mode (which `fdatasync` may leave out) are on the disk; the name is not, before
    /// [`Draft::commit`].
    pub fn sync(&self) -> Result<(), DurableError> {
        self.file.sync_all().map_err(|source| self.error(Step::Sync, source))
    }

    /// Syncs, gives the draft its name (one path component) and syncs the folder.
    pub fn commit(self, name: &OsStr, existing: Existing) -> Result<(), DurableError> {
        self.sync()?;
        let folder = self.folder.clone();
        self.rename(name, existing)?;
        folder.sync()
    }

    /// Gives the draft its name and syncs nothing: for callers that have synced the draft and will sync the folder.
    pub fn rename(mut self, name: &OsStr, existing: Existing) -> Result<(), DurableError> {
        let target = self.folder.path.join(name);
        if name.as_encoded_bytes().contains(&b'/') || matches!(name.to_str(), Some("" | "." | "..")) {
            return Err(DurableError::Unsafe { path: target, expected: "file" });
        }
        let at = self.folder.handle.as_fd();
        let renamed = match existing {
            Existing::Replace => rustix::fs::renameat(at, self.name.as_str(), at, name),
            Existing::Refuse => rename_into_gap(at, &self.name, name),
        };
        match renamed {
            Ok(()) => {
                self.live = false;
                Ok(())
            }
            Err(Errno::EXIST) => Err(DurableError::Exists { path: target }),
            Err(errno) => Err(DurableError::io(Step::Rename, &target, errno)),
        }
    }

    /// Wraps an I/O error of this draft with its path.
    pub fn error(&self, step: Step, source: io::Error) -> DurableError {
        DurableError::io(step, &self.folder.path.join(&self.name), source)
    }
}

/// Renames only if the new name is free. A file system without `RENAME_NOREPLACE` gets the two-step form with
/// `link`, which is as atomic. One without links either (FAT by FUSE) is looked at first; nobody else writes to a stick.
fn rename_into_gap(at: BorrowedFd<'_>, draft: &str, name: &OsStr) -> Result<(), Errno> {
    match rustix::fs::renameat_with(at, draft, at, name, RenameFlags::NOREPLACE) {
        Err(Errno::INVAL | Errno::NOSYS) => match rustix::fs::linkat(at, draft, at, name, AtFlags::empty()) {
            Ok(()) => rustix::fs::unlinkat(at, draft, AtFlags::empty()),
            Err(Errno::PERM | Errno::NOSYS | Errno::OPNOTSUPP) => {
                match rustix::fs::statat(at, name, AtFlags::SYMLINK_NOFOLLOW) {
                    Err(Errno::NOENT) => rustix::fs::renameat(at, draft, at, name),
                    Ok(_) => Err(Errno::EXIST),
                    Err(error) => Err(error),
                }
            }
            Err(error) => Err(error),
        },
        done => done,
    }
}

impl Write for Draft {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.file.write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Seek for Draft {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.file.seek(to)
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if self.live {
            // Best effort: a draft that stays is told by its prefix and removed by the next run.
            let _ = self.folder.remove_file(OsStr::new(&self.name));
        }
    }
}

/// Writes a file as a whole, replacing what was there: after a power cut it is the old one or the new one.
pub fn write_file(path: &Path, bytes: &[u8], mode: u32) -> Result<(), DurableError> {
    write_file_as(path, bytes, mode, Existing::Replace)
}

/// Writes a file that must not be there yet.
pub fn write_new_file(path: &Path, bytes: &[u8], mode: u32) -> Result<(), DurableError> {
    write_file_as(path, bytes, mode, Existing::Refuse)
}

fn write_file_as(path: &Path, bytes: &[u8], mode: u32, existing: Existing) -> Result<(), DurableError> {
    let Some(name) = path.file_name() else {
        return Err(DurableError::Unsafe { path: path.to_owned(), expected: "file" });
    };
    let mut draft = Draft::create(&Folder::open(&parent_of(path))?, mode)?;
    if let Err(source) = draft.write_all(bytes) {
        return Err(DurableError::io(Step::Write, path, source));
    }
    draft.commit(name, existing)
}

/// The folder a file lies in; `.` for a bare name.
pub fn parent_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => PathBuf::from("."),
        Some(parent) => parent.to_owned(),
        None => path.to_owned(),
    }
}

#[cfg(test)]
mod tests;
