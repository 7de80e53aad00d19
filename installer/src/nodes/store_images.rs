//! What the releases of this site's store name: the hosts that nodes ask for, and the image that a canary pull takes.

use std::collections::BTreeSet;

use consign_format::reference::DOCKER_HUB;
use consign_format::release::ReleaseManifest;
use consign_format::{Digest, Limits, Reference, state};
use consign_registry::BlobFolder;
use consign_registry::manifest::Manifest;

use super::NodesError;
use crate::store::Store;

/// The upstream hosts of every release that is current, previous or staged, and `docker.io`, which short names mean.
pub fn hosts(store: &Store) -> Result<BTreeSet<String>, NodesError> {
    let mut hosts = BTreeSet::from([DOCKER_HUB.to_owned()]);
    for product in store.products()? {
        for release in product.held() {
            hosts.extend(store.read_names(&release.digest)?.into_iter().map(|named| named.host));
        }
    }
    hosts.remove(state::HOST);
    Ok(hosts)
}

/// An image of a current release, with its tag and its digest: the smallest, for a canary is pulled to be looked at.
pub fn canary(store: &Store) -> Result<Option<Reference>, NodesError> {
    let mut smallest: Option<(u64, Reference)> = None;
    for product in store.products()? {
        let Some(current) = &product.current else { continue };
        let release = store.read_release(&current.release.digest)?;
        for image in &release.images {
            let Ok(reference) = image.reference.parse::<Reference>() else { continue };
            let reference = reference.with_digest(image.digest);
            let size = size(&store.blobs()?, &release, &image.digest);
            let better = smallest.as_ref().is_none_or(|(least, _)| size < *least);
            if reference.tag.is_some() && better {
                smallest = Some((size, reference));
            }
        }
    }
    Ok(smallest.map(|(_, reference)| reference))
}

/// How much a pull of an image moves, at most: everything that its manifests point at and the release lists.
fn size(blobs: &BlobFolder, release: &ReleaseManifest, top: &Digest) -> u64 {
    let (mut waiting, mut seen, mut sum) = (vec![*top], BTreeSet::new(), 0);
    while let Some(digest) = waiting.pop() {
        if !seen.insert(digest) {
            continue;
        }
        let Ok(bytes) = blobs.read(&digest, Limits::DEFAULT.manifest) else { continue };
        let Ok(manifest) = Manifest::parse(&bytes, None) else { continue };
        for pointer in manifest.pointers() {
            let listed = release.blob(&pointer.digest).is_some();
            sum += if listed { pointer.size } else { 0 };
            if listed && consign_format::media_type::is_manifest(&pointer.media_type) {
                waiting.push(pointer.digest);
            }
        }
    }
    sum
}
