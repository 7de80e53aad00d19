//! `release.lock`: what every floating name of a release resolved to, so that the same release can be made again.
//!
//! Pretty JSON in one form, so that a review shows what has moved. It holds nothing of the machine that wrote it
//! but the time of issue, which the release needs.

use std::collections::BTreeMap;
use std::path::Path;

use consign_format::canonical::MAX_INTEGER;
use consign_format::error::{Code, Coded, codes};
use consign_format::release::Provenance;
use consign_format::{Descriptor, Digest, Name};
use consign_registry::durable::{self, DurableError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

mod drift;

pub use drift::{Drift, drifts};

/// The name of the file, beside `release.yaml`.
pub const FILE: &str = "release.lock";
/// The value of `schema` in version 1.
pub const SCHEMA: &str = "consign.dev/lock/v1";
/// The longest lock that is read: a release of 100 000 blobs has far less.
const LONGEST: u64 = 64 << 20;

/// A lock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(title = "release.lock")]
pub struct Lock {
    /// Always `consign.dev/lock/v1`.
    pub schema: String,
    /// The product.
    pub product: Name,
    /// The version.
    pub version: String,
    /// What decides which release is newer: the time of issue, or one more than the last where that is higher.
    pub sequence: u64,
    /// When the release was locked: seconds since 1970, UTC. Every time in the bundle is made from it.
    pub issued: u64,
    /// The commit, and how it was found.
    pub source: Provenance,
    /// The tools that rendered, and their versions.
    pub tools: BTreeMap<String, String>,
    /// Packaged charts of the tree and their digests.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub charts: BTreeMap<String, Digest>,
    /// What else `release.yaml` says about the release itself, by field: a change of it is another release, and needs
    /// another sequence. Where things are fetched from is not part of it.
    pub settings: BTreeMap<String, Value>,
    /// Every object as rendered, before pinning: its digest.
    pub objects: BTreeMap<String, Digest>,
    /// Every image.
    pub images: Vec<LockedImage>,
    /// Every file.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<LockedFile>,
}

/// What a reference resolved to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LockedImage {
    /// The reference in full.
    pub reference: String,
    /// As the places write it.
    pub written: Vec<String>,
    /// The digest of the manifest or index.
    pub digest: Digest,
    /// Its media type.
    pub media_type: String,
    /// Its size in bytes.
    pub size: u64,
    /// Of an index: the manifests that travel.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub manifests: Vec<LockedManifest>,
    /// Signatures, attestations, SBOMs that travel.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub referrers: Vec<LockedReferrer>,
    /// `Kind namespace/name /json/pointer`; empty for `images.include`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub found_in: Vec<String>,
}

/// One manifest of an index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LockedManifest {
    /// The platform, such as `linux/amd64`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<String>,
    /// The digest of the manifest.
    pub digest: Digest,
    /// Its media type.
    pub media_type: String,
    /// Its size in bytes.
    pub size: u64,
}

/// One manifest that refers to an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LockedReferrer {
    /// The digest of the manifest.
    pub digest: Digest,
    /// Its media type.
    pub media_type: String,
    /// Its size in bytes.
    pub size: u64,
    /// What it refers to.
    pub subject: Digest,
    /// The tag it is found by, if it has no `subject` of its own (cosign).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// Its artifact type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
}

/// One file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LockedFile {
    /// The absolute path at the site.
    pub to: String,
    /// The digest of the content.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
}

impl LockedManifest {
    /// Takes an entry of an index.
    pub fn of(entry: &Descriptor) -> Self {
        LockedManifest {
            platform: entry.platform.as_ref().map(ToString::to_string),
            digest: entry.digest,
            media_type: entry.media_type.clone(),
            size: entry.size,
        }
    }
}

impl LockedReferrer {
    /// Takes what a source lists as referring to `subject`.
    pub fn of(found: &Descriptor, subject: Digest, tag: Option<&String>) -> Self {
        LockedReferrer {
            digest: found.digest,
            media_type: found.media_type.clone(),
            size: found.size,
            subject,
            tag: tag.cloned(),
            artifact_type: found.artifact_type.clone(),
        }
    }
}

