//! Opening a bundle: the head is read in its one order, within bounds, and nothing in it is believed.

use std::io::{self, Read};

use super::header;
use super::payload::Payload;
use super::source::{Header, Source, out_of_order};
use super::{ENCRYPTED_MEMBER, FILLER_MEMBER, FORMAT_MEMBER, FORMAT_VERSION, STATEMENT_FOLDER};
use crate::canonical::CanonicalError;
use crate::carriage::BOUNDARY_UNIT;
use crate::error::{Code, Coded, codes};
use crate::trust::TrustError;
use crate::trust::chain::Vouched;
use crate::trust::roots::RootChain;
use crate::verify::{Mismatch, Undecryptable};
use crate::{Digest, Limits, release};

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
    /// It is encrypted, and was to be read as it lies there.
    #[error("the bundle is encrypted")]
    Encrypted,
    /// What is encrypted does not decrypt.
    #[error("the bundle cannot be decrypted at byte {offset}, in {member}")]
    Undecryptable {
        /// The offset in the plain bundle.
        offset: u64,
        /// The member.
        member: String,
        /// What the cipher found.
        #[source]
        source: Undecryptable,
    },
    /// The bundle ends early.
    #[error("the bundle ends at byte {offset}, in the middle of {member}")]
    Truncated {
        /// The offset in the bundle.
        offset: u64,
        /// The member.
        member: String,
    },
    /// A member that the carriage lists is not where it must be; what follows it is.
    #[error("{member} is signed and missing: it should stand at byte {offset}")]
    Missing {
        /// The offset in the bundle.
        offset: u64,
        /// The member.
        member: String,
    },
    /// The first bytes are not those of a bundle.
    #[error("this is not a Consign bundle of a version this program reads")]
    NotABundle,
    /// The bundle holds roots and statements, and a release was asked for.
    #[error("this bundle carries metadata alone: roots, site records or grants, and no release")]
    NoRelease,
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

impl ArchiveError {
    /// A read that failed: by the medium, or by a stream that decrypts it.
    pub fn unreadable(offset: u64, member: String, source: io::Error) -> Self {
        match source.get_ref().and_then(|inner| inner.downcast_ref::<Undecryptable>()) {
            Some(reason) => ArchiveError::Undecryptable { offset, member, source: *reason },
            None => ArchiveError::Unreadable { offset, member, source },
        }
    }
}

impl Coded for ArchiveError {
    fn code(&self) -> Code {
        match self {
            ArchiveError::Unreadable { .. } => codes::MEDIUM_UNREADABLE,
            ArchiveError::Encrypted | ArchiveError::Undecryptable { .. } => codes::CANNOT_DECRYPT,
            ArchiveError::Truncated { .. } => codes::TRUNCATED,
            ArchiveError::Missing { .. } => codes::MEMBER_MISSING,
            ArchiveError::NotABundle => codes::NOT_A_BUNDLE,
            ArchiveError::NoRelease => codes::NO_RELEASE,
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
            ArchiveError::Encrypted => {
                "approve, sign and split the plain bundle, and encrypt it last; where it is only to be read, name a key it \
                 is encrypted to with --identity FILE"
            }
            ArchiveError::Undecryptable { .. } => Undecryptable::HINT,
            ArchiveError::Truncated { .. } => {
                "the copy to the medium was not finished; copy it again and unmount before pulling it"
            }
            ArchiveError::Missing { .. } => {
                "the bundle is not whole; copy it again or ask for another, nothing was changed"
            }
            ArchiveError::NotABundle => "check that this is the .consign file, not compressed and not renamed",
            ArchiveError::NoRelease => "`consign-site install` takes it; for this command name a bundle of a release",
            ArchiveError::Malformed { .. } | ArchiveError::Frame { .. } => {
                "the bundle was changed after it was built; do not use it, and report it"
            }
            ArchiveError::OverLimit { .. } => "no honest bundle is like this; do not use it, and report it",
        };
        Some(hint.to_owned())
    }
}

/// A bundle of which the format and the roots have been read. Roots are to be committed now, before anything
/// else is looked at: a revocation must land even from a medium whose rest is unreadable (TRUST §3.3).
pub struct OpenedBundle<R> {
    source: Source<R>,
    limits: Limits,
    roots: Vec<Vec<u8>>,
    next: Option<Header>,
}

