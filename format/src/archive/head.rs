//! Opening a bundle: the head is read in its one order, within bounds, and nothing in it is believed.

use std::io::Read;

pub use super::error::ArchiveError;
use super::header;
use super::payload::Payload;
use super::source::{Header, Source, out_of_order};
use super::volumes::VOLUME_MEMBER;
use super::{ENCRYPTED_MEMBER, FILLER_MEMBER, FORMAT_MEMBER, FORMAT_VERSION, STATEMENT_FOLDER};
use crate::canonical::CanonicalError;
use crate::carriage::BOUNDARY_UNIT;
use crate::trust::TrustError;
use crate::trust::chain::Vouched;
use crate::trust::roots::RootChain;
use crate::verify::Mismatch;
use crate::{Digest, Limits, release};

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
    if block.starts_with(VOLUME_MEMBER.as_bytes()) {
        return ArchiveError::Volume;
    }
    match block.starts_with(FORMAT_MEMBER.as_bytes()) {
        true => ArchiveError::Malformed { offset: 0, reason: "the first header is not the canonical one".to_owned() },
        false => ArchiveError::NotABundle,
    }
}
