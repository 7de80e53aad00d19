//! From locked digests to every blob behind them: manifests are read and kept, layers are only named.
//!
//! Memory is that of the manifests. Nothing is stored on disk; layers are fetched once, by the packing stage.

use std::collections::BTreeMap;

use consign_format::release::Role;
use consign_format::{Descriptor, Digest, Reference, media_type};
use consign_registry::manifest::{Manifest, Pointers};
use consign_registry::{ImageSource, SourceError};
use consign_terminal::progress::{Amount, Progress};
use futures_util::{StreamExt, TryStreamExt, stream};

use crate::lock::LockedImage;
use crate::resolve::ResolveError;

/// How many images are looked through at once.
const AT_ONCE: usize = 8;

/// Everything that the images of a release are made of.
#[derive(Debug, Default)]
pub struct Collected {
    /// Every blob, each once.
    pub blobs: BTreeMap<Digest, ImageBlob>,
}

/// One blob of an image.
#[derive(Debug, Clone)]
pub struct ImageBlob {
    /// Media type, digest and size.
    pub descriptor: Descriptor,
    /// What it is for.
    pub role: Role,
    /// An image that has it, where it is fetched.
    pub reference: Reference,
    /// The bytes, of manifests and indexes.
    pub bytes: Option<Vec<u8>>,
}

/// Reads the manifests of all images and names every blob behind them.
///
/// # Errors
/// [`ResolveError`] of the first image that fails, in the order of the lock.
pub async fn collect(
    images: &[LockedImage],
    source: &dyn ImageSource,
    progress: &dyn Progress,
) -> Result<Collected, ResolveError> {
    progress.phase("reading manifests", Amount::Items(images.len() as u64));
    let parts = stream::iter(images.iter().map(|image| async move {
        let part = collect_one(image, source).await;
        progress.advance(1);
        part
    }));
    let parts: Vec<Vec<ImageBlob>> = parts.buffered(AT_ONCE).try_collect().await?;
    progress.done();
    let mut collected = Collected::default();
    for blob in parts.into_iter().flatten() {
        // Blobs that several images share: the first in the order of the lock counts, a manifest over a plain blob.
        let known = collected.blobs.get(&blob.descriptor.digest);
        if known.is_none_or(|known| known.bytes.is_none() && blob.bytes.is_some()) {
            collected.blobs.insert(blob.descriptor.digest, blob);
        }
    }
    Ok(collected)
}

async fn collect_one(image: &LockedImage, source: &dyn ImageSource) -> Result<Vec<ImageBlob>, ResolveError> {
    // The lock's own reader has no need for references; one that is none names nothing anywhere.
    let reference: Reference =
        image.reference.parse().map_err(|error: consign_format::reference::ReferenceError| {
            let source = SourceError::Malformed {
                wanted: image.reference.clone(),
                place: crate::lock::FILE.to_owned(),
                source: error.to_string().into(),
            };
            unresolved(image, source)
        })?;
    let top = Descriptor::new(&image.media_type, image.digest, image.size);
    let mut documents = vec![top];
    documents.extend(image.manifests.iter().map(|m| Descriptor::new(&m.media_type, m.digest, m.size)));
    documents.extend(image.referrers.iter().map(|r| Descriptor::new(&r.media_type, r.digest, r.size)));
    let mut blobs = Vec::new();
    for document in documents {
        let bytes = source.manifest(&reference, &document.digest).await.map_err(|e| unresolved(image, e))?;
        let announced = Some(document.media_type.as_str());
        let manifest = Manifest::parse(&bytes, announced).map_err(|source| ResolveError::Manifest {
            reference: image.reference.clone(),
            found_in: image.found_in.clone(),
            source,
        })?;
        blobs.extend(behind(&manifest, &reference));
        let role = if media_type::is_index(&manifest.media_type) { Role::Index } else { Role::Manifest };
        let descriptor = Descriptor::new(manifest.media_type, document.digest, bytes.len() as u64);
        blobs.push(ImageBlob { descriptor, role, reference: reference.clone(), bytes: Some(bytes) });
    }
    Ok(blobs)
}

/// The configuration and layers of a manifest. An index names manifests only, and which of them travel is locked.
fn behind(manifest: &Manifest, reference: &Reference) -> Vec<ImageBlob> {
    let Pointers::Image { config, layers } = &manifest.content else { return Vec::new() };
    let blob = |descriptor: &Descriptor, role| ImageBlob {
        descriptor: Descriptor::new(&descriptor.media_type, descriptor.digest, descriptor.size),
        role,
        reference: reference.clone(),
        bytes: None,
    };
    let layers = layers.iter().map(|layer| blob(layer, Role::Layer));
    std::iter::once(blob(config, Role::Config)).chain(layers).collect()
}

fn unresolved(image: &LockedImage, source: SourceError) -> ResolveError {
    let reference = image.written.first().unwrap_or(&image.reference).clone();
    ResolveError::Unresolved { reference, found_in: image.found_in.clone(), source }
}
