//! Why a file is not placed, and what to do about it.

use consign_format::error::{Code, Coded, codes};
use consign_registry::BlobError;
use consign_registry::durable::DurableError;

use crate::allow::NotAllowed;
use crate::services::ServicesError;
use crate::store::StoreError;

/// A file of a release cannot be placed. Unless it says otherwise, nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum FilesError {
    /// A place, a mode or an owner that cannot be meant.
    #[error("the release places a file in a way that cannot be meant: {to}: {reason}")]
    Malformed {
        /// The place.
        to: String,
        /// Why.
        reason: String,
    },
    /// The site does not let it.
    #[error(transparent)]
    NotAllowed(#[from] NotAllowed),
    /// The site cannot give a file to this owner.
    #[error("{to} cannot be given to `{owner}`: {reason}")]
    Owner {
        /// The place.
        to: String,
        /// Whose it should be.
        owner: String,
        /// Why not.
        reason: &'static str,
    },
    /// Files that others put there.
    #[error("files that Consign did not place stand where the release has others: {}", .to.join(", "))]
    Foreign {
        /// The places.
        to: Vec<String>,
    },
    /// Files of ours that are others now.
    #[error("files that Consign placed were changed since: {}", .to.join(", "))]
    Changed {
        /// The places.
        to: Vec<String>,
    },
    /// Another product has the place, or one above or below it.
    #[error("{to} belongs to product {product} of domain {domain} at this site")]
    Claimed {
        /// The place.
        to: String,
        /// Its domain.
        domain: String,
        /// The product that has it.
        product: String,
    },
    /// There is no room.
    #[error("placing files needs {need} in {at}, and {free} are free")]
    NoRoom {
        /// Bytes needed, in words.
        need: String,
        /// Bytes free, in words.
        free: String,
        /// The folder whose file system it is.
        at: String,
    },
    /// The file system refused.
    #[error(transparent)]
    Durable(#[from] DurableError),
    /// The content cannot be had.
    #[error(transparent)]
    Blob(#[from] BlobError),
    /// A service of the release cannot be had.
    #[error(transparent)]
    Services(#[from] ServicesError),
    /// The site's state cannot be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Coded for FilesError {
    fn code(&self) -> Code {
        match self {
            FilesError::Malformed { .. } => codes::RELEASE_MALFORMED,
            FilesError::NotAllowed(error) => error.code(),
            FilesError::Owner { .. } => codes::FILE_OWNER,
            FilesError::Foreign { .. } => codes::FILE_FOREIGN,
            FilesError::Changed { .. } => codes::FILE_CHANGED,
            FilesError::Claimed { .. } => codes::FILE_CLAIMED,
            FilesError::NoRoom { .. } => codes::NO_ROOM,
            FilesError::Durable(error) => error.code(),
            FilesError::Blob(error) => error.code(),
            FilesError::Services(error) => error.code(),
            FilesError::Store(error) => error.code(),
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            FilesError::Malformed { .. } => "the release was built wrong; ask those who built it",
            FilesError::NotAllowed(error) => return error.hint(),
            FilesError::Owner { .. } => {
                "run as root, and make that user first; or ask for a release that names no owner"
            }
            FilesError::Foreign { .. } => {
                "move them away, or let the site take them over with `adopt = true` under [files] of site.toml"
            }
            FilesError::Changed { .. } => "keep what you need of them elsewhere, move them away, and run again",
            FilesError::Claimed { .. } => "two products cannot have one place; ask those who built them",
            FilesError::NoRoom { .. } => "make room on that disk and run again",
            FilesError::Durable(error) => return error.hint(),
            FilesError::Blob(error) => return error.hint(),
            FilesError::Services(error) => return error.hint(),
            FilesError::Store(error) => return error.hint(),
        };
        Some(hint.to_owned())
    }
}
