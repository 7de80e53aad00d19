//! Why a push ends, in words that say which registry and which content.

use std::fmt;

use consign_format::Digest;
use consign_format::error::{Code, Coded, codes};

use crate::BlobError;
use crate::manifest::ManifestError;

/// What a registry answered, as far as it is worth repeating.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// The status.
    pub status: u16,
    /// The codes of the specification, such as `MANIFEST_BLOB_UNKNOWN`.
    pub codes: Vec<String>,
    /// The first message.
    pub message: String,
}

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HTTP {}", self.status)?;
        if !self.codes.is_empty() {
            write!(f, " {}", self.codes.join(", "))?;
        }
        if self.message.is_empty() { Ok(()) } else { write!(f, ": {}", self.message) }
    }
}

/// A push that did not come to its end. Every variant names the registry and what was to be done there.
#[derive(Debug, thiserror::Error)]
pub enum PushError {
    /// No answer, or none but failures, after several tries.
    #[error("cannot {what} at {place} ({tries} tries)")]
    Unreachable {
        /// What was to be done.
        what: String,
        /// The host.
        place: String,
        /// How often.
        tries: u32,
        /// The last failure.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The certificate of the registry is not one that this machine trusts.
    #[error("cannot {what} at {place}: its certificate is not trusted here")]
    Untrusted {
        /// What was to be done.
        what: String,
        /// The host.
        place: String,
        /// What TLS said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The registry wants credentials, or others.
    #[error("{place} does not let us {what}{}: {said}", if *.had_login { " with the login for it" } else { " without a login" })]
    Unauthorized {
        /// What was to be done.
        what: String,
        /// The host.
        place: String,
        /// Whether there was a login.
        had_login: bool,
        /// What it said.
        said: Said,
    },
    /// The registry does not take it.
    #[error("{place} refused to {what}: {said}")]
    Refused {
        /// What was to be done.
        what: String,
        /// The host.
        place: String,
        /// What it said.
        said: Said,
    },
    /// The registry takes no index of which not every manifest is there.
    #[error("{place} takes no index of which some platforms are missing, and the release has such ones: {said}")]
    Sparse {
        /// The host.
        place: String,
        /// What it said.
        said: Said,
    },
    /// What the registry has is not what was pushed.
    #[error("{place} has something else than was pushed as {what}: {reason}")]
    Changed {
        /// The content.
        what: String,
        /// The host.
        place: String,
        /// How it differs.
        reason: String,
    },
    /// An answer that the distribution specification does not allow.
    #[error("{place} answered in a way no registry may, asked to {what}: {reason}")]
    Protocol {
        /// What was to be done.
        what: String,
        /// The host.
        place: String,
        /// What was wrong with the answer.
        reason: String,
    },
    /// The login cannot be used.
    #[error("the login for {place} cannot be used")]
    Login {
        /// The host.
        place: String,
        /// Why not.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// What was to be pushed cannot be read here.
    #[error(transparent)]
    Blob(#[from] BlobError),
    /// A manifest that was to be pushed cannot be followed.
    #[error("manifest {digest} of {repository} cannot be pushed")]
    Manifest {
        /// The manifest.
        digest: Digest,
        /// Its repository.
        repository: String,
        /// Why not.
        source: ManifestError,
    },
}

impl Coded for PushError {
    fn code(&self) -> Code {
        match self {
            PushError::Unreachable { .. } | PushError::Untrusted { .. } => codes::REGISTRY_UNREACHABLE,
            PushError::Unauthorized { .. } | PushError::Login { .. } => codes::REGISTRY_UNAUTHORIZED,
            PushError::Refused { .. } => codes::REGISTRY_REFUSED,
            PushError::Sparse { .. } => codes::SPARSE_INDEX_REFUSED,
            PushError::Changed { .. } => codes::REGISTRY_CHANGED_CONTENT,
            PushError::Protocol { .. } => codes::REGISTRY_PROTOCOL,
            PushError::Blob(error) => error.code(),
            PushError::Manifest { source, .. } if source.is_unsupported() => codes::IMAGE_UNSUPPORTED,
            PushError::Manifest { .. } => codes::IMAGE_MALFORMED,
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            PushError::Unreachable { place, .. } => {
                format!("check that {place} answers from here: name, network, proxy; then run again, it goes on")
            }
            PushError::Untrusted { .. } => {
                "name the certificate of the registry's authority in site.toml: [registry] ca = FILE".to_owned()
            }
            PushError::Unauthorized { had_login: false, .. } => {
                "name a login in site.toml: [registry] credentials = FILE (USER:PASSWORD on one line)".to_owned()
            }
            PushError::Unauthorized { place, .. } | PushError::Login { place, .. } => {
                format!("check the login for {place}, and that it may push there")
            }
            PushError::Refused { place, .. } => {
                format!(
                    "what {place} says is for whoever runs it: quota, a project that is missing, read-only; then run again"
                )
            }
            PushError::Sparse { .. } => SPARSE.to_owned(),
            PushError::Changed { .. } => {
                "a proxy in between, or the registry, changes or loses content; nothing was activated".to_owned()
            }
            PushError::Protocol { place, .. } => {
                format!("check that a registry answers at {place}, and not a proxy or a login page")
            }
            PushError::Blob(error) => return error.hint(),
            PushError::Manifest { .. } => return None,
        };
        Some(hint)
    }
}

const SPARSE: &str = "let the registry take them (distribution 3: validation.manifests.indexes.platforms: none), or \
                      build the release with every platform of its images (images.platforms), or serve the embedded \
                      registry ([registry] listen = …)";
