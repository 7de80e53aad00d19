//! Files that survive a power cut, written once.
//!
//! The only place of this project that creates files others rely on: a temporary name in the same folder, fsync,
//! rename, fsync of the folder (DESIGN §1, rule 6). It never follows a link in the last part of a path, never writes
//! into a file that is already there, and leaves nothing behind when it fails.

use std::ffi::OsStr;
use std::fs::{File, Permissions};
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use consign_format::error::{Code, Coded, codes};
use rustix::fs::{AtFlags, CWD, Mode, OFlags, RenameFlags};
use rustix::io::Errno;

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
            DurableError::NoRoom { .. } => Some("make room on that disk and run again".to_owned()),
            DurableError::Unsafe { path, .. } => {
                Some(format!("find out who put {} there; remove it only when you know", path.display()))
            }
            _ => None,
        }
    }
}

/// A folder held open, so that what happens inside it cannot be led elsewhere by a link.
#[derive(Debug, Clone)]
pub struct Folder {
    handle: Arc<File>,
    path: PathBuf,
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
    /// where the kernel could not tell that a write failed (before Linux 5.8), and the files have to be flushed.
    pub fn flush_file_system(&self) -> Result<bool, DurableError> {
        if !syncfs_reports_errors() {
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
                    let permissions = Permissions::from_mode(mode);
                    draft.file.set_permissions(permissions).map_err(|e| draft.error(Step::Create, e))?;
                    return Ok(draft);
                }
                Err(Errno::EXIST) => continue,
                Err(errno) => return Err(DurableError::io(Step::Create, &folder.path.join(name), errno)),
            }
        }
    }

    /// The open file, for reading back and for writing at an offset.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Waits until the bytes are on the disk; the name is not, before [`Draft::commit`].
    pub fn sync(&self) -> Result<(), DurableError> {
        self.file.sync_data().map_err(|source| self.error(Step::Sync, source))
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
/// `link`, which is as atomic.
fn rename_into_gap(at: BorrowedFd<'_>, draft: &str, name: &OsStr) -> Result<(), Errno> {
    match rustix::fs::renameat_with(at, draft, at, name, RenameFlags::NOREPLACE) {
        Err(Errno::INVAL | Errno::NOSYS) => {
            rustix::fs::linkat(at, draft, at, name, AtFlags::empty())?;
            rustix::fs::unlinkat(at, draft, AtFlags::empty())
        }
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

fn parent_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => PathBuf::from("."),
        Some(parent) => parent.to_owned(),
        None => path.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn names(dir: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_is_replaced_as_a_whole_with_the_mode_asked_for() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state");
        write_file(&path, b"one", 0o600).unwrap();
        write_file(&path, b"two", 0o644).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"two");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o644);
        assert_eq!(names(dir.path()), ["state"]);
    }

    #[test]
    fn a_new_file_never_replaces() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("receipt");
        write_new_file(&path, b"one", 0o644).unwrap();
        let error = write_new_file(&path, b"two", 0o644).unwrap_err();
        assert!(matches!(error, DurableError::Exists { .. }), "{error}");
        assert_eq!(std::fs::read(&path).unwrap(), b"one");
        assert_eq!(names(dir.path()), ["receipt"]);
    }

    #[test]
    fn a_link_at_the_name_is_replaced_and_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let outside = dir.path().join("outside");
        std::fs::write(&outside, b"untouched").unwrap();
        let path = dir.path().join("state");
        symlink(&outside, &path).unwrap();
        write_file(&path, b"mine", 0o600).unwrap();
        assert_eq!(std::fs::read(&outside).unwrap(), b"untouched");
        assert!(std::fs::symlink_metadata(&path).unwrap().is_file());
    }

    #[test]
    fn a_dropped_draft_leaves_nothing_and_names_with_slashes_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::open(dir.path()).unwrap();
        drop(Draft::create(&folder, 0o644).unwrap());
        for name in ["", ".", "..", "a/b", "../a"] {
            let draft = Draft::create(&folder, 0o644).unwrap();
            let error = draft.commit(OsStr::new(name), Existing::Replace).unwrap_err();
            assert!(matches!(error, DurableError::Unsafe { .. }), "{name}: {error}");
        }
        assert_eq!(names(dir.path()), Vec::<String>::new());
    }

    #[test]
    fn drafts_of_a_dead_process_are_removed_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(".draft-1-0"), b"half").unwrap();
        std::fs::write(dir.path().join("kept"), b"whole").unwrap();
        assert_eq!(Folder::open(dir.path()).unwrap().remove_drafts().unwrap(), 1);
        assert_eq!(names(dir.path()), ["kept"]);
    }

    #[test]
    fn folders_are_made_and_links_in_their_place_refused() {
        let dir = tempfile::tempdir().unwrap();
        let deep = dir.path().join("a/b/c");
        create_dir(&deep, 0o700).unwrap();
        create_dir(&deep, 0o700).unwrap();
        assert!(deep.is_dir());
        let link = dir.path().join("link");
        symlink(&deep, &link).unwrap();
        assert!(matches!(create_dir(&link, 0o700).unwrap_err(), DurableError::Unsafe { .. }));
        assert!(matches!(Folder::open(&link).unwrap_err(), DurableError::Unsafe { .. }));
    }

    #[test]
    fn only_regular_files_are_opened() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::open(dir.path()).unwrap();
        symlink("/dev/zero", dir.path().join("link")).unwrap();
        std::fs::create_dir(dir.path().join("dir")).unwrap();
        for name in ["link", "dir"] {
            assert!(matches!(folder.open_file(OsStr::new(name)), Err(DurableError::Unsafe { .. })), "{name}");
        }
        assert!(folder.open_file(OsStr::new("absent")).unwrap().is_none());
    }
}