/// Why a lock cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// There is none, and one is demanded.
    #[error("there is no {path}")]
    Missing {
        /// The file.
        path: String,
    },
    /// It cannot be read.
    #[error("{path} cannot be read")]
    Io {
        /// The file.
        path: String,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// It is not a lock of this version.
    #[error("{path} is no lock that this program reads")]
    Form {
        /// The file.
        path: String,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// It is of another schema, or its numbers are out of range.
    #[error("{path} is no lock that this program reads: {reason}")]
    Meaning {
        /// The file.
        path: String,
        /// What is wrong.
        reason: String,
    },
    /// It cannot be written.
    #[error(transparent)]
    Write(#[from] DurableError),
    /// What is there now is not what was locked.
    #[error("the release has drifted from its lock: {}", shown(.0))]
    Drifted(Vec<Drift>),
}

fn shown(drifts: &[Drift]) -> String {
    let few: Vec<_> = drifts.iter().take(5).map(Drift::to_string).collect();
    match drifts.len() - few.len() {
        0 => few.join("; "),
        more => format!("{}; and {more} more", few.join("; ")),
    }
}

impl Coded for LockError {
    fn code(&self) -> Code {
        match self {
            LockError::Missing { .. } => codes::LOCK_MISSING,
            LockError::Io { .. } => codes::IO,
            LockError::Form { .. } | LockError::Meaning { .. } => codes::LOCK_MALFORMED,
            LockError::Write(error) => error.code(),
            LockError::Drifted(_) => codes::LOCK_DRIFTED,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            LockError::Missing { .. } => Some("run `consign lock` and commit the file".to_owned()),
            LockError::Drifted(_) => {
                Some("if the change is meant, run `consign lock --update` and review the lock".to_owned())
            }
            LockError::Form { .. } | LockError::Meaning { .. } => {
                Some("take it from version control again, or make a new one with `consign lock --update`".to_owned())
            }
            LockError::Write(error) => error.hint(),
            LockError::Io { .. } => None,
        }
    }
}

impl Lock {
    /// Reads a lock; nothing where there is none.
    ///
    /// # Errors
    /// [`LockError`]: unreadable, or no lock of this version.
    pub fn read(path: &Path) -> Result<Option<Lock>, LockError> {
        let shown = || path.display().to_string();
        let bytes = match std::fs::metadata(path).and_then(|m| Ok((m.len(), std::fs::read(path)?))) {
            Ok((length, bytes)) if length <= LONGEST => bytes,
            Ok(_) => {
                return Err(LockError::Meaning { path: shown(), reason: format!("longer than {LONGEST} bytes") });
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(LockError::Io { path: shown(), source }),
        };
        let lock: Lock = serde_json::from_slice(&bytes).map_err(|source| LockError::Form { path: shown(), source })?;
        if lock.schema != SCHEMA {
            let reason = format!("its schema is `{}`, this program reads `{SCHEMA}`", lock.schema);
            return Err(LockError::Meaning { path: shown(), reason });
        }
        if lock.sequence > MAX_INTEGER || lock.issued > MAX_INTEGER {
            return Err(LockError::Meaning { path: shown(), reason: "a number is out of range".to_owned() });
        }
        Ok(Some(lock))
    }

    /// The lock's one form: pretty JSON that ends in a newline.
    ///
    /// # Errors
    /// None in practice; what serde_json says.
    pub fn to_text(&self) -> Result<String, serde_json::Error> {
        Ok(serde_json::to_string_pretty(self)? + "\n")
    }

    /// Writes the lock, replacing the one that is there.
    ///
    /// # Errors
    /// [`LockError::Write`].
    pub fn write(&self, path: &Path) -> Result<(), LockError> {
        let form = |source| LockError::Form { path: path.display().to_string(), source };
        Ok(durable::write_file(path, self.to_text().map_err(form)?.as_bytes(), 0o644)?)
    }

    /// Returns the digest of each reference as the manifests write it: what pinning needs.
    pub fn digests(&self) -> BTreeMap<String, Digest> {
        let pairs = self.images.iter().flat_map(|image| image.written.iter().map(|w| (w.clone(), image.digest)));
        pairs.collect()
    }
}

#[cfg(test)]
mod tests;
