//! Copies a range of one file into a draft inside the kernel, and hashes the copy.
//!
//! Works within one file system (there it may even share the blocks); between two, as from most sticks, the kernel
//! refuses, and the caller reads, hashes and writes. The source is never hashed here: a stick that answers one thing to
//! the hasher and another to the copier would get unverified bytes into the folder.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::sync::mpsc;

use consign_format::{Digest, DigestWriter};

use super::{BUFFER, BlobError};
use crate::durable::{Draft, Step};

/// How much is copied before it is hashed: small enough to be found in the page cache, large enough to cost no calls.
const CHUNK: u64 = 1024 * 1024;

/// From this size on a second thread hashes behind the copy; below, starting a thread costs more than it gains.
const THREADED: u64 = 16 * CHUNK;

/// Copies `size` bytes at `offset` of `from` into an empty draft and returns the digest of what the draft then holds,
/// or `None` if the kernel does not copy between these two files; then the draft is still empty.
pub(super) fn copy_and_hash(
    draft: &Draft,
    digest: &Digest,
    size: u64,
    from: &File,
    offset: u64,
) -> Result<Option<Digest>, BlobError> {
    let copy = Copy { draft, digest, size, from, offset };
    match copy.in_kernel(0) {
        None => Ok(None),
        Some(begun) if size < THREADED => copy.rest(begun).map(Some),
        Some(begun) => copy.rest_with_two_threads(begun).map(Some),
    }
}

struct Copy<'a> {
    draft: &'a Draft,
    digest: &'a Digest,
    size: u64,
    from: &'a File,
    offset: u64,
}

impl Copy<'_> {
    /// Goes on from `end`, hashing each chunk after it was copied.
    fn rest(&self, mut end: u64) -> Result<Digest, BlobError> {
        let mut hash = DigestWriter::new(io::sink());
        let mut done = 0;
        loop {
            read_back(self.draft, done, end, &mut hash)?;
            done = end;
            if done == self.size {
                return Ok(hash.finish().1);
            }
            end = self.chunk(done)?;
        }
    }

    /// Goes on from `end`, while a second thread hashes behind.
    fn rest_with_two_threads(&self, end: u64) -> Result<Digest, BlobError> {
        let draft = self.draft;
        // The channel bounds how far the copy may run ahead, and so how much of it can leave the caches unhashed.
        let (copied, to_hash) = mpsc::sync_channel::<u64>(8);
        std::thread::scope(|scope| {
            let hasher = scope.spawn(move || {
                let mut hash = DigestWriter::new(io::sink());
                let mut done = 0;
                for end in to_hash {
                    read_back(draft, done, end, &mut hash)?;
                    done = end;
                }
                Ok(hash.finish().1)
            });
            let copying = self.announce_chunks(end, &copied);
            drop(copied);
            let hashed = hasher.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            copying.and(hashed)
        })
    }

    /// Copies chunk by chunk and says after each how far it has come. Ends early if nobody listens: the hasher then has
    /// an error of its own to tell.
    fn announce_chunks(&self, mut end: u64, copied: &mpsc::SyncSender<u64>) -> Result<(), BlobError> {
        while copied.send(end).is_ok() && end < self.size {
            end = self.chunk(end)?;
        }
        Ok(())
    }

    /// Copies some bytes from `done` on, at most a chunk, and returns where the copy now ends.
    fn chunk(&self, done: u64) -> Result<u64, BlobError> {
        // The end of the file, a bad sector, no room: by hand, which tells precisely what is wrong.
        self.in_kernel(done).map_or_else(|| self.chunk_by_hand(done), Ok)
    }

    fn in_kernel(&self, done: u64) -> Option<u64> {
        let want = usize::try_from((self.size - done).min(CHUNK)).unwrap_or(BUFFER);
        let (mut read_at, mut write_at) = (self.offset.saturating_add(done), done);
        let to = self.draft.file();
        match rustix::fs::copy_file_range(self.from, Some(&mut read_at), to, Some(&mut write_at), want) {
            Ok(n) if n > 0 => Some(done + n as u64),
            _ => None,
        }
    }

    fn chunk_by_hand(&self, done: u64) -> Result<u64, BlobError> {
        let mut buffer = vec![0; usize::try_from(self.size - done).unwrap_or(BUFFER).min(BUFFER)];
        let at = self.offset.saturating_add(done);
        let n = loop {
            match self.from.read_at(&mut buffer, at) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => return Err(BlobError::Source { digest: *self.digest, source }),
                Ok(n) => break n,
            }
        };
        if n == 0 {
            return Err(BlobError::Short { digest: *self.digest, expected: self.size, actual: done });
        }
        let write = |source| self.draft.error(Step::Write, source);
        self.draft.file().write_all_at(&buffer[..n], done).map_err(write)?;
        Ok(done + n as u64)
    }
}

fn read_back(draft: &Draft, mut at: u64, end: u64, hash: &mut DigestWriter<io::Sink>) -> Result<(), BlobError> {
    let mut buffer = vec![0; usize::try_from(end - at).unwrap_or(BUFFER).min(BUFFER)];
    while at < end {
        let want = usize::try_from(end - at).unwrap_or(BUFFER).min(buffer.len());
        let read = draft.file().read_exact_at(&mut buffer[..want], at).and_then(|()| hash.write_all(&buffer[..want]));
        read.map_err(|source| BlobError::from(draft.error(Step::Read, source)))?;
        at += want as u64;
    }
    Ok(())
}
