//! Opening a bundle: the head is read in its one order, within bounds, and nothing in it is believed.

use std::io::{self, Read};

use super::header::{self, HeaderError};
use super::payload::Payload;
use super::{FILLER_MEMBER, FORMAT_MEMBER, FORMAT_VERSION};
use crate::canonical::CanonicalError;
use crate::carriage::BOUNDARY_UNIT;
use crate::error::{Code, Coded, codes};
use crate::trust::TrustError;
use crate::trust::chain::Vouched;
use crate::trust::roots::RootChain;
use crate::verify::Mismatch;
use crate::{Limits, release};

/// What can be wrong with an archive.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The medium could not be read.
    #[error("the medium cannot be read at byte {offset}, in {member}")]
    Unreadable {
        /// The offset in the bundle.
        offset: u64,
        /// The member.
        member: String,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// The bundle ends early.
    #[error("the bundle ends at byte {offset}, in the middle of {member}")]
    Truncated {
        /// The offset in the bundle.
        offset: u64,
        /// The member.
        member: String,
    },
    /// The first bytes are not those of a bundle.
    #[error("this is not a Consign bundle of a version this program reads")]
    NotABundle,
    /// A header, a padding or the end is not the canonical one.
    #[error("the archive is malformed at byte {offset}: {reason}")]
    Malformed {
        /// The offset in the bundle.
        offset: u64,
        /// What is wrong.
        reason: String,
    },
    /// A member or a count exceeds its bound.
    #[error("{what} is over the limit of {limit}")]
    OverLimit {
        /// What.
        what: String,
        /// The bound.
        limit: u64,
    },
    /// A member's bytes are not the promised ones.
    #[error("the content of {member} is not what was signed")]
    Digest {
        /// The member.
        member: String,
        /// Both digests.
        #[source]
        source: Mismatch,
    },
    /// A packed member's frame cannot be decoded as it was promised.
    #[error("a frame of {member} is malformed: {reason}")]
    Frame {
        /// The member.
        member: String,
        /// What is wrong.
        reason: &'static str,
    },
}

impl Coded for ArchiveError {
    fn code(&self) -> Code {
        match self {
            ArchiveError::Unreadable { .. } => codes::MEDIUM_UNREADABLE,
            ArchiveError::Truncated { .. } => codes::TRUNCATED,
            ArchiveError::NotABundle => codes::NOT_A_BUNDLE,
            ArchiveError::Malformed { .. } | ArchiveError::Frame { .. } => codes::ARCHIVE_MALFORMED,
            ArchiveError::OverLimit { .. } => codes::OVER_LIMIT,
            ArchiveError::Digest { .. } => codes::DIGEST_MISMATCH,
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            ArchiveError::Unreadable { .. } | ArchiveError::Digest { .. } => {
                "the medium is damaged; copy the bundle again or use another medium, nothing was changed"
            }
            ArchiveError::Truncated { .. } => {
                "the copy to the medium was not finished; copy it again and unmount before pulling it"
            }
            ArchiveError::NotABundle => "check that this is the .consign file, not compressed and not renamed",
            ArchiveError::Malformed { .. } | ArchiveError::Frame { .. } => {
                "the bundle was changed after it was built; do not use it, and report it"
            }
            ArchiveError::OverLimit { .. } => "no honest bundle is like this; do not use it, and report it",
        };
        Some(hint.to_owned())
    }
}

/// What padding is compared with.
const ZEROS: [u8; 4096] = [0; 4096];

/// A source that counts, so that errors can say where.
#[derive(Debug)]
pub(super) struct Source<R> {
    pub(super) inner: R,
    pub(super) offset: u64,
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
                    return Err(ArchiveError::Unreadable { offset: self.offset, member: member.to_owned(), source });
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

    fn header(&mut self, member: &str) -> Result<(String, u64), ArchiveError> {
        let offset = self.offset;
        let mut block = [0; 512];
        self.fill(&mut block, member)?;
        header::parse(&block).map_err(|e: HeaderError| ArchiveError::Malformed { offset, reason: e.to_string() })
    }

    fn document(&mut self, name: &str, length: u64, limit: u64) -> Result<Vec<u8>, ArchiveError> {
        if length > limit {
            return Err(ArchiveError::OverLimit { what: name.to_owned(), limit });
        }
        let mut bytes = vec![0; length as usize];
        self.fill(&mut bytes, name)?;
        self.zeros(header::padding(length), name)?;
        Ok(bytes)
    }

    /// Reads the member that must come next.
    fn named(&mut self, expected: &str, limit: u64) -> Result<Vec<u8>, ArchiveError> {
        let offset = self.offset;
        let (name, length) = self.header(expected)?;
        if name != expected {
            return Err(out_of_order(offset, expected, &name));
        }
        self.document(&name, length, limit)
    }
}

fn out_of_order(offset: u64, expected: &str, found: &str) -> ArchiveError {
    ArchiveError::Malformed { offset, reason: format!("expected {expected}, found {found}") }
}

/// A bundle of which the format and the roots have been read. Roots are to be committed now, before anything
/// else is looked at: a revocation must land even from a medium whose rest is unreadable (TRUST §3.3).
pub struct OpenedBundle<R> {
    source: Source<R>,
    limits: Limits,
    roots: Vec<Vec<u8>>,
    next: (u64, String, u64),
}

