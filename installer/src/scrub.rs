//! `store check`: reads every blob again. Disks forget; what a node would pull months from now is known today.
//!
//! A blob whose bytes are others is set aside, so that the registry refuses it and the next bundle that carries it brings
//! it back. Nothing is repaired in silence: everything found is named.

use std::collections::BTreeMap;

use consign_format::error::{Code, Coded, codes};
use consign_format::{Digest, Name};
use consign_registry::BlobError;
use consign_terminal::{Amount, Progress};
use serde::Serialize;

use crate::store::{Store, StoreError, lock};

/// What a check has found.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub struct Found {
    /// Blobs that were read and are what their names say.
    pub sound: usize,
    /// Their bytes.
    pub bytes: u64,
    /// Blobs that are something else, or cannot be read.
    pub rotten: Vec<Lost>,
    /// Blobs that a release needs and that are not there.
    pub missing: Vec<Lost>,
    /// Whether the rotten ones were set aside.
    pub set_aside: bool,
}

/// A blob that is lost, and who needs it.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Lost {
    /// The blob.
    pub digest: Digest,
    /// Products and versions; nobody, if it is empty.
    pub needed_by: Vec<String>,
}

/// Blobs are lost.
#[derive(Debug, thiserror::Error)]
#[error("{rotten} blobs rotted on the disk and {missing} are not there")]
pub struct Rotten {
    /// How many are something else.
    pub rotten: usize,
    /// How many are gone.
    pub missing: usize,
    /// Products that miss some.
    pub products: Vec<String>,
}

impl Coded for Rotten {
    fn code(&self) -> Code {
        codes::STORE_ROTTEN
    }

    fn hint(&self) -> Option<String> {
        Some(match self.products.as_slice() {
            [] => "no release needs them: consign-site gc takes them away; look at the disk".to_owned(),
            products => format!(
                "install a bundle that carries them once more, such as that of {}; look at the disk",
                products.join(", ")
            ),
        })
    }
}

impl Found {
    /// Says so if anything is lost.
    ///
    /// # Errors
    /// [`Rotten`].
    pub fn verdict(&self) -> Result<(), Rotten> {
        if self.rotten.is_empty() && self.missing.is_empty() {
            return Ok(());
        }
        let mut products: Vec<String> =
            self.rotten.iter().chain(&self.missing).flat_map(|lost| lost.needed_by.clone()).collect();
        products.sort();
        products.dedup();
        Err(Rotten { rotten: self.rotten.len(), missing: self.missing.len(), products })
    }
}

/// Reads everything. With `set_aside` rotten blobs are taken out of the way, under the store's lock and after they were
/// read once more.
pub fn check(store: &Store, set_aside: bool, progress: &dyn Progress) -> Result<Found, StoreError> {
    let needed = needed(store)?;
    let blobs = store.blobs()?;
    let mut listed = blobs.list()?.blobs;
    listed.sort();
    let mut found = Found::default();
    progress.phase("check the store", Amount::Items(listed.len() as u64));
    let lost = |digest: &Digest| Lost { digest: *digest, needed_by: needed.get(digest).cloned().unwrap_or_default() };
    for digest in &listed {
        match blobs.rehash(digest) {
            Ok(size) => {
                found.sound += 1;
                found.bytes += size;
            }
            // Collected meanwhile.
            Err(BlobError::Missing { .. }) => {}
            Err(_) => found.rotten.push(lost(digest)),
        }
        progress.advance(1);
    }
    progress.done();
    found.missing = needed.keys().filter(|digest| listed.binary_search(digest).is_err()).map(lost).collect();
    if set_aside && !found.rotten.is_empty() {
        let _lock = lock::take(store)?;
        for rotten in &found.rotten {
            if blobs.rehash(&rotten.digest).is_err() {
                blobs.set_aside(&rotten.digest)?;
            }
        }
        blobs.sync()?;
        found.set_aside = true;
    }
    Ok(found)
}

/// Every blob that a release held refers to, and the releases that do.
fn needed(store: &Store) -> Result<BTreeMap<Digest, Vec<String>>, StoreError> {
    let mut needed: BTreeMap<Digest, Vec<String>> = BTreeMap::new();
    for product in store.products()? {
        for release in product.held() {
            let name = named(&product.product, &release.version);
            for blob in store.read_release(&release.digest)?.blobs {
                needed.entry(blob.digest).or_default().push(name.clone());
            }
        }
    }
    Ok(needed)
}

fn named(product: &Name, version: &str) -> String {
    format!("{product} {version}")
}
