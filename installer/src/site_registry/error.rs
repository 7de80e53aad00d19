//! What can go wrong between the store and a registry that the site already has.

use consign_format::Name;
use consign_format::error::{Code, Coded, codes};
use consign_registry::BlobError;
use consign_registry::push::PushError;

use crate::store::StoreError;

/// The registry does not have, or cannot get, what the store holds.
#[derive(Debug, thiserror::Error)]
pub enum SiteRegistryError {
    /// The registry.
    #[error(transparent)]
    Push(#[from] PushError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A blob of the store.
    #[error(transparent)]
    Blob(#[from] BlobError),
    /// An image has a name that no repository of the registry can have.
    #[error("{name} would have to lie in {place}, and no repository can be called so")]
    Unplaceable {
        /// The image.
        name: String,
        /// Where it would lie.
        place: String,
    },
    /// There would be no way back.
    #[error(
        "{product} {version}, which a rollback would go back to, is not whole in the registry: {missing} of it are \
         missing, such as {first}"
    )]
    PreviousIncomplete {
        /// The product.
        product: Name,
        /// The version to go back to.
        version: String,
        /// How many manifests and blobs.
        missing: usize,
        /// One of them.
        first: String,
    },
    /// It removed more than it was asked to.
    #[error("asked to remove a tag of {repository}, the registry removed {digest} itself, which this site still holds")]
    RemovedTooMuch {
        /// The repository.
        repository: String,
        /// What is gone.
        digest: consign_format::Digest,
    },
}

impl Coded for SiteRegistryError {
    fn code(&self) -> Code {
        match self {
            SiteRegistryError::Push(error) => error.code(),
            SiteRegistryError::Store(error) => error.code(),
            SiteRegistryError::Blob(error) => error.code(),
            SiteRegistryError::Unplaceable { .. } => codes::REGISTRY_OPTIONS,
            SiteRegistryError::PreviousIncomplete { .. } => codes::PREVIOUS_INCOMPLETE,
            SiteRegistryError::RemovedTooMuch { .. } => codes::REGISTRY_CHANGED_CONTENT,
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            SiteRegistryError::Push(error) => return error.hint(),
            SiteRegistryError::Store(error) => return error.hint(),
            SiteRegistryError::Blob(error) => return error.hint(),
            SiteRegistryError::Unplaceable { .. } => {
                "a repository has at most 255 characters: choose a shorter path for the URL of the registry"
            }
            SiteRegistryError::PreviousIncomplete { .. } => {
                "run install again with the same bundle: staging pushes what is missing, from the store"
            }
            SiteRegistryError::RemovedTooMuch { .. } => {
                "nothing more was removed; run install again with the bundle of that release, which pushes it again"
            }
        };
        Some(hint.to_owned())
    }
}
