//! What approvers signed comes back into the bundle: its head is written anew, its payload is not touched.

use std::path::{Path, PathBuf};

use consign_format::Digest;
use consign_format::error::Failure;
use consign_format::trust::envelope::Envelope;
use consign_format::trust::keys::{Progress, SignError};
use consign_format::trust::roots::RootChain;
use serde::Serialize;

use super::request::Request;
use super::{ApprovalError, check, read_head};
use crate::bundle;
use crate::rehead::{self, Rewriting};

/// A bundle with what was merged into it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Merged {
    /// The bundle.
    pub path: PathBuf,
    /// The release.
    pub release: Digest,
    /// How far its approvers have come.
    pub approval: Progress,
    /// How many signatures were new.
    pub added: usize,
}

const DOCUMENT: &str = "targets.json";

/// Puts the signatures of requests into a bundle. `trusted` are the roots of this desk: newer ones than the bundle's are
/// put into it as well.
///
/// # Errors
/// What a site would say of a signature or of the new head; nothing is written then.
pub fn merge(path: &Path, requests: &[PathBuf], trusted: Option<&RootChain>) -> Result<Merged, Failure> {
    let rewriting = Rewriting::begin(path)?;
    let mut head = read_head(bundle::file(path)?)?;
    let chain = match trusted {
        Some(trusted) => trusted.follow(&head.roots)?,
        None => RootChain::restore(&head.roots)?,
    };
    let before = head.check(&chain)?.progress.signed.len();
    let mut targets = head.documents[2].clone();
    for file in requests {
        let form = || ApprovalError::Form { path: file.clone(), reason: "its `_type` is another".to_owned() };
        let request = Request::read(file)?.ok_or_else(form)?;
        let signed = request.targets_bytes()?;
        let (ours, theirs) = (Envelope::parse(DOCUMENT, &targets)?, Envelope::parse(DOCUMENT, &signed)?);
        if ours.signed_digest() != theirs.signed_digest() {
            return Err(ApprovalError::OtherRelease { request: file.clone(), bundle: path.to_owned() }.into());
        }
        targets = ours.with(theirs.signatures()).map_err(SignError::from)?;
    }
    let same_roots = head.roots.len() == chain.files().len();
    head.documents[2] = targets;
    head.roots = chain.files().to_vec();
    let bytes = rehead::bytes(&head)?;
    let checked = check(&bytes, &chain)?;
    let added = checked.progress.signed.len() - before;
    if added > 0 || !same_roots {
        rewriting.replace(&bytes)?;
    }
    Ok(Merged { path: path.to_owned(), release: checked.release_digest, approval: checked.progress, added })
}
