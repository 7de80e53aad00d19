//! `verify`: everything that `install` would check of a bundle, every byte of it read, nothing changed.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

use consign_format::archive::head::{ArchiveError, OpenedBundle, VerifiedBundle};
use consign_format::archive::payload::Payload;
use consign_format::archive::volumes::VolumeError;
use consign_format::carriage::Place;
use consign_format::error::Failure;
use consign_format::release::{ReleaseManifest, Role};
use consign_format::{Digest, Limits, Name};
use consign_registry::BlobError;
use consign_terminal::{Amount, Progress};
use serde::Serialize;

use crate::admit::{Ask, admit};
use crate::clock::Clocks;
use crate::images::check_images;
use crate::install_bundle::{Until, memory, metadata};
use crate::medium::Medium;
use crate::open::open;
use crate::reach::Reach;
use crate::scan;
use crate::site::Site;

/// How much is read at a time.
const BUFFER: usize = 256 * 1024;

/// What was checked.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase", untagged)]
pub enum Checked {
    /// A release.
    Release(Verified),
    /// Metadata alone.
    Metadata {
        /// The domain.
        domain: Name,
        /// The version of the bundle's newest root.
        root: u64,
        /// How many statements it carries.
        statements: usize,
        /// What somebody should look at.
        warnings: Vec<String>,
    },
}

/// What a bundle is, every byte of it checked.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Verified {
    /// The domain.
    pub domain: Name,
    /// The product.
    pub product: Name,
    /// The version.
    pub version: String,
    /// The sequence.
    pub sequence: u64,
    /// The release's digest.
    pub release: Digest,
    /// The bundle's id.
    pub bundle: Digest,
    /// How many images.
    pub images: usize,
    /// Members read.
    pub members: usize,
    /// Bytes of their content.
    pub bytes: u64,
    /// Whether this site has verified the release before.
    pub again: bool,
    /// What somebody should look at.
    pub warnings: Vec<String>,
}

/// Verifies a bundle for this site.
pub fn verify_bundle(
    site: &Site,
    path: &Path,
    ask: Ask,
    clocks: &Clocks,
    progress: &dyn Progress,
) -> Result<Checked, Failure> {
    let medium = open(path)?.readable_by(site)?;
    let (end, reach, attestation) = (medium.end(), medium.reach(), scan::beside(&medium));
    let opened = OpenedBundle::open(medium, Limits::DEFAULT)?;
    let (domain, roots) = site.follow(opened.roots())?;
    let announced = opened.read_statements()?;
    let statements = metadata::check(&roots, announced.statements())?.len();
    announced.end().iter().for_each(|at| end.is(*at));
    let Some(untrusted) = announced.read_head()? else {
        let warnings = site.secrets_warning(&domain)?.into_iter().collect();
        return Ok(Checked::Metadata { domain, root: roots.root().version, statements, warnings });
    };
    let VerifiedBundle { vouched, payload } = untrusted.verify(&roots)?;
    end.is(vouched.carriage.boundary.saturating_add(vouched.carriage.payload));
    scan::check(ask, &attestation, &roots, &vouched)?;
    let product = site.store.read_product(&domain, &vouched.approval.product)?;
    let memory = memory(site, (&domain, &roots), product.as_ref(), &vouched.approval.product, Until::Activated)?;
    let now = crate::install_bundle::effective_now(site, &domain, clocks);
    // Whether it failed here before says nothing about the bundle.
    let mut admission = admit(&vouched, &memory, Ask { retry: true, ..ask }, &now)?;
    admission.warnings.extend(site.secrets_warning(&domain)?);
    let members = vouched.carriage.members.len();
    let bytes = vouched.carriage.members.iter().map(content_size).sum();
    progress.phase("verifying", Amount::Bytes(bytes));
    reach.check(&vouched.carriage)?;
    let read = read_all(payload, &vouched.release, &reach, progress);
    let documents = read.map_err(|error| reach.explain(error, &vouched.carriage))?;
    reach.missing().map_or(Ok(()), |missing| Err(VolumeError::Missing(missing)))?;
    let blobs = site.store.blobs()?;
    check_images(&vouched.release, &read_from(&documents, &blobs))?;
    progress.done();
    Ok(Checked::Release(Verified {
        domain,
        product: vouched.approval.product,
        version: vouched.approval.version,
        sequence: vouched.approval.sequence,
        release: vouched.release_digest,
        bundle: vouched.bundle_id,
        images: vouched.release.images.len(),
        members,
        bytes,
        again: admission.again,
        warnings: admission.warnings,
    }))
}

fn content_size(member: &consign_format::carriage::Member) -> u64 {
    member.packed.as_ref().map_or(member.length, |packed| packed.size)
}

/// Reads every member to its end and keeps the manifests, which are metadata and small.
fn read_all(
    payload: Payload<Medium>,
    release: &ReleaseManifest,
    reach: &Reach,
    progress: &dyn Progress,
) -> Result<BTreeMap<Digest, Vec<u8>>, ArchiveError> {
    let mut kept = BTreeMap::new();
    let mut buffer = vec![0; BUFFER];
    payload.each_within(
        |from, to| reach.is_within(from, to),
        |_, place, content| {
            let digest = match place {
                Place::Blob(digest) | Place::Packed(digest) => Some(digest),
                Place::Layout | Place::Index => None,
            };
            let keep = digest.filter(|digest| is_manifest(release, digest));
            let mut bytes = Vec::new();
            loop {
                let read = match content.read(&mut buffer) {
                    Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                    // A read that fails is told by the payload itself, in the bundle's words.
                    Ok(0) | Err(_) => break,
                    Ok(read) => read,
                };
                progress.advance(read as u64);
                if keep.is_some() {
                    bytes.extend_from_slice(&buffer[..read]);
                }
            }
            kept.extend(keep.map(|digest| (digest, bytes)));
            Ok::<(), ArchiveError>(())
        },
    )?;
    Ok(kept)
}

fn is_manifest(release: &ReleaseManifest, digest: &Digest) -> bool {
    release
        .blob(digest)
        .is_some_and(|blob| matches!(blob.role, Role::Index | Role::Manifest) && blob.size <= Limits::DEFAULT.manifest)
}

/// A reader over blobs that are in memory, for what has not been loaded.
pub(crate) fn read_from<'a>(
    documents: &'a BTreeMap<Digest, Vec<u8>>,
    blobs: &'a consign_registry::BlobFolder,
) -> impl Fn(&Digest, u64) -> Result<Vec<u8>, BlobError> + 'a {
    move |digest, limit| match documents.get(digest) {
        Some(bytes) => Ok(bytes.clone()),
        None => blobs.read(digest, limit),
    }
}