/// A bundle of which the statements have been read too. What follows is a release, or the end.
pub struct AnnouncedBundle<R> {
    opened: OpenedBundle<R>,
    statements: Vec<Vec<u8>>,
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
        let mut next = Some(source.header("the metadata")?);
        let mut left = limits.all_roots;
        while let Some(header) = next.take_if(|header| header.name == root_member(roots.len() + 1)) {
            if roots.len() as u64 >= limits.roots {
                return Err(ArchiveError::OverLimit { what: "the number of roots".to_owned(), limit: limits.roots });
            }
            roots.push(source.document(&header.name, header.length, left.min(limits.metadata))?);
            left -= header.length;
            next = source.header_or_end("the metadata")?;
        }
        Ok(OpenedBundle { source, limits, roots, next })
    }

    /// The roots, version 1 first.
    pub fn roots(&self) -> &[Vec<u8>] {
        &self.roots
    }

    /// Reads past the statements to the head of the release, which must be there.
    pub fn read_head(self) -> Result<UntrustedBundle<R>, ArchiveError> {
        self.read_statements()?.read_head()?.ok_or(ArchiveError::NoRelease)
    }

    /// Reads the statements, each named by its own digest, ascending.
    pub fn read_statements(mut self) -> Result<AnnouncedBundle<R>, ArchiveError> {
        let mut statements = Vec::new();
        let (mut left, mut before) = (self.limits.statements, None);
        while let Some(header) = self.next.take_if(|header| header.name.starts_with(STATEMENT_FOLDER)) {
            let digest = statement_digest(&header.name).filter(|digest| before < Some(*digest)).ok_or_else(|| {
                let reason = format!("{} is not named by a digest, or out of order", header.name);
                ArchiveError::Malformed { offset: header.at, reason }
            })?;
            let bytes = self.source.document(&header.name, header.length, left.min(self.limits.metadata))?;
            let found = Digest::of(&bytes);
            if found != digest {
                let source = Mismatch { expected: digest, found };
                return Err(ArchiveError::Digest { member: header.name, source });
            }
            left -= header.length;
            before = Some(digest);
            statements.push(bytes);
            self.next = self.source.header_or_end("the metadata")?;
        }
        Ok(AnnouncedBundle { opened: self, statements })
    }
}

impl<R: Read> AnnouncedBundle<R> {
    /// The statements, in the order of their digests.
    pub fn statements(&self) -> &[Vec<u8>] {
        &self.statements
    }

    /// For a bundle of metadata alone: where it ends.
    pub fn end(&self) -> Option<u64> {
        let first_block_read = header::END_LENGTH - header::BLOCK;
        self.opened.next.is_none().then(|| self.opened.source.offset + first_block_read)
    }

    /// Reads the rest of the head; `None`, after the exact end, for a bundle of metadata alone.
    pub fn read_head(self) -> Result<Option<UntrustedBundle<R>>, ArchiveError> {
        let OpenedBundle { mut source, limits, roots, next } = self.opened;
        let Some(header) = next else {
            source.zeros(header::END_LENGTH - header::BLOCK, "the end")?;
            source.end()?;
            return Ok(None);
        };
        let timestamp = source.content(header, "metadata/timestamp.json", limits.metadata)?;
        let snapshot = source.named("metadata/snapshot.json", limits.metadata)?;
        let targets = source.named("metadata/targets.json", limits.metadata)?;
        let carriage = source.named("metadata/carriage.json", limits.carriage)?;
        let release = source.named(release::MEMBER, limits.release)?;
        let filler = source.header(FILLER_MEMBER)?;
        if filler.name != FILLER_MEMBER {
            return Err(out_of_order(filler.at, FILLER_MEMBER, &filler.name));
        }
        if filler.length > limits.filler {
            return Err(ArchiveError::OverLimit { what: FILLER_MEMBER.to_owned(), limit: limits.filler });
        }
        source.zeros(filler.length + header::padding(filler.length), FILLER_MEMBER)?;
        let boundary = source.offset;
        let documents = [timestamp, snapshot, targets, carriage, release];
        Ok(Some(UntrustedBundle { source, limits, roots, documents, boundary }))
    }
}

fn root_member(version: usize) -> String {
    format!("metadata/{version}.root.json")
}

fn statement_digest(member: &str) -> Option<Digest> {
    Digest::from_hex(member.strip_prefix(STATEMENT_FOLDER)?.strip_suffix(".json")?).ok()
}

impl<R: Read> UntrustedBundle<R> {
    /// The roots, version 1 first.
    pub fn roots(&self) -> &[Vec<u8>] {
        &self.roots
    }

    /// Timestamp, snapshot, targets, carriage and release manifest, as they stand in the file: for whoever writes the
    /// head anew.
    pub fn documents(&self) -> &[Vec<u8>; 5] {
        &self.documents
    }

    /// Where the head ends.
    pub fn boundary(&self) -> u64 {
        self.boundary
    }

    /// Lets the roots vouch for the head, document by document (TUF §5.4 to §5.7). The chain must already have
    /// followed this bundle's roots. It may know newer ones: an older bundle counts as long as the newest root gives
    /// its signers their say.
    pub fn verify(self, roots: &RootChain) -> Result<VerifiedBundle<R>, TrustError> {
        let [timestamp, snapshot, targets, carriage, release] = &self.documents;
        let vouched =
            roots.timestamp(timestamp)?.snapshot(snapshot)?.targets(targets)?.carriage(carriage)?.release(release)?;
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
    if block.starts_with(ENCRYPTED_MEMBER.as_bytes()) {
        return ArchiveError::Encrypted;
    }
    match block.starts_with(FORMAT_MEMBER.as_bytes()) {
        true => ArchiveError::Malformed { offset: 0, reason: "the first header is not the canonical one".to_owned() },
        false => ArchiveError::NotABundle,
    }
}
