//! Statements and bundles of metadata alone: what headquarters tells sites beside releases.

use std::fs;
use std::path::{Path, PathBuf};

use consign_format::archive::plan::metadata_bundle;
use consign_format::error::Failure;
use consign_format::trust::chain::Vouched;
use consign_format::trust::roots::RootChain;
use consign_format::trust::statement::{DowngradeGrant, Statement};
use consign_format::{Digest, Name};
use consign_registry::durable;

use crate::pack::PackError;
use crate::sign::{KeyError, rfc3339};

/// A bundle of metadata alone, as it was written.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Carried {
    /// The file.
    pub path: PathBuf,
    /// The domain.
    pub domain: Name,
    /// The version of the newest root.
    pub root: u64,
    /// How many statements.
    pub statements: usize,
    /// Bytes.
    pub bytes: u64,
}

/// Writes a bundle of all roots and the given statements, each of which the newest root must accept.
///
/// # Errors
/// What a site would say of a statement, or what the disk says.
pub fn carry(chain: &RootChain, files: &[PathBuf], output: &Path) -> Result<Carried, Failure> {
    let mut statements = Vec::new();
    for path in files {
        let bytes = fs::read(path).map_err(|source| KeyError::Io { path: path.clone(), source })?;
        chain.approved_statement(&bytes)?;
        statements.push(bytes);
    }
    let bundle = metadata_bundle(chain.files(), &statements).map_err(PackError::from)?;
    durable::write_file(output, &bundle, 0o644)?;
    Ok(Carried {
        path: output.to_owned(),
        domain: chain.domain().clone(),
        root: chain.root().version,
        statements: statements.len(),
        bytes: bundle.len() as u64,
    })
}

/// Who may go back, from where, until when.
#[derive(Debug, Clone)]
pub struct Leave {
    /// The site.
    pub site: Name,
    /// The sequence that is installed there.
    pub from: u64,
    /// Until when: seconds since 1970.
    pub until: u64,
}

/// Writes down the leave to go back to a release.
///
/// # Errors
/// [`KeyError::Time`] for a time that is none.
pub fn grant(domain: &Name, to: &Vouched, leave: &Leave) -> Result<DowngradeGrant, KeyError> {
    Ok(DowngradeGrant {
        kind: DowngradeGrant::TYPE.to_owned(),
        domain: domain.clone(),
        site: leave.site.clone(),
        product: to.approval.product.clone(),
        from: leave.from,
        to: to.approval.sequence,
        release: to.release_digest,
        expires: rfc3339(leave.until)?,
    })
}

/// The name a statement's file gets where none is given.
pub fn file_name(kind: &str, bytes: &[u8]) -> String {
    let digest = Digest::of(bytes).hex();
    format!("{kind}-{}.json", digest.get(..12).unwrap_or(&digest))
}
