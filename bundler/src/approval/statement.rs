//! Statements that approvers sign: site records and downgrade grants, each a small file that vouches for itself.

use std::fs;
use std::path::{Path, PathBuf};

use consign_format::error::Failure;
use consign_format::trust::envelope::Envelope;
use consign_format::trust::keys::{self, Progress, Signer};
use consign_format::trust::roots::RootChain;
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
}

/// Shows a statement, and signs it where there are signers.
///
/// # Errors
/// What a site would say of it, a signer's, or what the disk says.
pub fn approve(path: &Path, roots: &RootChain, signers: &[Box<dyn Signer + '_>]) -> Result<Stated, Failure> {
    let mut bytes = fs::read(path).map_err(|source| KeyError::Io { path: path.to_owned(), source })?;
    let form = |reason: String| ApprovalError::Form { path: path.to_owned(), reason };
    let statement: Value = {
        let envelope = Envelope::parse(DOCUMENT, &bytes)?;
        serde_json::from_slice(envelope.signed()).map_err(|e| form(e.to_string()))?
    };
    // Roots and targets have their own ways to be signed, with more to be looked at.
    let kind = statement.get("_type").and_then(Value::as_str).unwrap_or_default();
    if !matches!(kind, "site-record" | "downgrade-grant") {
        return Err(form(format!("`{kind}` is not signed by approvers on its own")).into());
    }
    if statement.get("domain").and_then(Value::as_str) != Some(roots.domain().as_str()) {
        return Err(form(format!("it is of another domain than `{}`", roots.domain())).into());
    }
    for signer in signers {
        super::demand_say(roots, signer.as_ref(), ROLE)?;
        bytes = keys::add_signature(DOCUMENT, &bytes, signer.as_ref())?;
    }
    let approval = roots.progress(&Envelope::parse(DOCUMENT, &bytes)?, ROLE)?;
    if approval.is_complete() {
        // Its fields too are those of its kind.
        roots.approved_statement(&bytes)?;
    }
    if !signers.is_empty() {
        durable::write_file(path, &bytes, 0o644)?;
    }
    Ok(Stated { path: path.to_owned(), statement, approval })
}
