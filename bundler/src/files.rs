//! The files of a release: found, measured and hashed before anything is packed.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use consign_format::error::{Code, Coded, Failure, codes};
use consign_format::release::Installer;
use consign_format::{Digest, DigestWriter};

use crate::config::{FileRule, FileSource};
use crate::source::Checkout;

/// One file, ready to be packed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Measured {
    /// Where its content lies on this machine.
    pub path: PathBuf,
    /// The absolute path at the site.
    pub to: String,
    /// The mode, four octal digits.
    pub mode: String,
    /// Whose it is at the site.
    pub owner: Option<String>,
    /// Which `consign-site` it is, if it is one.
    pub installer: Option<Installer>,
    /// The digest of the content.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
}

/// Why a file cannot travel.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It cannot be read.
    #[error("{} (for {to}) cannot be read", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Where it goes.
        to: String,
        /// What the operating system said.
        source: io::Error,
    },
    /// It is no regular file.
    #[error("{} (for {to}) is not a file", path.display())]
    NotAFile {
        /// What stands there.
        path: PathBuf,
        /// Where it goes.
        to: String,
    },
    /// A local file is not what `release.yaml` says.
    #[error("{} (for {to}) is not the file that was declared: expected {expected}, found {found}", path.display())]
    Mismatch {
        /// The file.
        path: PathBuf,
        /// Where it goes.
        to: String,
        /// `sha256` of `release.yaml`, or of the lock.
        expected: Digest,
        /// What it is.
        found: Digest,
    },
}

impl Coded for FileError {
    fn code(&self) -> Code {
        match self {
            FileError::Io { source, .. } if source.kind() == io::ErrorKind::NotFound => codes::PATH_NOT_FOUND,
            FileError::Io { .. } => codes::IO,
            FileError::NotAFile { .. } => codes::PATH_NOT_FOUND,
            FileError::Mismatch { .. } => codes::FILE_MISMATCH,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            FileError::NotAFile { .. } => Some("name each file; folders do not travel".to_owned()),
            FileError::Mismatch { .. } => {
                Some("find out which is right: the file, or `sha256` in release.yaml".to_owned())
            }
            FileError::Io { .. } => None,
        }
    }
}

/// Finds, measures and hashes all files, in the order of their places at the site.
///
/// # Errors
/// [`FileError`], or the tree's own error for a path that is not in it.
pub fn measure(rules: &[FileRule], checkout: &Checkout, base: &Path) -> Result<Vec<Measured>, Failure> {
    let mut files = Vec::new();
    for rule in rules {
        let (path, declared) = match &rule.from {
            FileSource::Tree(path) => (checkout.find(path)?, None),
            FileSource::Local(path, digest) => (base.join(path), Some(*digest)),
        };
        files.push(one(path, rule, declared)?);
    }
    Ok(files)
}

fn one(path: PathBuf, rule: &FileRule, declared: Option<Digest>) -> Result<Measured, FileError> {
    let to = rule.to.clone();
    let io_error = |source| FileError::Io { path: path.clone(), to: to.clone(), source };
    let mut file = File::open(&path).map_err(io_error)?;
    if !file.metadata().map_err(io_error)?.is_file() {
        return Err(FileError::NotAFile { path, to });
    }
    let mut hash = io::BufWriter::with_capacity(256 * 1024, DigestWriter::new(io::sink()));
    io::copy(&mut file, &mut hash).map_err(io_error)?;
    hash.flush().map_err(io_error)?;
    let (_, found, size) = hash.into_inner().map_err(|e| io_error(e.into_error()))?.finish();
    match declared.filter(|expected| *expected != found) {
        Some(expected) => Err(FileError::Mismatch { path, to, expected, found }),
        None => {
            let (mode, owner, installer) = (rule.mode.clone(), rule.owner.clone(), rule.installer.clone());
            Ok(Measured { path, to, mode, owner, installer, digest: found, size })
        }
    }
}
