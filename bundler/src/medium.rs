//! The file of a bundle on the connected side: plain, or encrypted and decrypted while it is read.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use consign_format::archive::front::Overlaid;
use consign_format::error::Failure;
use consign_sealed::{SiteKey, Unsealed, is_sealed};
use consign_terminal::progress::Progress;

use crate::bundle::{self, BundleError};

/// A file; counts what is read for whoever shows progress.
pub struct Counted<'a> {
    file: Overlaid<File>,
    progress: &'a dyn Progress,
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
        let failed = |source| BundleError::Io { path: path.to_owned(), source };
        let mut file = bundle::file(path)?;
        let sealed = is_sealed(&mut file).map_err(failed)?;
        let counted = Counted { file, progress };
        if sealed {
            return Ok(Medium::Sealed(Box::new(Unsealed::open(counted, key)?)));
        }
        // As large as the reads behind it, so that those pass the buffer by.
        Ok(Medium::Plain(BufReader::with_capacity(64 * 1024, counted)))
    }
}

impl Read for Counted<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buf)?;
        self.progress.advance(read as u64);
        Ok(read)
    }
}

impl Seek for Counted<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.file.seek(to)
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
