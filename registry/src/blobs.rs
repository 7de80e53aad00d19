//! A content-addressed folder: `<dir>/blobs/sha256/<hex>`, the form of an OCI image layout.
//!
//! A blob gets its name only after its bytes were hashed on the way in (or, for a kernel-side copy, read back and
//! hashed *from the copy*), so whoever sees the name may rely on the content as far as the disk can be relied on.
//! Nothing is ever overwritten: a stranger's file at a blob's name is hashed, and refused when it is not that blob.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use consign_format::error::{Code, Coded, codes};
use consign_format::{Digest, DigestWriter};

use crate::durable::{Draft, DurableError, Existing, Folder, Step, create_dir};
use crate::section::Section;

mod bulk;
mod copy;

pub use bulk::Bulk;

/// How many bytes are held in memory at a time. Between 128 KiB and 1 MiB the size makes no difference (measured).
const BUFFER: usize = 256 * 1024;

/// What the name of a blob that was set aside ends in.
const ASIDE: &str = ".rotten";

/// The permissions of a blob: read by all who may enter the folder, written by nobody again.
const BLOB_MODE: u32 = 0o444;

/// Why a blob is not in the folder, or cannot be had from it.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    /// The file system refused.
    #[error(transparent)]
    Durable(#[from] DurableError),
    /// Where the bytes come from could not be read.
    #[error("cannot read the bytes of {digest}")]
    Source {
        /// The blob that was being read.
        digest: Digest,
        /// What the reader said.
        source: io::Error,
    },
    /// The bytes are others than the digest promises.
    #[error("the bytes of {expected} are those of {actual}")]
    Mismatch {
        /// The digest promised.
        expected: Digest,
        /// The digest of the bytes that came.
        actual: Digest,
    },
    /// Fewer bytes came than promised.
    #[error("{digest} ends after {actual} of {expected} bytes")]
    Short {
        /// The blob.
        digest: Digest,
        /// The size promised.
        expected: u64,
        /// The bytes that came.
        actual: u64,
    },
    /// More bytes came than promised; they were not read to their end.
    #[error("{digest} goes on after its {expected} bytes")]
    Long {
        /// The blob.
        digest: Digest,
        /// The size promised.
        expected: u64,
    },
    /// There is no such blob.
    #[error("{digest} is not in {}", folder.display())]
    Missing {
        /// The blob.
        digest: Digest,
        /// The folder that was searched.
        folder: PathBuf,
    },
    /// A file that is not that blob stands at its name.
    #[error("{} is not the blob that its name says", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
}

impl Coded for BlobError {
    fn code(&self) -> Code {
        match self {
            BlobError::Durable(error) => error.code(),
            BlobError::Source { .. } => codes::MEDIUM_UNREADABLE,
            BlobError::Mismatch { .. } | BlobError::Long { .. } => codes::DIGEST_MISMATCH,
            BlobError::Short { .. } => codes::TRUNCATED,
            BlobError::Missing { .. } => codes::BLOB_MISSING,
            BlobError::Foreign { .. } => codes::UNSAFE_FILE,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            BlobError::Durable(error) => error.hint(),
            BlobError::Foreign { path } => {
                Some(format!("find out who put {} there; remove it only when you know", path.display()))
            }
            _ => None,
        }
    }
}

/// The folder, held open.
#[derive(Debug, Clone)]
pub struct BlobFolder {
    folder: Folder,
}

impl BlobFolder {
    /// Opens `<dir>/blobs/sha256`, making what is missing of it. Links in place of `blobs` or `sha256` are refused.
    pub fn open(dir: &Path) -> Result<Self, BlobError> {
        create_dir(dir, 0o755)?;
        let folder = Folder::open(dir)?.subfolder("blobs")?.subfolder("sha256")?;
        Ok(BlobFolder { folder })
    }

    /// Where a blob is, or would be.
    pub fn path(&self, digest: &Digest) -> PathBuf {
        self.folder.path().join(digest.hex())
    }

    /// Tells whether a blob is there. Its bytes held when it was written; [`BlobFolder::rehash`] asks the disk again.
    /// Anything at that name which cannot be the blob (another size, a link, a folder) is an error, not an absence.
    pub fn contains(&self, digest: &Digest, size: u64) -> Result<bool, BlobError> {
        match self.open_name(digest)? {
            None => Ok(false),
            Some(file) if self.length(digest, &file)? == size => Ok(true),
            Some(_) => Err(BlobError::Foreign { path: self.path(digest) }),
        }
    }

    /// Opens a blob for reading.
    pub fn open_blob(&self, digest: &Digest) -> Result<File, BlobError> {
        let missing = || BlobError::Missing { digest: *digest, folder: self.folder.path().to_owned() };
        self.open_name(digest)?.ok_or_else(missing)
    }

