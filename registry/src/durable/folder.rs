//! Folders: held open so that nothing leads out of them, and made so that they last.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use rustix::fs::{AtFlags, CWD, Mode, OFlags, RenameFlags};
use rustix::io::Errno;

use super::{DRAFT_PREFIX, DurableError, Step, parent_of};

/// `FUSE_SUPER_MAGIC` of Linux, `include/uapi/linux/magic.h`.
const FUSE: rustix::fs::FsWord = 0x6573_5546;

/// A folder held open, so that what happens inside it cannot be led elsewhere by a link.
#[derive(Debug, Clone)]
pub struct Folder {
    pub(super) handle: Arc<File>,
    pub(super) path: PathBuf,
}

impl Folder {
    /// Opens a folder. The last part of the path must be a folder itself, not a link to one.
    pub fn open(path: &Path) -> Result<Self, DurableError> {
        Self::open_at(CWD, path, path)
    }

    /// Opens a folder inside this one, making it first (mode 0755 under the process's umask) if it is not there.
    pub fn subfolder(&self, name: &str) -> Result<Self, DurableError> {
        let path = self.path.join(name);
        match rustix::fs::mkdirat(self.handle.as_fd(), name, Mode::from_raw_mode(0o755)) {
            Ok(()) => self.sync()?,
            Err(Errno::EXIST) => {}
            Err(errno) => return Err(DurableError::io(Step::Create, &path, errno)),
        }
        Self::open_at(self.handle.as_fd(), Path::new(name), &path)
    }

    fn open_at(at: BorrowedFd<'_>, name: &Path, path: &Path) -> Result<Self, DurableError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match rustix::fs::openat(at, name, flags, Mode::empty()) {
            Ok(fd) => Ok(Folder { handle: Arc::new(File::from(fd)), path: path.to_owned() }),
            Err(Errno::LOOP | Errno::NOTDIR) => Err(DurableError::Unsafe { path: path.to_owned(), expected: "folder" }),
            Err(errno) => Err(DurableError::io(Step::Create, path, errno)),
        }
    }

    /// Returns the path the folder was opened by.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Waits until the names in this folder are on the disk.
    pub fn sync(&self) -> Result<(), DurableError> {
        self.handle.sync_all().map_err(|source| DurableError::io(Step::Sync, &self.path, source))
    }

    /// Flushes the file system that this folder is on: much faster than flushing hundreds of files one by one. `false`
    /// where that is no promise, and the files have to be flushed: the kernel could not tell that a write failed (before
    /// Linux 5.8), or the file system is a program's (FUSE), which is told of `fsync` and mostly not of `syncfs`.
    pub fn flush_file_system(&self) -> Result<bool, DurableError> {
        let kind = rustix::fs::fstatfs(self.handle.as_fd())
            .map_err(|errno| DurableError::io(Step::Sync, &self.path, errno))?
            .f_type;
        if kind == FUSE || !syncfs_reports_errors() {
            return Ok(false);
        }
        // The errors reported are those since this descriptor was opened, so none before our writes is missed.
        rustix::fs::syncfs(self.handle.as_fd()).map_err(|errno| DurableError::io(Step::Sync, &self.path, errno))?;
        Ok(true)
    }

    /// Opens a regular file of this folder for reading; `None` if there is no such name, refused if it is anything else.
    pub fn open_file(&self, name: &OsStr) -> Result<Option<File>, DurableError> {
        let path = self.path.join(name);
        // NONBLOCK: opening a pipe somebody put there must not hang; it has no effect on a regular file.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match rustix::fs::openat(self.handle.as_fd(), name, flags, Mode::empty()) {
            Ok(fd) => File::from(fd),
            Err(Errno::NOENT) => return Ok(None),
            Err(Errno::LOOP) => return Err(DurableError::Unsafe { path, expected: "file" }),
            Err(errno) => return Err(DurableError::io(Step::Read, &path, errno)),
        };
        let metadata = file.metadata().map_err(|source| DurableError::io(Step::Read, &path, source))?;
        if metadata.is_file() { Ok(Some(file)) } else { Err(DurableError::Unsafe { path, expected: "file" }) }
    }

    /// Gives a file of this folder another name in it, in place of what has that name, and syncs.
    pub fn rename(&self, from: &OsStr, to: &OsStr) -> Result<(), DurableError> {
        let at = self.handle.as_fd();
        rustix::fs::renameat(at, from, at, to)
            .map_err(|errno| DurableError::io(Step::Rename, &self.path.join(to), errno))?;
        self.sync()
    }

    /// Lets two files of this folder swap their names in one step, and syncs.
    pub fn exchange(&self, one: &OsStr, other: &OsStr) -> Result<(), DurableError> {
        let at = self.handle.as_fd();
        rustix::fs::renameat_with(at, one, at, other, RenameFlags::EXCHANGE)
            .map_err(|errno| DurableError::io(Step::Rename, &self.path.join(one), errno))?;
        self.sync()
    }

    /// Gives a file of this folder a second name in it, in place of what has that name, and syncs.
    pub fn keep_as(&self, name: &OsStr, second: &OsStr) -> Result<(), DurableError> {
        let at = self.handle.as_fd();
        let draft = format!("{DRAFT_PREFIX}{}-second", std::process::id());
        self.remove_file(OsStr::new(&draft))?;
        rustix::fs::linkat(at, name, at, draft.as_str(), AtFlags::empty())
            .map_err(|errno| DurableError::io(Step::Create, &self.path.join(second), errno))?;
        self.rename(OsStr::new(&draft), second)?;
        // Where `second` was this very file already, rename(2) did nothing and the draft is still there.
        self.remove_file(OsStr::new(&draft))
    }

    /// Takes a name away; a name that is not there is no error. The caller syncs the folder.
    pub fn remove_file(&self, name: &OsStr) -> Result<(), DurableError> {
        match rustix::fs::unlinkat(self.handle.as_fd(), name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(DurableError::io(Step::Remove, &self.path.join(name), errno)),
        }
    }

    /// Removes the drafts that a power cut left, and returns how many there were. Only the one process that writes
    /// into this folder may call it.
    pub fn remove_drafts(&self) -> Result<usize, DurableError> {
        let mut removed = 0;
        let read = |source| DurableError::io(Step::Read, &self.path, source);
        for entry in std::fs::read_dir(&self.path).map_err(read)? {
            let name = entry.map_err(read)?.file_name();
            if name.as_encoded_bytes().starts_with(DRAFT_PREFIX.as_bytes()) {
                self.remove_file(&name)?;
                removed += 1;
            }
        }
        Ok(removed)
    }
}

