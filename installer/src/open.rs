//! Opening what was carried in: a plain file, a block device, or the volumes of a bundle, and nothing else (TRUST §3.1).
//!
//! A medium is the enemy's to prepare: a link may lead to a device, a pipe may never end. So the last part of the
//! path is opened without following it and without waiting, and looked at before the first read.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use consign_format::Limits;
use consign_format::archive::front::{self, Overlaid};
use consign_format::error::{Code, Coded, codes};
use consign_registry::durable::DurableError;
use consign_registry::volumes::{self, Volumes, VolumesError};
use consign_sealed::SealedError;
use rustix::fs::{FileType, Mode, OFlags};

use crate::medium::Medium;

/// The ending of bundle files.
pub const EXTENSION: &str = "consign";

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
    /// Its volumes cannot be put together.
    #[error(transparent)]
    Volumes(VolumesError),
    /// It is encrypted, and this site cannot read it.
    #[error("{} cannot be decrypted here", path.display())]
    Sealed {
        /// The bundle.
        path: PathBuf,
        /// Why.
        source: SealedError,
    },
}

impl Coded for OpenError {
    fn code(&self) -> Code {
        match self {
            OpenError::Io { .. } => codes::IO,
            OpenError::Unsafe { .. } => codes::UNSAFE_MEDIUM,
            OpenError::None { .. } | OpenError::Several { .. } => codes::WHICH_BUNDLE,
            OpenError::Volumes(error) => error.code(),
            OpenError::Sealed { source, .. } => source.code(),
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            OpenError::Io { .. } => "check the path, and that the medium is mounted",
            OpenError::Unsafe { .. } => "name the bundle's file itself; if it came like this, report it",
            OpenError::None { .. } => "check that this is the right medium and that it is mounted",
            OpenError::Several { .. } => "name the one to be read",
            OpenError::Sealed { source: SealedError::NotForUs { .. }, .. } => {
                "bring the bundle that is encrypted to this site; headquarters encrypts to the recipient in its site record"
            }
            OpenError::Sealed { source: SealedError::NoKey { .. }, .. } => {
                "this site was enrolled before sites had age keys; enrol it again with --replace, and send headquarters the request"
            }
            OpenError::Volumes(error) => return error.hint(),
            OpenError::Sealed { source, .. } => return source.hint(),
        };
        Some(hint.to_owned())
    }
}

impl From<VolumesError> for OpenError {
    fn from(error: VolumesError) -> Self {
        match error {
            VolumesError::Durable(DurableError::Unsafe { path, .. }) => {
                OpenError::Unsafe { path, what: "no file of its own" }
            }
            other => OpenError::Volumes(other),
        }
    }
}

/// Opens a bundle, by any volume of it as well, or the one bundle in a folder.
pub fn open(path: &Path) -> Result<Medium, OpenError> {
    match open_for_roots(path)? {
        (medium, None) => Ok(medium),
        (_, Some(trouble)) => Err(trouble),
    }
}

/// Opens a bundle although one of its volumes is not to be used; what is wrong comes with it. Nothing but roots and
/// statements, which carry their own signatures, may be taken from it then.
pub fn open_for_roots(path: &Path) -> Result<(Medium, Option<OpenError>), OpenError> {
    let error = |source: rustix::io::Errno| match source {
        rustix::io::Errno::LOOP => OpenError::Unsafe { path: path.to_owned(), what: "a symbolic link" },
        source => OpenError::Io { path: path.to_owned(), source: source.into() },
    };
    // NOFOLLOW: no link. NONBLOCK: a pipe without a writer must not hang us; for files and disks it means nothing.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty()).map_err(error)?);
    let stat = rustix::fs::fstat(&file).map_err(error)?;
    let what = match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile if volumes::is_volume(&file) => return of_volumes(volumes::open(path)?),
        FileType::RegularFile => return Ok((Medium::new(under_waiting_head(file, path)?, path, false), None)),
        FileType::BlockDevice => return Ok((Medium::new(Overlaid::plain(file), path, true), None)),
        // Named like a bundle, it was put there to be taken for one; any other folder is a stick.
        FileType::Directory if path.extension().is_some_and(|extension| extension == EXTENSION) => "a folder",
        FileType::Directory => return open_for_roots(&the_one_in(path)?),
        FileType::Fifo => "a pipe",
        FileType::Socket => "a socket",
        FileType::CharacterDevice => "a character device",
        _ => "of an unknown kind",
    };
    Err(OpenError::Unsafe { path: path.to_owned(), what })
}

/// Of an encrypted bundle all volumes must be here: what cannot be decrypted to its end is not kept.
fn of_volumes(volumes: Volumes) -> Result<(Medium, Option<OpenError>), OpenError> {
    let Volumes { joined, bundle, trouble } = volumes;
    match joined.map().missing().into_iter().next() {
        Some(source) if joined.map().is_sealed() => {
            Err(OpenError::Volumes(VolumesError::Missing { path: bundle, source }))
        }
        _ => Ok((Medium::of_volumes(joined, bundle), trouble.map(OpenError::from))),
    }
}

/// A bundle whose head was being rewritten when the power went, or the stick was pulled, has its new head beside it. It
/// is read instead of the half-written one, and nothing is written: the medium is not ours.
fn under_waiting_head(file: File, path: &Path) -> Result<Overlaid<File>, OpenError> {
    let failed = |source| OpenError::Io { path: path.to_owned(), source };
    let limits = Limits::DEFAULT;
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let mut waiting = None;
    // Whatever cannot be opened as a plain file is no head of ours.
    if let Ok(head) = rustix::fs::open(front::path(path), flags, Mode::empty()).map(File::from)
        && head.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.len() <= front::limit(&limits))
    {
        let mut bytes = Vec::new();
        waiting = head.take(front::limit(&limits)).read_to_end(&mut bytes).is_ok().then_some(bytes);
    }
    Overlaid::new(file, waiting, &limits).map_err(failed)
}

/// Finds the bundles in a folder, by name alone, ascending; of one in volumes, a volume. Folders that end in `.consign` do
/// not count.
///
/// # Errors
/// [`OpenError::Io`]; [`OpenError::None`]
pub fn bundles_in(folder: &Path) -> Result<Vec<PathBuf>, OpenError> {
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
    found.extend(volumes::bundles_in(folder)?.into_values());
    found.sort();
    if found.is_empty() { Err(OpenError::None { path: folder.to_owned() }) } else { Ok(found) }
}

/// Finds the one bundle in a folder.
fn the_one_in(folder: &Path) -> Result<PathBuf, OpenError> {
    match bundles_in(folder)?.as_slice() {
        [one] => Ok(one.clone()),
        found => {
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
        std::fs::create_dir(at("folder.consign")).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
        for (path, what) in [
            (at("link"), "a symbolic link"),
            (at("pipe"), "a pipe"),
            (PathBuf::from("/dev/zero"), "a character device"),
            (at("folder.consign"), "a folder"),
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
}
