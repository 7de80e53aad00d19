//! What an archive is read from: a reader that counts, and knows the few things that may come next.

use std::io::{self, Read};

use super::head::ArchiveError;
use super::header;

/// What padding is compared with.
const ZEROS: [u8; 4096] = [0; 4096];

/// A source that counts, so that errors can say where.
#[derive(Debug)]
pub(super) struct Source<R> {
    pub(super) inner: R,
    pub(super) offset: u64,
}

/// A header of the one form: where it stands, and what it says.
#[derive(Debug)]
pub(super) struct Header {
    pub(super) at: u64,
    pub(super) name: String,
    pub(super) length: u64,
}

impl<R: Read> Source<R> {
    pub(super) fn fill(&mut self, buf: &mut [u8], member: &str) -> Result<(), ArchiveError> {
        let mut filled = 0;
        while filled < buf.len() {
            match self.inner.read(&mut buf[filled..]) {
                Ok(0) => return Err(ArchiveError::Truncated { offset: self.offset, member: member.to_owned() }),
                Ok(read) => {
                    filled += read;
                    self.offset += read as u64;
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => {
                    return Err(ArchiveError::unreadable(self.offset, member.to_owned(), source));
                }
            }
        }
        Ok(())
    }

    /// Reads zeros, and nothing else, up to a length.
    pub(super) fn zeros(&mut self, length: u64, member: &str) -> Result<(), ArchiveError> {
        let mut buf = [0; ZEROS.len()];
        let mut left = length;
        while left > 0 {
            let room = left.min(buf.len() as u64) as usize;
            let at = self.offset;
            self.fill(&mut buf[..room], member)?;
            if buf[..room] != ZEROS[..room] {
                let reason = format!("the padding of {member} is not zero");
                return Err(ArchiveError::Malformed { offset: at, reason });
            }
            left -= room as u64;
        }
        Ok(())
    }

    /// Demands that nothing follows.
    pub(super) fn end(&mut self) -> Result<(), ArchiveError> {
        let mut one = [0; 1];
        let offset = self.offset;
        match self.fill(&mut one, "the end") {
            Err(ArchiveError::Truncated { .. }) => Ok(()),
            Err(other) => Err(other),
            Ok(()) => Err(ArchiveError::Malformed { offset, reason: "bytes follow the end of the archive".to_owned() }),
        }
    }

    pub(super) fn header(&mut self, member: &str) -> Result<Header, ArchiveError> {
        let at = self.offset;
        self.header_or_end(member)?.ok_or_else(|| ArchiveError::Malformed {
            offset: at,
            reason: format!("the archive ends where {member} is expected"),
        })
    }

    /// Reads a header, or the first of the two zero blocks that end an archive.
    pub(super) fn header_or_end(&mut self, member: &str) -> Result<Option<Header>, ArchiveError> {
        let at = self.offset;
        let mut block = [0; header::BLOCK as usize];
        self.fill(&mut block, member)?;
        if block == ZEROS[..block.len()] {
            return Ok(None);
        }
        match header::parse(&block) {
            Ok((name, length)) => Ok(Some(Header { at, name, length })),
            Err(error) => Err(ArchiveError::Malformed { offset: at, reason: error.to_string() }),
        }
    }

    pub(super) fn document(&mut self, name: &str, length: u64, limit: u64) -> Result<Vec<u8>, ArchiveError> {
        if length > limit {
            return Err(ArchiveError::OverLimit { what: name.to_owned(), limit });
        }
        let mut bytes = vec![0; length as usize];
        self.fill(&mut bytes, name)?;
        self.zeros(header::padding(length), name)?;
        Ok(bytes)
    }

    /// Reads the content of a header that must be the expected member's.
    pub(super) fn content(&mut self, header: Header, expected: &str, limit: u64) -> Result<Vec<u8>, ArchiveError> {
        if header.name != expected {
            return Err(out_of_order(header.at, expected, &header.name));
        }
        self.document(&header.name, header.length, limit)
    }

    /// Reads the member that must come next.
    pub(super) fn named(&mut self, expected: &str, limit: u64) -> Result<Vec<u8>, ArchiveError> {
        let header = self.header(expected)?;
        self.content(header, expected, limit)
    }
}

pub(super) fn out_of_order(offset: u64, expected: &str, found: &str) -> ArchiveError {
    ArchiveError::Malformed { offset, reason: format!("expected {expected}, found {found}") }
}
