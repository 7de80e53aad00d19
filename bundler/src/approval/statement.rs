//! Statements that approvers sign: site records, downgrade grants and secrets of a site, each a small file that vouches for itself.

use std::fs;
use std::path::{Path, PathBuf};

use consign_format::Name;
use consign_format::error::Failure;
use consign_format::trust::envelope::Envelope;
use consign_format::trust::keys::{self, Progress, Signer};
use consign_format::trust::roots::RootChain;
use consign_format::trust::site_secrets::SiteSecrets;
use consign_format::trust::statement::{DowngradeGrant, SiteRecord, Statement};
use consign_registry::durable;
use serde::Serialize;
use serde_json::Value;

use super::ApprovalError;
use crate::sign::KeyError;

/// The role that signs statements.
const ROLE: &str = "targets";
/// Their name in errors.
const DOCUMENT: &str = "the statement";

/// A statement, and who has signed it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Stated {
    /// Its file.
    pub path: PathBuf,
    /// What it says, as it is signed.
    pub statement: Value,
    /// How far the approvers have come.
    pub approval: Progress,
    /// The file's content.
    #[serde(skip)]
    bytes: Vec<u8>,
}

/// Reads a statement whose fields are those of its kind, for it to be shown.
///
/// # Errors
/// What a site would say of it, or what the disk says.
pub fn read(path: &Path, roots: &RootChain) -> Result<Stated, Failure> {
    let bytes = fs::read(path).map_err(|source| KeyError::Io { path: path.to_owned(), source })?;
    let form = |reason: String| ApprovalError::Form { path: path.to_owned(), reason };
    let envelope = Envelope::parse(DOCUMENT, &bytes)?;
    let statement: Value = serde_json::from_slice(envelope.signed()).map_err(|e| form(e.to_string()))?;
    // Roots and targets have their own ways to be signed, with more to be looked at.
    let kind = statement.get("_type").and_then(Value::as_str).unwrap_or_default();
    let domain = match kind {
        SiteRecord::TYPE => domain::<SiteRecord>(&envelope),
        DowngradeGrant::TYPE => domain::<DowngradeGrant>(&envelope),
        SiteSecrets::TYPE => domain::<SiteSecrets>(&envelope),
        _ => return Err(form(format!("`{kind}` is not signed by approvers on its own")).into()),
    };
    if domain.map_err(|e| form(e.to_string()))? != *roots.domain() {
        return Err(form(format!("it is of another domain than `{}`", roots.domain())).into());
    }
    let approval = roots.progress(&envelope, ROLE)?;
    Ok(Stated { path: path.to_owned(), statement, approval, bytes })
}

fn domain<T: Statement>(envelope: &Envelope<'_>) -> serde_json::Result<Name> {
    serde_json::from_slice::<T>(envelope.signed()).map(|statement| statement.domain().clone())
}

impl Stated {
    /// Signs what was read, and so what was shown: the file is not read again.
    ///
    /// # Errors
    /// A signer's, or what the disk says; the file stays as it was.
    pub fn sign(mut self, roots: &RootChain, signers: &[Box<dyn Signer + '_>]) -> Result<Self, Failure> {
        for signer in signers {
            super::demand_say(roots, signer.as_ref(), ROLE)?;
            self.bytes = keys::add_signature(DOCUMENT, &self.bytes, signer.as_ref())?;
        }
        self.approval = roots.progress(&Envelope::parse(DOCUMENT, &self.bytes)?, ROLE)?;
        if self.approval.is_complete() {
            roots.approved_statement(&self.bytes)?;
        }
        durable::write_file(&self.path, &self.bytes, 0o644)?;
        Ok(self)
    }
}
