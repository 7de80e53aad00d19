//! What a product has placed among the files of this machine, so that what is ours is told from what is others'.
//!
//! Written before the first file is touched, with what is and what is to come, and again when all is done: after a
//! power cut in between, each place holds the one or the other, and both are known.

use std::collections::{BTreeMap, BTreeSet};

use consign_format::{Digest, Name};
use consign_registry::durable::create_dir;
use serde::{Deserialize, Serialize};

use super::products::names_in;
use super::{Store, StoreError, state_file};

/// What lies, or is to lie, at one place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Content {
    /// The digest of the bytes.
    pub digest: Digest,
    /// How many they are.
    pub size: u64,
    /// The permission bits.
    pub mode: u32,
    /// The user it belongs to.
    pub user: u32,
    /// The group it belongs to.
    pub group: u32,
}

/// One place that is ours.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Place {
    /// What may lie here by our doing: one content when all is done, more while it is being changed.
    pub known: Vec<Content>,
    /// Another's file that lay here before ours and comes back when ours goes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Content>,
    /// A change was begun and has not ended.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unsettled: bool,
}

/// All that one product has placed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Placed {
    /// The domain; a copy of another domain's file is noticed.
    pub domain: Name,
    /// The product.
    pub product: Name,
    /// Its places, by path.
    #[serde(default)]
    pub places: BTreeMap<String, Place>,
    /// Folders that were made for them.
    #[serde(default)]
    pub folders: BTreeSet<String>,
}

impl Placed {
    /// A product that has placed nothing.
    pub fn new(domain: Name, product: Name) -> Self {
        Placed { domain, product, places: BTreeMap::new(), folders: BTreeSet::new() }
    }
}

impl Store {
    fn placed_folder(&self) -> std::path::PathBuf {
        self.dir().join("files/placed")
    }

    /// The folder with the blobs of others' files that ours lie in the place of.
    pub(crate) fn before_dir(&self) -> std::path::PathBuf {
        self.dir().join("files/before")
    }

    /// Reads what a product has placed; nothing, where it never placed anything.
    pub fn read_placed(&self, domain: &Name, product: &Name) -> Result<Placed, StoreError> {
        let path = self.placed_folder().join(domain.as_str()).join(product.as_str());
        let Some(placed) = state_file::read::<Placed>(&path)? else {
            return Ok(Placed::new(domain.clone(), product.clone()));
        };
        if placed.domain != *domain || placed.product != *product {
            return Err(StoreError::damaged(path, "it speaks of another product"));
        }
        Ok(placed)
    }

    /// Replaces the record of what a product has placed.
    pub(crate) fn write_placed(&self, placed: &Placed) -> Result<(), StoreError> {
        let folder = self.placed_folder().join(placed.domain.as_str());
        create_dir(&folder, 0o755)?;
        state_file::write(&folder.join(placed.product.as_str()), placed, 0o644)
    }

    /// What all products of all domains have placed.
    pub fn all_placed(&self) -> Result<Vec<Placed>, StoreError> {
        let mut all = Vec::new();
        for domain in names_in(&self.placed_folder())? {
            for product in names_in(&self.placed_folder().join(domain.as_str()))? {
                all.push(self.read_placed(&domain, &product)?);
            }
        }
        Ok(all)
    }
}
