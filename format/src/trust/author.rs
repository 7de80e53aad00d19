//! Writing the signed documents: the other side of [`super::chain`], kept beside it so that they agree.
//!
//! Times are arguments, texts of the form `2026-11-22T12:00:00Z`; a lock fixes them, so that the same lock
//! and the same keys give the same bytes.

use std::collections::BTreeMap;

use super::document::{Approval, FilePointer, MetaFile, SPEC_VERSION, Snapshot, Target, Targets, Timestamp};
use super::keys::{SignError, Signer, sign};
use super::root_author::{FirstRoot, Part, Team};
use super::{envelope, root_author};
use crate::canonical;
use crate::carriage::Carriage;
use crate::release;
use crate::{Digest, Name};

/// Writes root 1 of a domain with one key in every role: how a newcomer begins, marked as development.
pub fn development_root(domain: &Name, signer: &dyn Signer, expires: &str) -> Result<Vec<u8>, SignError> {
    let team = || Team { keys: vec![signer.public()], threshold: 1 };
    let root = root_author::first(&FirstRoot {
        domain: domain.clone(),
        development: true,
        expires: expires.to_owned(),
        teams: [Part::Root, Part::Approver, Part::Publisher].map(|part| (part, team())).to_vec(),
    })?;
    sign(&root, &[signer])
}

/// Who signs what.
pub struct Signers<'a> {
    /// The domain they speak for.
    pub domain: &'a Name,
    /// Approvers: they sign targets. There may be fewer than the root demands; others follow.
    pub approvers: Vec<&'a dyn Signer>,
    /// The publisher: it signs snapshot and timestamp.
    pub publisher: &'a dyn Signer,
}

/// The signed documents of one head, but for the roots and the release manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Documents {
    /// `timestamp.json`
    pub timestamp: Vec<u8>,
    /// `snapshot.json`
    pub snapshot: Vec<u8>,
    /// `targets.json`
    pub targets: Vec<u8>,
    /// `carriage.json`
    pub carriage: Vec<u8>,
}

/// Writes and signs the documents of a head. Their TUF version is the release's sequence: it goes up with
/// every release, which is what other TUF clients look at; this project looks at the sequence itself.
pub fn documents(
    release: &[u8],
    approval: &Approval,
    carriage: &Carriage,
    expires: &str,
    signers: &Signers<'_>,
) -> Result<Documents, SignError> {
    let version = approval.sequence;
    let target = Target {
        hashes: BTreeMap::from([("sha256".to_owned(), Digest::of(release).hex())]),
        length: release.len() as u64,
    };
    let targets = Targets {
        kind: "targets".to_owned(),
        expires: expires.to_owned(),
        spec_version: SPEC_VERSION.to_owned(),
        targets: BTreeMap::from([(release::MEMBER.to_owned(), target)]),
        version,
        domain: signers.domain.clone(),
        bundle: approval.clone(),
    };
    let carriage = envelope::seal(carriage, &[])?;
    let snapshot = Snapshot {
        kind: "snapshot".to_owned(),
        expires: expires.to_owned(),
        meta: BTreeMap::from([("targets.json".to_owned(), meta_file(version, &targets)?)]),
        spec_version: SPEC_VERSION.to_owned(),
        version,
        carriage: FilePointer { length: carriage.len() as u64, sha256: Digest::of(&carriage).hex() },
    };
    let timestamp = Timestamp {
        kind: "timestamp".to_owned(),
        expires: expires.to_owned(),
        meta: BTreeMap::from([("snapshot.json".to_owned(), meta_file(version, &snapshot)?)]),
        spec_version: SPEC_VERSION.to_owned(),
        version,
    };
    Ok(Documents {
        timestamp: sign(&timestamp, &[signers.publisher])?,
        snapshot: sign(&snapshot, &[signers.publisher])?,
        targets: sign(&targets, &signers.approvers)?,
        carriage,
    })
}

fn meta_file(version: u64, signed: &impl serde::Serialize) -> Result<MetaFile, SignError> {
    Ok(MetaFile { version, signed_sha256: Digest::of(&canonical::to_vec(signed)?).hex() })
}