/// A bundle whose head has been read and not one byte of it believed.
pub struct UntrustedBundle<R> {
    source: Source<R>,
    limits: Limits,
    roots: Vec<Vec<u8>>,
    documents: [Vec<u8>; 5],
    boundary: u64,
}

/// A bundle whose head the roots vouch for. [`UntrustedBundle::verify`] is the only way to one.
pub struct VerifiedBundle<R> {
    /// The head.
    pub vouched: Vouched,
    /// What follows; each member is checked while it is read.
    pub payload: Payload<R>,
}

impl<R: Read> OpenedBundle<R> {
    /// Reads the format and the roots.
    pub fn open(inner: R, limits: Limits) -> Result<Self, ArchiveError> {
        let mut source = Source { inner, offset: 0 };
        let mut block = [0; 512];
        source.fill(&mut block, FORMAT_MEMBER)?;
        let canonical = header::canonical(FORMAT_MEMBER, FORMAT_VERSION.len() as u64);
        if canonical.as_ref() != Ok(&block) {
            return Err(not_a_bundle(&block));
        }
        let version = source.document(FORMAT_MEMBER, FORMAT_VERSION.len() as u64, BOUNDARY_UNIT)?;
        if version != FORMAT_VERSION {
            return Err(ArchiveError::NotABundle);
        }
        let mut roots = Vec::new();
        loop {
            let offset = source.offset;
            let (name, length) = source.header("the metadata")?;
            if name != format!("metadata/{}.root.json", roots.len() + 1) {
                return Ok(OpenedBundle { source, limits, roots, next: (offset, name, length) });
            }
            if roots.len() as u64 >= limits.roots {
                return Err(ArchiveError::OverLimit { what: "the number of roots".to_owned(), limit: limits.roots });
            }
            roots.push(source.document(&name, length, limits.metadata)?);
        }
    }

    /// The roots, version 1 first.
    pub fn roots(&self) -> &[Vec<u8>] {
        &self.roots
    }

    /// Reads the rest of the head.
    pub fn read_head(self) -> Result<UntrustedBundle<R>, ArchiveError> {
        let OpenedBundle { mut source, limits, roots, next: (offset, name, length) } = self;
        if name != "metadata/timestamp.json" {
            return Err(out_of_order(offset, "metadata/timestamp.json", &name));
        }
        let timestamp = source.document(&name, length, limits.metadata)?;
        let snapshot = source.named("metadata/snapshot.json", limits.metadata)?;
        let targets = source.named("metadata/targets.json", limits.metadata)?;
        let carriage = source.named("metadata/carriage.json", limits.carriage)?;
        let release = source.named(release::MEMBER, limits.release)?;
        let offset = source.offset;
        let (name, filler) = source.header(FILLER_MEMBER)?;
        if name != FILLER_MEMBER {
            return Err(out_of_order(offset, FILLER_MEMBER, &name));
        }
        if filler > limits.filler {
            return Err(ArchiveError::OverLimit { what: FILLER_MEMBER.to_owned(), limit: limits.filler });
        }
        source.zeros(filler + header::padding(filler), FILLER_MEMBER)?;
        let boundary = source.offset;
        Ok(UntrustedBundle {
            source,
            limits,
            roots,
            documents: [timestamp, snapshot, targets, carriage, release],
            boundary,
        })
    }
}

impl<R: Read> UntrustedBundle<R> {
    /// The roots, version 1 first.
    pub fn roots(&self) -> &[Vec<u8>] {
        &self.roots
    }

    /// Lets the roots vouch for the head, document by document (TUF §5.4 to §5.7). The chain must already have
    /// followed this bundle's roots.
    pub fn verify(self, roots: &RootChain) -> Result<VerifiedBundle<R>, TrustError> {
        let [timestamp, snapshot, targets, carriage, release] = &self.documents;
        let vouched =
            roots.timestamp(timestamp)?.snapshot(snapshot)?.targets(targets)?.carriage(carriage)?.release(release)?;
        let offered = (self.roots.len() as u64, roots.root().version);
        if offered.0 != offered.1 {
            return Err(TrustError::RootGap { from: offered.0, to: offered.1 });
        }
        if vouched.carriage.boundary != self.boundary {
            return Err(TrustError::Contradiction { what: "the end of the head" });
        }
        if vouched.carriage.members.len() as u64 > self.limits.members {
            let source = CanonicalError::Value(format!("too long: more than {} members", self.limits.members));
            return Err(TrustError::Canonical { document: "carriage.json".to_owned(), source });
        }
        let members = vouched.carriage.members.clone();
        Ok(VerifiedBundle { vouched, payload: Payload::new(self.source, members) })
    }
}

fn not_a_bundle(block: &[u8; 512]) -> ArchiveError {
    // A flipped bit in the first header is told apart from another kind of file.
    match block.starts_with(FORMAT_MEMBER.as_bytes()) {
        true => ArchiveError::Malformed { offset: 0, reason: "the first header is not the canonical one".to_owned() },
        false => ArchiveError::NotABundle,
    }
}
