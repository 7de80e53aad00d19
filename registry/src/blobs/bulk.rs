//! Many blobs made durable together.
//!
//! Each blob is hashed as it lands, like everywhere; only the waiting for the disk is shared. Blobs get their names in
//! batches: all bytes of the batch on the disk, then the names, then the folder. What is cut off by a power cut is a
//! batch of drafts, and the next run begins after the last batch that was named.

use std::fs::File;
use std::io::Read;

use consign_format::Digest;

use super::{BlobError, BlobFolder};
use crate::durable::Draft;

/// How many drafts are held open at most. Far below the usual limit of 1024 open files.
const BATCH_FILES: usize = 128;

/// How many bytes may wait for the disk: bounds what a power cut costs.
const BATCH_BYTES: u64 = 1024 * 1024 * 1024;

/// A run of blobs on their way in; see [`BlobFolder::bulk`]. Dropped before [`Bulk::finish`], the blobs of the last
/// batch are lost and leave nothing behind.
pub struct Bulk {
    blobs: BlobFolder,
    waiting: Vec<(Draft, Digest)>,
    bytes: u64,
}

impl Bulk {
    pub(super) fn new(blobs: BlobFolder) -> Self {
        Bulk { blobs, waiting: Vec::new(), bytes: 0 }
    }

    /// Like [`BlobFolder::put`]; durable and visible after [`Bulk::flush`] or [`Bulk::finish`].
    pub fn put(&mut self, digest: &Digest, size: u64, from: impl Read) -> Result<(), BlobError> {
        let draft = self.blobs.draft(digest, size, from)?;
        self.hold(draft, digest, size)
    }

    /// Like [`BlobFolder::put_from_file`]; durable and visible after [`Bulk::flush`] or [`Bulk::finish`].
    pub fn put_from_file(&mut self, digest: &Digest, size: u64, from: &File, offset: u64) -> Result<(), BlobError> {
        let draft = self.blobs.draft_from_file(digest, size, from, offset)?;
        self.hold(draft, digest, size)
    }

    /// Makes everything put so far durable, and visible.
    pub fn flush(&mut self) -> Result<(), BlobError> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        for (draft, _) in &self.waiting {
            draft.sync()?;
        }
        for (draft, digest) in self.waiting.drain(..) {
            self.blobs.name(draft, &digest)?;
        }
        self.bytes = 0;
        self.blobs.sync()
    }

    /// Flushes and ends.
    pub fn finish(mut self) -> Result<(), BlobError> {
        self.flush()
    }

    fn hold(&mut self, draft: Draft, digest: &Digest, size: u64) -> Result<(), BlobError> {
        self.waiting.push((draft, *digest));
        self.bytes = self.bytes.saturating_add(size);
        if self.waiting.len() >= BATCH_FILES || self.bytes >= BATCH_BYTES { self.flush() } else { Ok(()) }
    }
}
