//! `--identity`: the key with which a command reads an encrypted bundle.

use std::path::{Path, PathBuf};

use consign_format::error::{Failure, codes};
use consign_sealed::SiteKey;

use super::IoError;

/// The key of a recipient.
#[derive(Debug, clap::Args)]
pub(super) struct IdentityArgs {
    /// For an encrypted bundle: the age key of one of its recipients, a file as `age-keygen` writes it
    #[arg(long, env = "CONSIGN_IDENTITY_FILE", value_name = "FILE")]
    identity: Option<PathBuf>,
}

impl IdentityArgs {
    /// The key, if one was named.
    pub(super) fn key(&self) -> Result<Option<SiteKey>, Failure> {
        self.identity.as_deref().map(read).transpose()
    }
}

/// An age key.
pub(super) fn read(path: &Path) -> Result<SiteKey, Failure> {
    let failed = |source| IoError::new(codes::IO, format!("{} cannot be read", path.display()), source);
    Ok(SiteKey::from_text(&std::fs::read_to_string(path).map_err(failed)?)?)
}
