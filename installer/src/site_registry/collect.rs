//! Taking tags away from a registry: those by which this site kept releases that no product holds any more.
//!
//! Only tags are removed, never blobs or manifests: what else needs them is for the registry to know, and its own
//! garbage collection takes what no tag keeps.

use std::collections::BTreeSet;

use consign_format::Digest;
use consign_registry::push::Removed;
use serde::Serialize;

use super::places::place;
use super::pushed::{self, PushedTag};
use super::{SiteRegistry, SiteRegistryError};
use crate::store::Store;

/// What a collection came to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Collected {
    /// Releases of which no tag is left.
    pub releases: u64,
    /// Tags that were removed, or had gone already.
    pub removed: u64,
    /// Tags that stand for something else by now, or that a release which is held needs; they stay.
    pub kept: u64,
    /// The registry removes no tags: nothing was removed.
    pub not_allowed: bool,
    /// Registries that were used before, and may still have tags of this site.
    pub elsewhere: BTreeSet<String>,
}

/// What the site still needs in the registry.
struct Needed {
    tags: BTreeSet<(String, String)>,
    manifests: BTreeSet<(String, Digest)>,
}

/// Removes the tags of releases that no product holds. To be called with the lock of the store held, and before or
/// after their files are removed from the store, which makes no difference.
pub async fn collect(registry: &SiteRegistry<'_>, store: &Store) -> Result<Collected, SiteRegistryError> {
    let mut collected = Collected::default();
    let (held, needed) = needed(registry, store)?;
    for release in pushed::releases(store)? {
        if held.contains(&release) {
            continue;
        }
        let pushed = pushed::read(store, &release)?;
        let here = registry.address().to_string();
        collected.elsewhere.extend(pushed.registries.keys().filter(|url| **url != here).cloned());
        for tag in pushed.at(registry.address()) {
            match remove(registry, tag, &needed).await? {
                Some(Removed::Gone) => collected.removed += 1,
                Some(Removed::Other) | None => collected.kept += 1,
                Some(Removed::NotAllowed) => {
                    collected.not_allowed = true;
                    return Ok(collected);
                }
            }
        }
        if pushed.registries.contains_key(&here) {
            pushed::forget(store, &release, registry.address())?;
            collected.releases += 1;
        }
    }
    Ok(collected)
}

/// Removes one tag, unless it is needed (`None`).
async fn remove(
    registry: &SiteRegistry<'_>,
    tag: &PushedTag,
    needed: &Needed,
) -> Result<Option<Removed>, SiteRegistryError> {
    if needed.tags.contains(&(tag.repository.clone(), tag.tag.clone())) {
        return Ok(None);
    }
    let removed = registry.target.remove_tag(&tag.repository, &tag.tag, &tag.digest).await?;
    // There are registries that take "remove this tag" for "remove what it stands for".
    let is_needed = needed.manifests.contains(&(tag.repository.clone(), tag.digest));
    if removed == Removed::Gone
        && is_needed
        && registry.target.resolve(&tag.repository, &tag.digest.to_string()).await?.is_none()
    {
        let repository = tag.repository.clone();
        return Err(SiteRegistryError::RemovedTooMuch { repository, digest: tag.digest });
    }
    Ok(Some(removed))
}

fn needed(registry: &SiteRegistry<'_>, store: &Store) -> Result<(BTreeSet<Digest>, Needed), SiteRegistryError> {
    let (mut held, mut needed) = (BTreeSet::new(), Needed { tags: BTreeSet::new(), manifests: BTreeSet::new() });
    for product in store.products()? {
        for release in product.held() {
            held.insert(release.digest);
            for named in store.read_names(&release.digest)? {
                let repository = place(registry.address(), &named.host, &named.repository)?;
                needed.manifests.insert((repository.clone(), named.digest));
                needed.tags.extend(named.tag.map(|tag| (repository, tag)));
            }
        }
    }
    Ok((held, needed))
}
