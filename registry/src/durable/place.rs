//! For files that go among those of others (a program in `/usr/local/bin`): each folder is opened by its name in the
//! one above it, so that no link anywhere in a path leads elsewhere, and drafts have names that are found again.

use std::ffi::OsStr;
use std::fs::{File, Metadata, Permissions};
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use rustix::fs::{Access, AtFlags, Mode, OFlags};
use rustix::io::Errno;

use super::{Draft, DurableError, Folder, Step};

/// What a file system may still take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Free {
    /// Bytes.
    pub bytes: u64,
    /// Files; `None` where it makes inodes as it needs them.
    pub files: Option<u64>,
}

impl Folder {
    /// Opens a folder inside this one; `None` if there is none. A link or a file of that name is refused.
    pub fn child(&self, name: &str) -> Result<Option<Self>, DurableError> {
        let path = self.path.join(name);
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match rustix::fs::openat(self.handle.as_fd(), name, flags, Mode::empty()) {
            Ok(fd) => Ok(Some(Folder { handle: Arc::new(File::from(fd)), path })),
            Err(Errno::NOENT) => Ok(None),
            Err(Errno::LOOP | Errno::NOTDIR) => Err(DurableError::Unsafe { path, expected: "folder" }),
            Err(errno) => Err(DurableError::io(Step::Read, &path, errno)),
        }
    }

    /// Makes a folder inside this one that is not there yet, with exactly these permission bits, and syncs.
    pub fn make_child(&self, name: &str, mode: u32) -> Result<Self, DurableError> {
        let path = self.path.join(name);
        let failed = |error| DurableError::io(Step::Create, &path, error);
        // With the wanted bits at once: what was cut off here is not looked at again. A umask takes some away, if any.
        rustix::fs::mkdirat(self.handle.as_fd(), name, Mode::from_raw_mode(mode)).map_err(|e| failed(e.into()))?;
        let Some(made) = self.child(name)? else { return Err(failed(std::io::ErrorKind::NotFound.into())) };
        made.handle.set_permissions(Permissions::from_mode(mode)).map_err(failed)?;
        self.sync()?;
        Ok(made)
    }

    /// Takes an empty folder of this one away and syncs; `false` if something is in it.
    pub fn remove_empty(&self, name: &str) -> Result<bool, DurableError> {
        match rustix::fs::unlinkat(self.handle.as_fd(), name, AtFlags::REMOVEDIR) {
            Ok(()) => self.sync().map(|()| true),
            Err(Errno::NOENT) => Ok(true),
            Err(Errno::NOTEMPTY | Errno::EXIST | Errno::NOTDIR | Errno::BUSY) => Ok(false),
            Err(errno) => Err(DurableError::io(Step::Remove, &self.path.join(name), errno)),
        }
    }

    /// What the file system says of this folder itself.
    pub fn metadata(&self) -> Result<Metadata, DurableError> {
        self.handle.metadata().map_err(|source| DurableError::io(Step::Read, &self.path, source))
    }

    /// What a program without privileges may still write to the file system of this folder.
    pub fn free(&self) -> Result<Free, DurableError> {
        let stat = rustix::fs::fstatvfs(self.handle.as_fd())
            .map_err(|errno| DurableError::io(Step::Read, &self.path, errno))?;
        let files = (stat.f_files > 0).then_some(stat.f_favail);
        Ok(Free { bytes: stat.f_bavail.saturating_mul(stat.f_frsize), files })
    }

    /// Asks whether names may be made here: not on a file system that is read-only, nor in a folder that is immutable or
    /// another's.
    pub fn check_writable(&self) -> Result<(), DurableError> {
        let access = Access::WRITE_OK | Access::EXEC_OK;
        rustix::fs::accessat(self.handle.as_fd(), ".", access, AtFlags::EACCESS)
            .map_err(|errno| DurableError::io(Step::Write, &self.path, errno))
    }

    /// Asks whether the file of this name may be replaced: one that is immutable may not. That its mode forbids writing
    /// into it is no hindrance.
    pub fn check_replaceable(&self, name: &str) -> Result<(), DurableError> {
        match rustix::fs::accessat(self.handle.as_fd(), name, Access::WRITE_OK, AtFlags::EACCESS) {
            Err(errno @ (Errno::PERM | Errno::ROFS)) => {
                Err(DurableError::io(Step::Write, &self.path.join(name), errno))
            }
            _ => Ok(()),
        }
    }
}

impl Draft {
    /// Creates an empty draft of a name that the caller will find again, in place of one that a power cut left. Nobody
    /// else may read it before [`Draft::give`].
    pub fn create_as(folder: &Folder, name: &str) -> Result<Self, DurableError> {
        folder.remove_file(OsStr::new(name))?;
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(folder.handle.as_fd(), name, flags, Mode::from_raw_mode(0o600))
            .map_err(|errno| DurableError::io(Step::Create, &folder.path.join(name), errno))?;
        Ok(Draft { file: File::from(fd), folder: folder.clone(), name: name.to_owned(), live: true })
    }

    /// Gives the draft to a user and a group, then its permission bits, and waits until both are on the disk.
    pub fn give(&self, mode: u32, user: u32, group: u32) -> Result<(), DurableError> {
        let given = std::os::unix::fs::fchown(&self.file, Some(user), Some(group));
        given.map_err(|e| self.error(Step::Create, e))?;
        self.file.set_permissions(Permissions::from_mode(mode)).map_err(|e| self.error(Step::Create, e))?;
        self.file.sync_all().map_err(|e| self.error(Step::Sync, e))
    }
}
