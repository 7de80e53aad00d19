//! The file of a bundle on the connected side, or its volumes: plain, or encrypted and decrypted while it is read.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use consign_format::Limits;
use consign_format::archive::front::Overlaid;
use consign_format::archive::volumes::{Joined, Map};
use consign_format::error::Failure;
use consign_registry::volumes;
use consign_sealed::{SiteKey, Unsealed, is_sealed};
use consign_terminal::progress::Progress;

use crate::bundle::BundleError;
use crate::rehead;

/// A bundle as it lies there.
enum Stored {
    /// In one file.
    Whole(Overlaid<File>),
    /// In volumes.
    Volumes(Box<Joined<File>>),
}

/// A bundle as it lies there; counts what is read for whoever shows progress.
pub struct Counted<'a> {
    stored: Stored,
    /// Where it lies, or would lie if it were whole.
    path: PathBuf,
    progress: &'a dyn Progress,
}

impl<'a> Counted<'a> {
    /// Opens a bundle: its file, any of its volumes, or a folder with those of one bundle.
    ///
    /// # Errors
    /// [`BundleError::Io`]; what is wrong with its volumes.
    pub fn open(path: &Path, progress: &'a dyn Progress) -> Result<Self, BundleError> {
        let opened = File::open(path).map_err(|source| BundleError::Io { path: path.to_owned(), source })?;
        let found = match path.is_dir() {
            true => volumes::open_folder(path)?.sound()?,
            false if volumes::is_volume(&opened) => volumes::open(path)?.sound()?,
            false => return Ok(Counted { stored: Stored::Whole(file(path)?), path: path.to_owned(), progress }),
        };
        Ok(Counted { stored: Stored::Volumes(Box::new(found.joined)), path: found.bundle, progress })
    }

    /// The length of the bundle.
    ///
    /// # Errors
    /// [`BundleError::Io`].
    pub fn length(&self) -> Result<u64, BundleError> {
        let failed = |source| BundleError::Io { path: self.path.clone(), source };
        match &self.stored {
            Stored::Whole(file) => Ok(file.inner().metadata().map_err(failed)?.len()),
            Stored::Volumes(joined) => Ok(joined.map().length()),
        }
    }

    /// Where the bundle lies, or would lie if it were whole.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What lies in which volume; `None` for a bundle in one file.
    pub fn map(&self) -> Option<&Map> {
        match &self.stored {
            Stored::Whole(_) => None,
            Stored::Volumes(joined) => Some(joined.map()),
        }
    }

    /// Whether it is encrypted.
    ///
    /// # Errors
    /// [`BundleError::Io`].
    pub fn is_sealed(&mut self) -> Result<bool, BundleError> {
        let path = self.path.clone();
        let found = match &mut self.stored {
            Stored::Whole(file) => is_sealed(file),
            Stored::Volumes(joined) => is_sealed(joined),
        };
        found.map_err(|source| BundleError::Io { path, source })
    }
}

/// A bundle's plain bytes.
pub enum Medium<'a> {
    /// It lies there as it is.
    Plain(BufReader<Counted<'a>>),
    /// It lies there encrypted.
    Sealed(Box<Unsealed<Counted<'a>>>),
}

impl<'a> Medium<'a> {
    /// Opens a bundle, an encrypted one with the key of one of its recipients.
    ///
    /// # Errors
    /// [`BundleError::Io`]; for an encrypted one that it needs a key, or another one.
    pub fn open(path: &Path, key: Option<&SiteKey>, progress: &'a dyn Progress) -> Result<Self, Failure> {
        let mut counted = Counted::open(path, progress)?;
        if counted.is_sealed()? {
            return Ok(Medium::Sealed(Box::new(Unsealed::open(counted, key)?)));
        }
        Ok(Medium::plain(counted))
    }

    /// A bundle that is read as it lies there.
    pub(crate) fn plain(counted: Counted<'a>) -> Self {
        // As large as the reads behind it, so that those pass the buffer by.
        Medium::Plain(BufReader::with_capacity(64 * 1024, counted))
    }

    /// What lies in which volume; `None` for a bundle in one file, and for an encrypted one, whose bytes are others.
    pub fn map(&self) -> Option<Map> {
        match self {
            Medium::Plain(file) => file.get_ref().map().cloned(),
            Medium::Sealed(_) => None,
        }
    }
}

/// Opens a bundle's one file for reading, for who means to write a head into it; a head that waits beside it is read instead of its own.
///
/// # Errors
/// [`BundleError::Io`].
pub fn file(path: &Path) -> Result<Overlaid<File>, BundleError> {
    let failed = |source| BundleError::Io { path: path.to_owned(), source };
    let file = File::open(path).map_err(failed)?;
    Overlaid::new(file, rehead::waiting(path)?, &Limits::DEFAULT).map_err(failed)
}

impl Read for Counted<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let read = match &mut self.stored {
            Stored::Whole(file) => file.read(buf)?,
            Stored::Volumes(joined) => joined.read(buf)?,
        };
        self.progress.advance(read as u64);
        Ok(read)
    }
}

impl Seek for Counted<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        match &mut self.stored {
            Stored::Whole(file) => file.seek(to),
            Stored::Volumes(joined) => joined.seek(to),
        }
    }
}

impl Read for Medium<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Medium::Plain(file) => file.read(buf),
            Medium::Sealed(file) => file.read(buf),
        }
    }
}

impl Seek for Medium<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        match self {
            Medium::Plain(file) => file.seek(to),
            Medium::Sealed(file) => file.seek(to),
        }
    }
}
