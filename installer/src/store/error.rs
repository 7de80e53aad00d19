//! What can go wrong with the files a site keeps.

use std::path::PathBuf;

use consign_format::error::{Code, Coded, codes};
use consign_registry::BlobError;
use consign_registry::durable::DurableError;

/// The store cannot be read or written, or must not be believed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file system refused.
    #[error(transparent)]
    Durable(#[from] DurableError),
    /// A blob cannot be had or kept.
    #[error(transparent)]
    Blob(#[from] BlobError),
    /// A file of state is damaged, and so nothing it says counts.
    #[error("{} is damaged: {reason}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A file of state that must be there is not.
    #[error("{} is missing, and this site has been in use", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// Another run holds the lock.
    #[error("another run of consign-site works on {}", dir.display())]
    Busy {
        /// The store.
        dir: PathBuf,
    },
    /// There is no room for what every run has to write down.
    #[error("a run needs {what}, for its journal and its receipt")]
    NoReserve {
        /// What it needs, where, and what there is.
        what: String,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// Something this program made itself cannot be written down.
    #[error("cannot write {} down", path.display())]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// What the writer said.
        source: serde_json::Error,
    },
}

impl StoreError {
    pub(crate) fn damaged(path: impl Into<PathBuf>, reason: impl Into<String>) -> Self {
        StoreError::Damaged { path: path.into(), reason: reason.into() }
    }
}

impl Coded for StoreError {
    fn code(&self) -> Code {
        match self {
            StoreError::Durable(error) => error.code(),
            StoreError::Blob(error) => error.code(),
            StoreError::Damaged { .. } | StoreError::Missing { .. } => codes::STATE_DAMAGED,
            StoreError::Busy { .. } => codes::BUSY,
            StoreError::NoReserve { .. } => codes::NO_ROOM,
            StoreError::Unwritable { .. } => codes::IO,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            StoreError::Durable(error) => error.hint(),
            StoreError::Blob(error) => error.hint(),
            StoreError::Damaged { .. } | StoreError::Missing { .. } => Some(
                "run consign-site enrol --recover; what a site remembers is never taken for a fresh start".to_owned(),
            ),
            StoreError::Busy { .. } => Some("wait until it has ended, then run again".to_owned()),
            StoreError::NoReserve { .. } => Some("make room on that disk and run again; nothing was begun".to_owned()),
            StoreError::Unwritable { .. } => None,
        }
    }
}
