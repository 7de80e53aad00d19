//! A head that is being put in place (DESIGN §4, "Writing"): `FILE.head` is whole before the first byte of `FILE`
//! changes, and it goes away when the last one has. Whoever reads in between reads the new head.
//!
//! So a bundle whose rewriting was cut short is a bundle with its new head, on a medium that nobody can write to as well.
//! Nothing here is trusted: what is overlaid is checked like the bytes of any file.

use std::ffi::OsString;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::head::OpenedBundle;
use super::header;
use crate::Limits;
use crate::carriage::{BOUNDARY_UNIT, Place};

/// What is behind a bundle's name in the name of its waiting head.
pub const SUFFIX: &str = ".head";

/// Where the waiting head of a bundle lies.
pub fn path(bundle: &Path) -> PathBuf {
    let mut name = OsString::from(bundle);
    name.push(SUFFIX);
    PathBuf::from(name)
}

/// The most bytes that a waiting head may have: longer ones are none.
pub fn limit(limits: &Limits) -> u64 {
    limits.carriage + limits.release + limits.filler + 64 * limits.metadata
}

/// Tells whether bytes are one whole head, from the first header to the boundary. A torn one is not.
pub fn is_whole(head: &[u8], limits: &Limits) -> bool {
    let read = || OpenedBundle::open(head, *limits)?.read_head();
    (head.len() as u64).is_multiple_of(BOUNDARY_UNIT) && read().is_ok_and(|read| read.boundary() == head.len() as u64)
}

/// Tells whether a payload begins in a file where a head ends.
fn fits<R: Read + Seek>(head: &[u8], file: &mut R) -> io::Result<bool> {
    let mut block = [0; header::BLOCK as usize];
    file.seek(SeekFrom::Start(head.len() as u64))?;
    match file.read_exact(&mut block) {
        Ok(()) => Ok(header::parse(&block).is_ok_and(|(name, _)| Place::parse(&name).is_some())),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

/// A bundle's file as it is to be read: its first bytes from the waiting head, if there is one.
#[derive(Debug)]
pub struct Overlaid<R> {
    front: Vec<u8>,
    inner: R,
    at: u64,
    /// Where `inner` stands.
    inner_at: u64,
}

impl<R: Read + Seek> Overlaid<R> {
    /// Reads a file, from its start, under the head that waits beside it. A head that is torn, or that does not end
    /// where a payload begins, is nobody's: the file is read as it is.
    ///
    /// # Errors
    /// What reading the file says.
    pub fn new(mut inner: R, waiting: Option<Vec<u8>>, limits: &Limits) -> io::Result<Self> {
        let mut front = Vec::new();
        if let Some(head) = waiting.filter(|head| is_whole(head, limits))
            && fits(&head, &mut inner)?
        {
            front = head;
        }
        inner.seek(SeekFrom::Start(0))?;
        Ok(Overlaid { front, inner, at: 0, inner_at: 0 })
    }

    /// Reads a file as it is.
    pub fn plain(inner: R) -> Self {
        Overlaid { front: Vec::new(), inner, at: 0, inner_at: 0 }
    }

    /// The file itself.
    pub fn inner(&self) -> &R {
        &self.inner
    }

    /// How far it was read.
    pub fn position(&self) -> u64 {
        self.at
    }

    /// Tells whether a waiting head is read instead of the file's own.
    pub fn is_overlaid(&self) -> bool {
        !self.front.is_empty()
    }
}

impl<R: Read + Seek> Read for Overlaid<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let front = usize::try_from(self.at).ok().and_then(|at| self.front.get(at..)).unwrap_or_default();
        let read = if front.is_empty() {
            if self.inner_at != self.at {
                self.inner_at = self.inner.seek(SeekFrom::Start(self.at))?;
            }
            let read = self.inner.read(buf)?;
            self.inner_at += read as u64;
            read
        } else {
            let room = buf.len().min(front.len());
            buf[..room].copy_from_slice(&front[..room]);
            room
        };
        self.at += read as u64;
        Ok(read)
    }
}

impl<R: Read + Seek> Seek for Overlaid<R> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let to = match to {
            SeekFrom::Current(by) => {
                SeekFrom::Start(self.at.checked_add_signed(by).ok_or(io::ErrorKind::InvalidInput)?)
            }
            to => to,
        };
        self.at = self.inner.seek(to)?;
        self.inner_at = self.at;
        Ok(self.at)
    }
}
