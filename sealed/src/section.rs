//! A part of a medium that several readers share: head and payload lie in one file and are decrypted by two streams.

use std::cell::RefCell;
use std::io::{self, Read, Seek, SeekFrom};
use std::rc::Rc;

/// A medium and where it stands.
#[derive(Debug)]
pub(crate) struct Shared<R> {
    medium: R,
    at: u64,
}

impl<R: Read + Seek> Shared<R> {
    /// Shares a medium, from its beginning.
    pub(crate) fn new(mut medium: R) -> io::Result<Rc<RefCell<Self>>> {
        let at = medium.seek(SeekFrom::Start(0))?;
        Ok(Rc::new(RefCell::new(Shared { medium, at })))
    }

    /// How long the medium is.
    pub(crate) fn length(&mut self) -> io::Result<u64> {
        self.at = self.medium.seek(SeekFrom::End(0))?;
        Ok(self.at)
    }

    fn read_at(&mut self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        if self.at != offset {
            self.at = self.medium.seek(SeekFrom::Start(offset))?;
        }
        let read = self.medium.read(buf)?;
        self.at += read as u64;
        Ok(read)
    }
}

/// A run of bytes of the medium, readable as a file of its own.
#[derive(Debug)]
pub(crate) struct Section<R> {
    shared: Rc<RefCell<Shared<R>>>,
    start: u64,
    length: u64,
    at: u64,
}

impl<R> Section<R> {
    pub(crate) fn new(shared: &Rc<RefCell<Shared<R>>>, start: u64, length: u64) -> Self {
        Section { shared: Rc::clone(shared), start, length, at: 0 }
    }

    pub(crate) fn start(&self) -> u64 {
        self.start
    }

    pub(crate) fn length(&self) -> u64 {
        self.length
    }
}

impl<R: Read + Seek> Read for Section<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.length.saturating_sub(self.at)).unwrap_or(usize::MAX);
        let room = buf.len().min(left);
        if room == 0 {
            return Ok(0);
        }
        let read = self.shared.borrow_mut().read_at(self.start + self.at, &mut buf[..room])?;
        self.at += read as u64;
        Ok(read)
    }
}

impl<R> Seek for Section<R> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let target = match to {
            SeekFrom::Start(target) => Some(target),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
            SeekFrom::End(by) => self.length.checked_add_signed(by),
        };
        self.at = target.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}