    /// Reads a whole blob into memory, at most `limit` bytes, and hashes it again. For documents, not for layers.
    pub fn read(&self, digest: &Digest, limit: u64) -> Result<Vec<u8>, BlobError> {
        let mut bytes = Vec::new();
        let file = self.open_blob(digest)?;
        let read = |source| BlobError::Source { digest: *digest, source };
        file.take(limit.saturating_add(1)).read_to_end(&mut bytes).map_err(read)?;
        if bytes.len() as u64 > limit {
            return Err(BlobError::Long { digest: *digest, expected: limit });
        }
        match Digest::of(&bytes) {
            actual if actual == *digest => Ok(bytes),
            actual => Err(BlobError::Mismatch { expected: *digest, actual }),
        }
    }

    /// Reads a blob again and compares; `Ok` is its size.
    pub fn rehash(&self, digest: &Digest) -> Result<u64, BlobError> {
        let mut file = self.open_blob(digest)?;
        let mut hash = DigestWriter::new(io::sink());
        let mut buffer = vec![0; BUFFER];
        loop {
            match file.read(&mut buffer) {
                Ok(0) => break,
                Ok(n) => {
                    hash.write_all(&buffer[..n]).map_err(|source| BlobError::Source { digest: *digest, source })?
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => return Err(BlobError::Source { digest: *digest, source }),
            }
        }
        match hash.finish() {
            (_, actual, size) if actual == *digest => Ok(size),
            (_, actual, _) => Err(BlobError::Mismatch { expected: *digest, actual }),
        }
    }

    /// Writes a blob: one buffer of memory, hashed on the way, durable on return. A blob that is there already is
    /// hashed again and left as it is.
    pub fn put(&self, digest: &Digest, size: u64, from: impl Read) -> Result<(), BlobError> {
        let draft = self.draft(digest, size, from)?;
        draft.sync()?;
        self.name(draft, digest)?;
        self.sync()
    }

    /// Writes a blob that lies in a file (a bundle) at an offset, reading it once. Where the kernel can copy between the
    /// two files it does, and the copy is hashed: a medium may answer differently the second time it is asked.
    pub fn put_from_file(&self, digest: &Digest, size: u64, from: &File, offset: u64) -> Result<(), BlobError> {
        let draft = self.draft_from_file(digest, size, from, offset)?;
        draft.sync()?;
        self.name(draft, digest)?;
        self.sync()
    }

    /// Starts a blob whose bytes are pushed in; see [`BlobWriter::finish`].
    pub fn writer(&self) -> Result<BlobWriter, BlobError> {
        Ok(BlobWriter { blobs: self.clone(), draft: DigestWriter::new(self.empty_draft()?) })
    }

    /// Starts writing many blobs that become durable together, which is much faster than one by one.
    pub fn bulk(&self) -> Bulk {
        Bulk::new(self.clone())
    }

    /// Waits until the names of this folder are on the disk.
    pub fn sync(&self) -> Result<(), BlobError> {
        Ok(self.folder.sync()?)
    }

    /// Takes a blob away; one that is not there is no error. The caller calls [`BlobFolder::sync`].
    pub fn remove(&self, digest: &Digest) -> Result<(), BlobError> {
        Ok(self.folder.remove_file(OsStr::new(&digest.hex()))?)
    }

    /// Takes a blob that is not what its name says out of the way: it is nobody's blob any more, and the bytes stay where
    /// they are on the disk, so that a bad place is not written to again. The caller calls [`BlobFolder::sync`].
    pub fn set_aside(&self, digest: &Digest) -> Result<(), BlobError> {
        let name = digest.hex();
        Ok(self.folder.rename(OsStr::new(&name), OsStr::new(&format!("{name}{ASIDE}")))?)
    }

    /// Removes a blob that was set aside.
    pub fn remove_aside(&self, name: &OsStr) -> Result<(), BlobError> {
        match is_aside(name) {
            true => Ok(self.folder.remove_file(name)?),
            false => Err(BlobError::Foreign { path: self.folder.path().join(name) }),
        }
    }

    /// Removes what a power cut left half written, and returns how many files that were.
    pub fn remove_drafts(&self) -> Result<usize, BlobError> {
        Ok(self.folder.remove_drafts()?)
    }

    /// Lists what is in the folder, in no order.
    pub fn list(&self) -> Result<Listing, BlobError> {
        let read = |source| DurableError::io(Step::Read, self.folder.path(), source);
        let mut listing = Listing::default();
        for entry in std::fs::read_dir(self.folder.path()).map_err(read)? {
            let name = entry.map_err(read)?.file_name();
            match name.to_str().and_then(|hex| Digest::from_hex(hex).ok()) {
                Some(digest) => listing.blobs.push(digest),
                None if is_aside(&name) => listing.aside.push(name),
                None => listing.strangers.push(name),
            }
        }
        Ok(listing)
    }

    fn open_name(&self, digest: &Digest) -> Result<Option<File>, BlobError> {
        Ok(self.folder.open_file(OsStr::new(&digest.hex()))?)
    }

    fn length(&self, digest: &Digest, file: &File) -> Result<u64, BlobError> {
        let metadata = file.metadata().map_err(|e| DurableError::io(Step::Read, &self.path(digest), e))?;
        Ok(metadata.len())
    }

    fn empty_draft(&self) -> Result<Draft, BlobError> {
        Ok(Draft::create(&self.folder, BLOB_MODE)?)
    }

    /// A draft whose bytes have been checked, not yet synced.
    fn draft(&self, digest: &Digest, size: u64, from: impl Read) -> Result<Draft, BlobError> {
        self.fill(self.empty_draft()?, digest, size, from)
    }

    fn fill(&self, draft: Draft, digest: &Digest, size: u64, mut from: impl Read) -> Result<Draft, BlobError> {
        let mut draft = DigestWriter::new(draft);
        let mut buffer = vec![0; usize::try_from(size).unwrap_or(BUFFER).saturating_add(1).min(BUFFER)];
        let mut left = size;
        loop {
            // One byte more than promised is asked for, so that a source that goes on is noticed and never drained.
            let want = usize::try_from(left.saturating_add(1)).unwrap_or(BUFFER).min(buffer.len());
            let n = match from.read(&mut buffer[..want]) {
                Ok(0) => break,
                Ok(n) => n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(source) => return Err(BlobError::Source { digest: *digest, source }),
            };
            left = left.checked_sub(n as u64).ok_or(BlobError::Long { digest: *digest, expected: size })?;
            draft.write_all(&buffer[..n]).map_err(|e| DurableError::io(Step::Write, &self.path(digest), e))?;
        }
        checked(draft, digest, size)
    }

    fn draft_from_file(&self, digest: &Digest, size: u64, from: &File, offset: u64) -> Result<Draft, BlobError> {
        let draft = self.empty_draft()?;
        match copy::copy_and_hash(&draft, digest, size, from, offset)? {
            Some(actual) if actual == *digest => Ok(draft),
            Some(actual) => Err(BlobError::Mismatch { expected: *digest, actual }),
            None => self.fill(draft, digest, size, Section::new(from, offset, size)),
        }
    }

    /// Gives a checked draft its name. If the name is taken, what has it must be that blob.
    fn name(&self, draft: Draft, digest: &Digest) -> Result<(), BlobError> {
        match draft.rename(OsStr::new(&digest.hex()), Existing::Refuse) {
            Err(DurableError::Exists { path }) => match self.rehash(digest) {
                Ok(_) => Ok(()),
                Err(BlobError::Mismatch { .. }) => Err(BlobError::Foreign { path }),
                Err(other) => Err(other),
            },
            done => Ok(done?),
        }
    }
}

/// Whether a name is that of a blob that was set aside.
fn is_aside(name: &OsStr) -> bool {
    name.to_str().and_then(|name| name.strip_suffix(ASIDE)).is_some_and(|hex| Digest::from_hex(hex).is_ok())
}

/// What [`BlobFolder::list`] found.
#[derive(Debug, Default)]
pub struct Listing {
    /// The blobs, by name alone; nothing was read.
    pub blobs: Vec<Digest>,
    /// Blobs that were set aside.
    pub aside: Vec<OsString>,
    /// Names that are no blob's: drafts of an unfinished run, or somebody else's files.
    pub strangers: Vec<OsString>,
}

/// A blob whose bytes are pushed in. Dropped before [`BlobWriter::finish`], it leaves nothing.
pub struct BlobWriter {
    blobs: BlobFolder,
    draft: DigestWriter<Draft>,
}

impl BlobWriter {
    /// Checks size and digest, names the blob, and returns when it is durable.
    pub fn finish(self, digest: &Digest, size: u64) -> Result<(), BlobError> {
        let draft = checked(self.draft, digest, size)?;
        draft.sync()?;
        self.blobs.name(draft, digest)?;
        self.blobs.sync()
    }

    /// Names the blob by whatever its bytes hash to, for content we make ourselves.
    pub fn finish_any(self) -> Result<(Digest, u64), BlobError> {
        let (draft, digest, size) = self.draft.finish();
        draft.sync()?;
        self.blobs.name(draft, &digest)?;
        self.blobs.sync()?;
        Ok((digest, size))
    }
}

impl Write for BlobWriter {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.draft.write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.draft.flush()
    }
}

fn checked(draft: DigestWriter<Draft>, digest: &Digest, expected: u64) -> Result<Draft, BlobError> {
    let (draft, actual, size) = draft.finish();
    match size.cmp(&expected) {
        std::cmp::Ordering::Less => Err(BlobError::Short { digest: *digest, expected, actual: size }),
        std::cmp::Ordering::Greater => Err(BlobError::Long { digest: *digest, expected }),
        std::cmp::Ordering::Equal if actual == *digest => Ok(draft),
        std::cmp::Ordering::Equal => Err(BlobError::Mismatch { expected: *digest, actual }),
    }
}

#[cfg(test)]
mod tests;
