//! Opening what was carried in: a plain file or a block device, and nothing else (TRUST §3.1).
//!
//! A medium is the enemy's to prepare: a link may lead to a device, a pipe may never end. So the last part of the
//! path is opened without following it and without waiting, and looked at before the first read.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use consign_format::Limits;
use consign_format::archive::front::{self, Overlaid};
use consign_format::error::{Code, Coded, codes};
use rustix::fs::{FileType, Mode, OFlags};

/// The ending of bundle files.
pub const EXTENSION: &str = "consign";

/// A bundle's file, open for reading.
#[derive(Debug)]
pub struct Medium {
    file: Overlaid<File>,
    path: PathBuf,
    end: End,
}

/// Where a bundle on a block device ends: a device goes on behind it, and what lies there is nobody's. A file has its
/// own end, and a byte behind the bundle's is a refusal; so for a file this says nothing.
#[derive(Debug, Clone)]
pub struct End {
    is_device: bool,
    at: Rc<Cell<u64>>,
}

impl End {
    /// Says where the signed carriage has the bundle end.
    pub fn is(&self, at: u64) {
        if self.is_device {
            self.at.set(at);
        }
    }
}

impl Medium {
    fn new(file: Overlaid<File>, path: &Path, is_device: bool) -> Self {
        let end = End { is_device, at: Rc::new(Cell::new(u64::MAX)) };
        Medium { file, path: path.to_owned(), end }
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The place where the end is to be said, as soon as it is known.
    pub fn end(&self) -> End {
        self.end.clone()
    }

    /// The open file, for copies inside the kernel of what lies behind the head.
    pub fn file(&self) -> &File {
        self.file.inner()
    }

    /// How far it was read.
    pub fn position(&self) -> u64 {
        self.file.position()
    }
}

impl Read for Medium {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.end.at.get().saturating_sub(self.position())).unwrap_or(usize::MAX);
        let room = buf.len().min(left);
        self.file.read(&mut buf[..room])
    }
}

impl Seek for Medium {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.file.seek(to)
    }
}

/// Why nothing is read.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It cannot be opened.
    #[error("cannot open {}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// It is something that is not read.
    #[error("{} is {what}, and only a plain file or a block device is read", path.display())]
    Unsafe {
        /// The file.
        path: PathBuf,
        /// What it is.
        what: &'static str,
    },
    /// The folder holds no bundle.
    #[error("{} holds no file that ends in .{EXTENSION}", path.display())]
    None {
        /// The folder.
        path: PathBuf,
    },
    /// The folder holds several bundles.
    #[error("{} holds {} bundles: {}", path.display(), names.len(), names.join(", "))]
    Several {
        /// The folder.
        path: PathBuf,
        /// Their names, ascending.
        names: Vec<String>,
    },
}

impl Coded for OpenError {
    fn code(&self) -> Code {
        match self {
            OpenError::Io { .. } => codes::IO,
            OpenError::Unsafe { .. } => codes::UNSAFE_MEDIUM,
            OpenError::None { .. } | OpenError::Several { .. } => codes::WHICH_BUNDLE,
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            OpenError::Io { .. } => "check the path, and that the medium is mounted",
            OpenError::Unsafe { .. } => "name the bundle's file itself; if it came like this, report it",
            OpenError::None { .. } => "check that this is the right medium and that it is mounted",
            OpenError::Several { .. } => "name the one to be read",
        };
        Some(hint.to_owned())
    }
}

/// Opens a bundle, or the one bundle in a folder.
pub fn open(path: &Path) -> Result<Medium, OpenError> {
    let error = |source: rustix::io::Errno| match source {
        rustix::io::Errno::LOOP => OpenError::Unsafe { path: path.to_owned(), what: "a symbolic link" },
        source => OpenError::Io { path: path.to_owned(), source: source.into() },
    };
    // NOFOLLOW: no link. NONBLOCK: a pipe without a writer must not hang us; for files and disks it means nothing.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty()).map_err(error)?);
    let stat = rustix::fs::fstat(&file).map_err(error)?;
    let what = match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => return Ok(Medium::new(under_waiting_head(file, path)?, path, false)),
        FileType::BlockDevice => return Ok(Medium::new(Overlaid::plain(file), path, true)),
        FileType::Directory => return open(&the_one_in(path)?),
        FileType::Fifo => "a pipe",
        FileType::Socket => "a socket",
        FileType::CharacterDevice => "a character device",
        _ => "of an unknown kind",
    };
    Err(OpenError::Unsafe { path: path.to_owned(), what })
}

