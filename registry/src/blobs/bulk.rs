//! Many blobs made durable together, while the next ones are already being written.
//!
//! Each blob is hashed as it lands, like everywhere; only the waiting for the disk is shared. Blobs get their names in
//! batches: all bytes of the batch on the disk, then the names, then the folder. A second thread waits for one batch
//! while the next is filled. What a power cut costs is two batches of drafts.

use std::fs::File;
use std::io::Read;
use std::thread::JoinHandle;

use consign_format::Digest;

use super::{BlobError, BlobFolder};
use crate::durable::Draft;

/// How many drafts are in one batch at most; two batches stay far below the usual limit of 1024 open files.
const BATCH_FILES: usize = 256;

/// How many bytes are in one batch at most: large enough to keep the disk busy, small enough to be lost.
const BATCH_BYTES: u64 = 256 * 1024 * 1024;

/// From so many files on, flushing the whole file system is cheaper than flushing each: a flush of the disk's own
/// cache per file costs milliseconds, and most blobs are small.
const FLUSH_ALL: usize = 16;

/// A run of blobs on their way in; see [`BlobFolder::bulk`]. Dropped before [`Bulk::finish`], the blobs of the last
/// batch are lost and leave nothing behind.
pub struct Bulk {
    blobs: BlobFolder,
    waiting: Vec<(Draft, Digest)>,
    bytes: u64,
    behind: Option<JoinHandle<Result<(), BlobError>>>,
}

impl Bulk {
    pub(super) fn new(blobs: BlobFolder) -> Self {
        Bulk { blobs, waiting: Vec::new(), bytes: 0, behind: None }
    }

    /// Like [`BlobFolder::put`]; durable and visible after [`Bulk::flush`] or [`Bulk::finish`]. An error may be that
    /// of an earlier blob whose bytes did not reach the disk.
    pub fn put(&mut self, digest: &Digest, size: u64, from: impl Read) -> Result<(), BlobError> {
        let draft = self.blobs.draft(digest, size, from)?;
        self.hold(draft, digest, size)
    }

    /// Like [`BlobFolder::put_from_file`]; else as [`Bulk::put`].
    pub fn put_from_file(&mut self, digest: &Digest, size: u64, from: &File, offset: u64) -> Result<(), BlobError> {
        let draft = self.blobs.draft_from_file(digest, size, from, offset)?;
        self.hold(draft, digest, size)
    }

    /// Makes everything put so far durable and visible.
    pub fn flush(&mut self) -> Result<(), BlobError> {
        self.send_behind()?;
        self.wait_behind()
    }

    /// Flushes and ends.
    pub fn finish(mut self) -> Result<(), BlobError> {
        self.flush()
    }

    fn hold(&mut self, draft: Draft, digest: &Digest, size: u64) -> Result<(), BlobError> {
        self.waiting.push((draft, *digest));
        self.bytes = self.bytes.saturating_add(size);
        if self.waiting.len() >= BATCH_FILES || self.bytes >= BATCH_BYTES { self.send_behind() } else { Ok(()) }
    }

    /// Hands the batch to the second thread, after the one before.
    fn send_behind(&mut self) -> Result<(), BlobError> {
        self.wait_behind()?;
        if self.waiting.is_empty() {
            return Ok(());
        }
        let (blobs, batch) = (self.blobs.clone(), std::mem::take(&mut self.waiting));
        self.bytes = 0;
        self.behind = Some(std::thread::spawn(move || settle(&blobs, batch)));
        Ok(())
    }

    fn wait_behind(&mut self) -> Result<(), BlobError> {
        match self.behind.take() {
            None => Ok(()),
            Some(thread) => thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
        }
    }
}

impl Drop for Bulk {
    fn drop(&mut self) {
        // What is under way was verified and may stay; who drops a run has an error of their own to report.
        if let Some(thread) = self.behind.take() {
            let _ = thread.join();
        }
    }
}

/// Bytes first, names second, the folder last.
fn settle(blobs: &BlobFolder, batch: Vec<(Draft, Digest)>) -> Result<(), BlobError> {
    if batch.len() < FLUSH_ALL || !blobs.folder.flush_file_system()? {
        for (draft, _) in &batch {
            draft.sync()?;
        }
    }
    for (draft, digest) in batch {
        blobs.name(draft, &digest)?;
    }
    blobs.sync()
}
