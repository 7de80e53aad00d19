//! The images of a release, once its blobs are here: every manifest must be whole before anything refers to it.
//!
//! The builder checked the same; but what nodes will pull is decided by bytes, and those came over a medium. An index
//! may lack platforms (it is sparse), a manifest may lack nothing (hostile table, rows 64 and 65).

use std::collections::BTreeSet;

use consign_format::error::{Code, Coded, codes};
use consign_format::release::ReleaseManifest;
use consign_format::{Descriptor, Digest, Limits, media_type};
use consign_registry::BlobError;
use consign_registry::manifest::{Manifest, ManifestError, Pointers};

use crate::desired::ReadBlob;

mod needed;

pub use needed::{Brought, ImagesAbsent, check_needed};

/// An image that no node could run.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// A manifest cannot be followed.
    #[error("manifest {digest} of {image} cannot be served")]
    Manifest {
        /// The image's reference.
        image: String,
        /// The manifest.
        digest: Digest,
        /// Why.
        source: ManifestError,
    },
    /// A manifest points at something the release does not have, or has with another size.
    #[error("{image} points at {digest} of {size} bytes, which the release does not list so")]
    Unlisted {
        /// The image's reference.
        image: String,
        /// What it points at.
        digest: Digest,
        /// The size it says.
        size: u64,
    },
    /// An index of which no platform is here.
    #[error("index {digest} of {image} lists no manifest that the release carries")]
    Hollow {
        /// The image's reference.
        image: String,
        /// The index.
        digest: Digest,
    },
    /// A blob cannot be read.
    #[error(transparent)]
    Blob(#[from] BlobError),
}

impl Coded for ImageError {
    fn code(&self) -> Code {
        match self {
            ImageError::Manifest { source, .. } if source.is_unsupported() => codes::IMAGE_UNSUPPORTED,
            ImageError::Blob(error) => error.code(),
            _ => codes::IMAGE_MALFORMED,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            ImageError::Blob(error) => error.hint(),
            _ => Some("the release was built wrong; nothing was tagged, and what runs is unchanged".to_owned()),
        }
    }
}

/// Demands that every image of the release, its referrers and its state artifact are whole.
pub fn check_images(release: &ReleaseManifest, read: &ReadBlob<'_>) -> Result<(), ImageError> {
    let mut check = Check { release, read, seen: BTreeSet::new() };
    check.follow("the state artifact", &release.state)?;
    for image in &release.images {
        check.follow(&image.reference, &image.digest)?;
        for referrer in &image.referrers {
            check.follow(&image.reference, &referrer.digest)?;
        }
    }
    Ok(())
}

struct Check<'a> {
    release: &'a ReleaseManifest,
    read: &'a ReadBlob<'a>,
    seen: BTreeSet<Digest>,
}

impl Check<'_> {
    fn follow(&mut self, image: &str, top: &Digest) -> Result<(), ImageError> {
        let mut waiting = vec![*top];
        while let Some(digest) = waiting.pop() {
            if !self.seen.insert(digest) {
                continue;
            }
            let bytes = (self.read)(&digest, Limits::DEFAULT.manifest)?;
            let announced = self.release.blob(&digest).map(|blob| blob.media_type.as_str());
            let manifest = Manifest::parse(&bytes, announced).map_err(|source| ImageError::Manifest {
                image: image.to_owned(),
                digest,
                source,
            })?;
            let present = self.check_pointers(image, &manifest)?;
            if present.is_empty() && matches!(&manifest.content, Pointers::Index(all) if !all.is_empty()) {
                return Err(ImageError::Hollow { image: image.to_owned(), digest });
            }
            waiting.extend(present);
        }
        Ok(())
    }

    /// Returns the manifests to follow next.
    fn check_pointers(&self, image: &str, manifest: &Manifest) -> Result<Vec<Digest>, ImageError> {
        let sparse = matches!(manifest.content, Pointers::Index(_));
        let mut next = Vec::new();
        for pointer in manifest.pointers() {
            match self.listed(pointer) {
                Some(true) if media_type::is_manifest(&pointer.media_type) => next.push(pointer.digest),
                Some(true) => {}
                None if sparse => {}
                Some(false) | None => {
                    let (image, digest, size) = (image.to_owned(), pointer.digest, pointer.size);
                    return Err(ImageError::Unlisted { image, digest, size });
                }
            }
        }
        Ok(next)
    }

    /// Whether the release lists a blob with this size; `None` where it does not list it at all.
    fn listed(&self, pointer: &Descriptor) -> Option<bool> {
        self.release.blob(&pointer.digest).map(|blob| blob.size == pointer.size)
    }
}