/// A bundle whose head was being rewritten when the power went, or the stick was pulled, has its new head beside it. It
/// is read instead of the half-written one, and nothing is written: the medium is not ours.
fn under_waiting_head(file: File, path: &Path) -> Result<Overlaid<File>, OpenError> {
    let failed = |source| OpenError::Io { path: path.to_owned(), source };
    let limits = Limits::DEFAULT;
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let mut waiting = None;
    // Whatever cannot be opened as a plain file is no head of ours.
    if let Ok(head) = rustix::fs::open(&front::path(path), flags, Mode::empty()).map(File::from)
        && head.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.len() <= front::limit(&limits))
    {
        let mut bytes = Vec::new();
        waiting = head.take(front::limit(&limits)).read_to_end(&mut bytes).is_ok().then_some(bytes);
    }
    Overlaid::new(file, waiting, &limits).map_err(failed)
}

/// Finds the one bundle in a folder, by name alone. Folders that end in `.consign` do not count, so this ends.
fn the_one_in(folder: &Path) -> Result<PathBuf, OpenError> {
    let unreadable = |source| OpenError::Io { path: folder.to_owned(), source };
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let is_folder = entry.file_type().map_err(unreadable)?.is_dir();
        let path = entry.path();
        // What Finder and friends leave beside a file on a stick begins with a dot.
        let hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
        if !is_folder && !hidden && path.extension().is_some_and(|extension| extension == EXTENSION) {
            found.push(path);
        }
    }
    found.sort();
    match found.as_slice() {
        [one] => Ok(one.clone()),
        [] => Err(OpenError::None { path: folder.to_owned() }),
        _ => {
            let name = |path: &PathBuf| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            Err(OpenError::Several { path: folder.to_owned(), names: found.iter().map(name).collect() })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn only_files_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        std::fs::write(at("a.consign"), b"x").unwrap();
        assert!(open(&at("a.consign")).is_ok());
        symlink(at("a.consign"), at("link")).unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, at("pipe"), FileType::Fifo, Mode::RUSR, 0).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
        for (path, what) in [
            (at("link"), "a symbolic link"),
            (at("pipe"), "a pipe"),
            (PathBuf::from("/dev/zero"), "a character device"),
        ] {
            let error = open(&path).unwrap_err();
            assert!(matches!(error, OpenError::Unsafe { what: found, .. } if found == what), "{error:?}");
        }
        // A socket cannot even be opened (ENXIO); it is refused all the same.
        assert!(open(&at("socket")).is_err());
        assert_eq!(open(&at("none")).unwrap_err().code(), codes::IO);
    }

    #[test]
    fn a_folder_stands_for_the_one_bundle_in_it() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        assert!(matches!(open(dir.path()), Err(OpenError::None { .. })));
        std::fs::write(at("notes.txt"), b"").unwrap();
        std::fs::write(at("._b.consign"), b"").unwrap();
        std::fs::create_dir(at("c.consign")).unwrap();
        std::fs::write(at("b.consign"), b"").unwrap();
        assert_eq!(open(dir.path()).unwrap().path(), at("b.consign"));
        std::fs::write(at("a.consign"), b"").unwrap();
        let error = open(dir.path()).unwrap_err().to_string();
        assert!(error.ends_with("holds 2 bundles: a.consign, b.consign"), "{error}");
    }

    #[test]
    fn a_link_in_a_folder_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        symlink("/dev/zero", dir.path().join("a.consign")).unwrap();
        assert!(matches!(open(dir.path()), Err(OpenError::Unsafe { .. })));
    }

    #[test]
    fn a_device_ends_where_the_bundle_does_and_a_file_where_it_does() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.consign");
        std::fs::write(&path, b"bundle and rest").unwrap();
        for (is_device, expected) in [(true, "bundle"), (false, "bundle and rest")] {
            let mut medium = Medium::new(Overlaid::plain(File::open(&path).unwrap()), &path, is_device);
            medium.end().is(6);
            let mut text = String::new();
            medium.read_to_string(&mut text).unwrap();
            assert_eq!((text.as_str(), medium.position()), (expected, expected.len() as u64));
        }
    }
}
