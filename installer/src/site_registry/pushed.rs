//! What this site has tagged in which registry: one small file per release, written before the first byte goes there.
//!
//! So a tag is known even if the push was cut off, and is found again after the release is gone from the store, or
//! the registry was changed for another.

use std::collections::{BTreeMap, BTreeSet};

use consign_format::Digest;
use consign_registry::durable::{Folder, create_dir};
use consign_registry::push::Address;
use serde::{Deserialize, Serialize};

use crate::store::{Store, StoreError, state_file};

/// A tag that this site puts into a registry.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct PushedTag {
    /// The repository, in full.
    pub(super) repository: String,
    /// The tag.
    pub(super) tag: String,
    /// What it stands for.
    pub(super) digest: Digest,
}

/// The tags of one release, by registry.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Pushed {
    /// URL of the registry, and the tags there.
    pub(super) registries: BTreeMap<String, BTreeSet<PushedTag>>,
}

impl Pushed {
    /// The tags in one registry.
    pub(super) fn at(&self, address: &Address) -> impl Iterator<Item = &PushedTag> {
        self.registries.get(&address.to_string()).into_iter().flatten()
    }
}

/// Reads what was tagged for a release; nothing, if nothing was pushed of it.
pub(super) fn read(store: &Store, release: &Digest) -> Result<Pushed, StoreError> {
    Ok(state_file::read(&store.pushed_dir().join(release.hex()))?.unwrap_or_default())
}

/// Notes tags of a release, beside those that are noted.
pub(super) fn note(
    store: &Store,
    release: &Digest,
    address: &Address,
    tags: impl Iterator<Item = PushedTag>,
) -> Result<(), StoreError> {
    let before = read(store, release)?;
    let mut after = before.clone();
    after.registries.entry(address.to_string()).or_default().extend(tags);
    if after == before { Ok(()) } else { write(store, release, &after) }
}

/// Forgets the tags of a release in one registry.
pub(super) fn forget(store: &Store, release: &Digest, address: &Address) -> Result<(), StoreError> {
    let mut pushed = read(store, release)?;
    pushed.registries.remove(&address.to_string());
    if !pushed.registries.is_empty() {
        return write(store, release, &pushed);
    }
    let folder = Folder::open(&store.pushed_dir())?;
    folder.remove_file(release.hex().as_ref())?;
    Ok(folder.sync()?)
}

/// Every release of which something was pushed.
pub(super) fn releases(store: &Store) -> Result<Vec<Digest>, StoreError> {
    use consign_registry::durable::{DurableError, Step};
    let folder = store.pushed_dir();
    let unreadable = |source| DurableError::io(Step::Read, &folder, source);
    let entries = match std::fs::read_dir(&folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(unreadable)?,
    };
    let mut releases = Vec::new();
    for entry in entries {
        let name = entry.map_err(unreadable)?.file_name();
        // What is no digest is a draft that a power cut left.
        releases.extend(name.to_str().and_then(|name| format!("sha256:{name}").parse::<Digest>().ok()));
    }
    releases.sort();
    Ok(releases)
}

fn write(store: &Store, release: &Digest, pushed: &Pushed) -> Result<(), StoreError> {
    create_dir(&store.pushed_dir(), 0o755)?;
    state_file::write(&store.pushed_dir().join(release.hex()), pushed, 0o644)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_noted_by_registry_and_forgotten_by_registry() {
        let root = tempfile::tempdir().unwrap();
        let store = Store::at(root.path());
        store.create().unwrap();
        let (one, other) = ("https://one.site", "https://other.site/x");
        let [one, other] = [one, other].map(|url| Address::parse(url, false).unwrap());
        let release = Digest::of(b"r");
        let tag = |tag: &str| PushedTag { repository: "a".to_owned(), tag: tag.to_owned(), digest: release };
        assert_eq!(releases(&store).unwrap(), []);
        note(&store, &release, &one, [tag("1"), tag("2")].into_iter()).unwrap();
        note(&store, &release, &one, [tag("2")].into_iter()).unwrap();
        note(&store, &release, &other, [tag("3")].into_iter()).unwrap();
        assert_eq!(releases(&store).unwrap(), [release]);
        let pushed = read(&store, &release).unwrap();
        assert_eq!((pushed.at(&one).count(), pushed.at(&other).count()), (2, 1));
        forget(&store, &release, &one).unwrap();
        assert_eq!(read(&store, &release).unwrap().at(&one).count(), 0);
        forget(&store, &release, &other).unwrap();
        assert_eq!(releases(&store).unwrap(), []);
    }
}