/// Since Linux 5.8 (735e4ae5ba28), `syncfs` fails when a write-back has failed; before, it always succeeds.
fn syncfs_reports_errors() -> bool {
    static KNOWN: OnceLock<bool> = OnceLock::new();
    *KNOWN.get_or_init(|| {
        let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|number| number.parse::<u32>());
        matches!((numbers.next(), numbers.next()), (Some(Ok(major)), Some(Ok(minor))) if (major, minor) >= (5, 8))
    })
}

/// Makes a folder and every missing one above it, each synced into its parent. One that is there is left as it is;
/// a link or a file in its place is refused.
pub fn create_dir(path: &Path, mode: u32) -> Result<(), DurableError> {
    match std::fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => return Ok(()),
        Ok(_) => return Err(DurableError::Unsafe { path: path.to_owned(), expected: "folder" }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(DurableError::io(Step::Create, path, error)),
    }
    let parent = parent_of(path);
    if parent.as_path() != path && !parent.is_dir() {
        create_dir(&parent, mode)?;
    }
    match rustix::fs::mkdir(path, Mode::from_raw_mode(mode)) {
        Ok(()) => {}
        Err(Errno::EXIST) => return create_dir_is_there(path),
        Err(errno) => return Err(DurableError::io(Step::Create, path, errno)),
    }
    let sync = |dir: &Path| File::open(dir).and_then(|handle| handle.sync_all());
    sync(&parent).map_err(|source| DurableError::io(Step::Sync, &parent, source))
}

/// Another process made the same folder between our look and our `mkdir`.
fn create_dir_is_there(path: &Path) -> Result<(), DurableError> {
    Folder::open(path).map(|_| ())
}
