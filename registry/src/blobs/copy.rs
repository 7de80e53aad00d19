//! Copies a range of one file into a draft inside the kernel, and hashes the copy.
//!
//! The source is read once. It is never hashed itself: a stick that answers one thing to the hasher and another to the
//! copier would get unverified bytes into the folder.

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

/// Copies `size` bytes at `offset` of `from` into an empty draft and returns the digest of what the draft then holds.
pub(super) fn copy_and_hash(
    draft: &Draft,
    digest: &Digest,
    size: u64,
    from: &File,
    offset: u64,
) -> Result<Digest, BlobError> {
    let copy = Copy { draft, digest, size, from, offset };
    if size < THREADED {
        let mut hash = DigestWriter::new(io::sink());
        let mut done = 0;
        while done < size {
            let end = copy.chunk(done)?;
            read_back(draft, done, end, &mut hash)?;
            done = end;
        }
        return Ok(hash.finish().1);
    }
    // The channel bounds how far the copy may run ahead (and so how much of it can leave the page cache unhashed).
    let (copied, to_hash) = mpsc::sync_channel::<u64>(8);
    std::thread::scope(|scope| {
        let hasher = scope.spawn(move || {
            let mut hash = DigestWriter::new(io::sink());
            let mut done = 0;
            for end in to_hash {
                read_back(draft, done, end, &mut hash)?;
                done = end;
            }
            Ok::<_, BlobError>(hash.finish().1)
        });
        let mut done = 0;
        let mut outcome = Ok(());
        while done < size {
            match copy.chunk(done) {
                // A hasher that has stopped has its own error to tell.
                Ok(end) if copied.send(end).is_ok() => done = end,
                Ok(_) => break,
                Err(error) => {
                    outcome = Err(error);
                    break;
                }
            }
        }
        drop(copied);
        let hashed = hasher.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        outcome.and(hashed)
    })
}

struct Copy<'a> {
    draft: &'a Draft,
    digest: &'a Digest,
    size: u64,
    from: &'a File,
    offset: u64,
}

impl Copy<'_> {
    /// Copies some bytes from `done` on, at most a chunk, and returns where the copy now ends.
    fn chunk(&self, done: u64) -> Result<u64, BlobError> {
        let want = (self.size - done).min(CHUNK);
        let (mut read_at, mut write_at) = (self.offset.saturating_add(done), done);
        let want_len = usize::try_from(want).unwrap_or(BUFFER);
        let in_kernel = rustix::fs::copy_file_range(
            self.from,
            Some(&mut read_at),
            self.draft.file(),
            Some(&mut write_at),
            want_len,
        );
        match in_kernel {
            Ok(n) if n > 0 => Ok(done + n as u64),
            // Another kind of file system, a device, an old kernel, the end of the file or a bad sector: by hand, which
            // either works or tells precisely what is wrong.
            _ => self.chunk_by_hand(done, want),
        }
    }

    fn chunk_by_hand(&self, done: u64, want: u64) -> Result<u64, BlobError> {
        let mut buffer = vec![0; usize::try_from(want).unwrap_or(BUFFER).min(BUFFER)];
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
