//! How a newcomer begins: one key in every role, marked as development, refused where production is meant.

use std::path::Path;

use consign_format::error::{Code, Coded, Failure, codes};
use consign_format::trust::author::development_root;
use consign_format::trust::keys::SecretKey;
use consign_format::{Digest, Name};
use consign_registry::durable::{self, DurableError};
use serde::Serialize;

use crate::sign::{self, DEVELOPMENT_KEY};

/// A root and a key, as they were written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Made {
    /// The root's file.
    pub root: String,
    /// The key's file.
    pub key: String,
    /// The domain.
    pub domain: Name,
    /// The digest of the root's file: what a site enrols by.
    pub fingerprint: Digest,
}

/// Why no root was made.
#[derive(Debug, thiserror::Error)]
pub enum DevelopmentError {
    /// One of the files is there already.
    #[error("{path} is already there")]
    Exists {
        /// The file.
        path: String,
    },
    /// The machine gave no randomness.
    #[error("the machine gives no random bytes: {0}")]
    Random(String),
    /// A key that cannot be written as PEM.
    #[error("the key cannot be written: {0}")]
    Key(String),
}

impl Coded for DevelopmentError {
    fn code(&self) -> Code {
        match self {
            DevelopmentError::Exists { .. } => codes::ALREADY_EXISTS,
            DevelopmentError::Random(_) | DevelopmentError::Key(_) => codes::IO,
        }
    }

    fn hint(&self) -> Option<String> {
        matches!(self, DevelopmentError::Exists { .. }).then(|| {
            "a new root would lock out every site that trusts the old one; `consign keys show` shows it".to_owned()
        })
    }
}

/// Gets the seed of a key from the operating system.
///
/// # Errors
/// [`DevelopmentError::Random`].
pub fn seed() -> Result<[u8; 32], DevelopmentError> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|error| DevelopmentError::Random(error.to_string()))?;
    Ok(seed)
}

/// Makes `1.root.json`, `dev.key` (mode 0600) and a `.gitignore` that keeps the key out of Git.
///
/// # Errors
/// [`DevelopmentError::Exists`] rather than replacing anything, or what the disk says.
pub fn make(folder: &Path, domain: &Name, now: u64, seed: &[u8; 32]) -> Result<Made, Failure> {
    let (root, key) = (folder.join("1.root.json"), folder.join(DEVELOPMENT_KEY));
    for path in [&root, &key] {
        if path.symlink_metadata().is_ok() {
            return Err(DevelopmentError::Exists { path: path.display().to_string() }.into());
        }
    }
    let secret = SecretKey::from_seed(seed);
    let bytes = development_root(domain, &secret, &sign::expires(now)?)?;
    durable::create_dir(folder, 0o755)?;
    // The key before the root: a root without its key would be a dead end.
    let pem = secret.to_pem().map_err(DevelopmentError::Key)?;
    durable::write_new_file(&key, pem.as_bytes(), 0o600)?;
    durable::write_new_file(&root, &bytes, 0o644)?;
    match durable::write_new_file(&folder.join(".gitignore"), b"*.key\n", 0o644) {
        Ok(()) | Err(DurableError::Exists { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    Ok(Made {
        root: root.display().to_string(),
        key: key.display().to_string(),
        domain: domain.clone(),
        fingerprint: Digest::of(&bytes),
    })
}
