//! Where everything in a bundle will lie, computed before a byte is written.
//!
//! Every size is known from descriptors, so the offsets are fixed, layers can stream into their places in
//! parallel, and the head, whose room is reserved, is written last.

use std::collections::BTreeMap;

use super::header::{self, HeaderError};
use super::{FILLER_MEMBER, FORMAT_MEMBER, FORMAT_VERSION, STATEMENT_FOLDER};
use crate::carriage::{BOUNDARY_UNIT, Member};
use crate::{Digest, release};

/// The documents of a head, as the bytes to be carried.
#[derive(Debug, Clone)]
pub struct HeadDocuments<'a> {
    /// Roots 1 to N.
    pub roots: &'a [Vec<u8>],
    /// Statements, in any order.
    pub statements: &'a [Vec<u8>],
    /// `timestamp.json`
    pub timestamp: &'a [u8],
    /// `snapshot.json`
    pub snapshot: &'a [u8],
    /// `targets.json`
    pub targets: &'a [u8],
    /// `carriage.json`
    pub carriage: &'a [u8],
    /// The release manifest.
    pub release: &'a [u8],
}

impl<'a> HeadDocuments<'a> {
    /// Names and contents in the order of the archive, without the filler.
    fn members(&self) -> Vec<(String, &'a [u8])> {
        let mut members = announcement(self.roots, self.statements);
        members.extend([
            ("metadata/timestamp.json".to_owned(), self.timestamp),
            ("metadata/snapshot.json".to_owned(), self.snapshot),
            ("metadata/targets.json".to_owned(), self.targets),
            ("metadata/carriage.json".to_owned(), self.carriage),
            (release::MEMBER.to_owned(), self.release),
        ]);
        members
    }

    /// The length of the head without its filler.
    fn length(&self) -> u64 {
        self.members().iter().map(|(_, content)| header::BLOCK + padded(content)).sum()
    }
}

/// What every bundle begins with: format, roots, statements by ascending digest.
fn announcement<'a>(roots: &'a [Vec<u8>], statements: &'a [Vec<u8>]) -> Vec<(String, &'a [u8])> {
    let mut members = vec![(FORMAT_MEMBER.to_owned(), FORMAT_VERSION)];
    members.extend((1..).zip(roots).map(|(n, root)| (format!("metadata/{n}.root.json"), root.as_slice())));
    let named: BTreeMap<Digest, &[u8]> = statements.iter().map(|bytes| (Digest::of(bytes), bytes.as_slice())).collect();
    members
        .extend(named.into_iter().map(|(digest, bytes)| (format!("{STATEMENT_FOLDER}{}.json", digest.hex()), bytes)));
    members
}

/// Returns a whole bundle of metadata alone.
///
/// # Errors
/// [`PlanError::Header`] if a document is longer than any member.
pub fn metadata_bundle(roots: &[Vec<u8>], statements: &[Vec<u8>]) -> Result<Vec<u8>, PlanError> {
    let mut bundle = Vec::new();
    for (name, content) in announcement(roots, statements) {
        append(&mut bundle, &name, content)?;
    }
    bundle.resize(bundle.len() + header::END_LENGTH as usize, 0);
    Ok(bundle)
}

fn append(archive: &mut Vec<u8>, name: &str, content: &[u8]) -> Result<(), HeaderError> {
    archive.extend_from_slice(&header::canonical(name, content.len() as u64)?);
    archive.extend_from_slice(content);
    archive.resize(archive.len() + header::padding(content.len() as u64) as usize, 0);
    Ok(())
}

fn padded(content: &[u8]) -> u64 {
    content.len() as u64 + header::padding(content.len() as u64)
}

/// Returns the boundary for a head of these documents: a multiple of 64 KiB that leaves at least 64 KiB for
/// further signatures. The documents need not be signed yet; every signature is far smaller than the slack.
pub fn boundary(documents: &HeadDocuments<'_>) -> u64 {
    (documents.length() + header::BLOCK + BOUNDARY_UNIT).next_multiple_of(BOUNDARY_UNIT)
}

/// The head does not fit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// The head is longer than the room reserved for it.
    #[error("the head needs {need} bytes and the boundary is at {boundary}")]
    HeadTooLong {
        /// The head's length with an empty filler.
        need: u64,
        /// The boundary.
        boundary: u64,
    },
    /// A member cannot be named.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// The members are longer than any file.
    #[error("the members add up to more than any file holds")]
    Overflow,
}

/// Writes the head: exactly `boundary` bytes.
pub fn head_bytes(documents: &HeadDocuments<'_>, boundary: u64) -> Result<Vec<u8>, PlanError> {
    let need = documents.length() + header::BLOCK;
    let filler = boundary.checked_sub(need).ok_or(PlanError::HeadTooLong { need, boundary })?;
    let mut head = Vec::with_capacity(usize::try_from(boundary).unwrap_or_default());
    for (name, content) in documents.members() {
        append(&mut head, &name, content)?;
    }
    head.extend_from_slice(&header::canonical(FILLER_MEMBER, filler)?);
    head.resize(head.len() + filler as usize, 0);
    Ok(head)
}

/// Where one member lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placed {
    /// The offset of its header.
    pub header: u64,
    /// The offset of its content.
    pub content: u64,
}

/// Where the payload lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PayloadPlan {
    /// One place for each member, in their order.
    pub places: Vec<Placed>,
    /// The offset of the two zero blocks.
    pub end: u64,
    /// The length of the whole archive.
    pub length: u64,
}

/// Returns the length of a payload of these stored lengths: from the boundary to the end of the archive.
pub fn payload_length(lengths: impl IntoIterator<Item = u64>) -> Result<u64, PlanError> {
    lengths.into_iter().try_fold(header::END_LENGTH, |sum, length| {
        header::stored(length).and_then(|stored| sum.checked_add(stored)).ok_or(PlanError::Overflow)
    })
}

/// Places the members behind the boundary.
pub fn place(boundary: u64, members: &[Member]) -> Result<PayloadPlan, PlanError> {
    let mut at = boundary;
    let mut places = Vec::with_capacity(members.len());
    for member in members {
        places.push(Placed { header: at, content: at + header::BLOCK });
        let stored = header::stored(member.length).ok_or(PlanError::Overflow)?;
        at = at.checked_add(stored).ok_or(PlanError::Overflow)?;
    }
    let length = at.checked_add(header::END_LENGTH).ok_or(PlanError::Overflow)?;
    Ok(PayloadPlan { places, end: at, length })
}
