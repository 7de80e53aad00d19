//! Streams that are checked while they flow: nothing is hashed afterwards, nothing past the promise is read.

use std::io::{self, Read};

use sha2::{Digest as _, Sha256};

use crate::Digest;

/// Reads exactly the promised number of bytes and, at their end, demands the promised digest.
///
/// The last byte is handed out only together with the certainty that the digest holds: a mismatch is an
/// error of kind [`io::ErrorKind::InvalidData`] that carries a [`Mismatch`], a source that ends early is
/// [`io::ErrorKind::UnexpectedEof`].
pub struct VerifyingReader<R> {
    inner: R,
    expected: Digest,
    left: u64,
    hasher: Option<Sha256>,
}

/// The bytes are not what was promised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected}, found {found}")]
pub struct Mismatch {
    /// What was promised.
    pub expected: Digest,
    /// What the bytes are.
    pub found: Digest,
}

/// What a stream that decrypts while it is read says when the cipher text is not the one that was written. It travels
/// inside an [`io::Error`], by which readers tell it from a medium that cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Undecryptable(pub &'static str);

impl Undecryptable {
    /// What to do about it.
    pub const HINT: &'static str = "the medium is damaged, or somebody changed what is on it: copy the bundle again or \
                                    use another medium; nothing was changed here";
}

impl<R: Read> VerifyingReader<R> {
    /// Wraps a source that promises `length` bytes of this digest.
    pub fn new(inner: R, expected: Digest, length: u64) -> Self {
        VerifyingReader { inner, expected, left: length, hasher: Some(Sha256::new()) }
    }

    /// How many bytes are still to come.
    pub fn left(&self) -> u64 {
        self.left
    }

    /// The source.
    pub fn get_ref(&self) -> &R {
        &self.inner
    }

    /// Gives the source back, unchecked from here on.
    pub fn into_inner(self) -> R {
        self.inner
    }

    fn settle(&mut self) -> io::Result<()> {
        let Some(hasher) = self.hasher.take() else { return Ok(()) };
        let found = Digest::from_bytes(hasher.finalize().into());
        if found == self.expected {
            return Ok(());
        }
        Err(io::Error::new(io::ErrorKind::InvalidData, Mismatch { expected: self.expected, found }))
    }
}

impl<R: Read> Read for VerifyingReader<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 {
            self.settle()?;
            return Ok(0);
        }
        if buf.is_empty() {
            return Ok(0);
        }
        let room = buf.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let read = self.inner.read(&mut buf[..room])?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if let Some(hasher) = &mut self.hasher {
            hasher.update(&buf[..read]);
        }
        self.left -= read as u64;
        if self.left == 0 {
            self.settle()?;
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8], promised: &[u8]) -> io::Result<Vec<u8>> {
        let mut out = Vec::new();
        VerifyingReader::new(bytes, Digest::of(promised), promised.len() as u64).read_to_end(&mut out)?;
        Ok(out)
    }

    #[test]
    fn only_the_promised_bytes_pass() {
        assert_eq!(read(b"hello", b"hello").unwrap(), b"hello");
        assert_eq!(read(b"hello and more", b"hello").unwrap(), b"hello");
        assert_eq!(read(b"", b"").unwrap(), b"");
        assert_eq!(read(b"hell", b"hello").unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        let error = read(b"hallo", b"hello").unwrap_err();
        assert!(error.get_ref().is_some_and(|e| e.is::<Mismatch>()));
    }
}
