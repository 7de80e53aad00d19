//! A change of several files at once: enrolment, a further domain, a recovery.
//!
//! All of it is written into one file first, `trust/pending`; then it is carried out, file by file, and the file goes
//! away. A power cut before that file is there leaves what was; after it, running the command again ends where the first
//! run would have ended. In between the site refuses everything (17), for half of it is old and half of it new.

use std::collections::BTreeMap;

use consign_format::Name;
use consign_registry::durable::{Folder, write_file};
use serde::{Deserialize, Serialize};

use super::{DomainState, Identity, age_key, identity_file, key_file};
use crate::store::products::ProductState;
use crate::store::{Store, StoreError, state_file};

/// What will be.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Pending {
    /// Who the site is.
    pub(super) identity: Identity,
    /// A new secret key, PKCS#8 PEM; without it the one that is there stays.
    pub(super) key: Option<String>,
    /// A new age key; without it the one that is there stays.
    pub(super) age_key: Option<String>,
    /// Files of domains to write.
    pub(super) domains: Vec<DomainState>,
    /// Files of products to write: those whose own file was lost.
    pub(super) products: Vec<ProductState>,
    /// The enrol-requests, by domain.
    pub(super) requests: BTreeMap<Name, String>,
    /// Whether the receipts that are there belong to an enrolment that ends now.
    pub(super) ends_chain: bool,
}

fn file(store: &Store) -> std::path::PathBuf {
    store.trust_dir().join("pending")
}

/// Refuses a site that is half one thing and half another.
pub(super) fn refuse(store: &Store) -> Result<(), StoreError> {
    let path = file(store);
    if path.symlink_metadata().is_err() {
        return Ok(());
    }
    Err(StoreError::damaged(path, "an enrolment or a recovery was cut off; run it again and it is finished"))
}

/// Finishes what was cut off, if there is anything. Tells whether there was.
pub(super) fn finish(store: &Store) -> Result<bool, StoreError> {
    let Some(pending) = state_file::read::<Pending>(&file(store))? else { return Ok(false) };
    pending.carry_out(store)?;
    Ok(true)
}

impl Pending {
    /// Puts the change on the disk, then carries it out.
    pub(super) fn commit(&self, store: &Store) -> Result<(), StoreError> {
        store.create()?;
        state_file::write(&file(store), self, 0o600)?;
        self.carry_out(store)
    }

    /// Every step may be done again; the last one ends it.
    fn carry_out(&self, store: &Store) -> Result<(), StoreError> {
        if self.ends_chain {
            store.set_receipts_aside(&format!("before-{}", short(&self.identity.enrolment)))?;
        }
        if let Some(pem) = &self.key {
            write_file(&key_file(store), pem.as_bytes(), 0o600)?;
        }
        if let Some(text) = &self.age_key {
            write_file(&age_key::file(store), text.as_bytes(), 0o600)?;
        }
        for product in &self.products {
            store.write_product(product)?;
        }
        for domain in &self.domains {
            domain.write(store)?;
        }
        for (domain, request) in &self.requests {
            write_file(&store.enrol_request_file(domain), request.as_bytes(), 0o644)?;
        }
        state_file::write(&identity_file(store), &self.identity, 0o600)?;
        let folder = Folder::open(&store.trust_dir())?;
        folder.remove_file(std::ffi::OsStr::new("pending"))?;
        Ok(folder.sync()?)
    }
}

/// Enough of an enrolment's id to tell folders apart.
fn short(enrolment: &str) -> &str {
    enrolment.get(..8).unwrap_or(enrolment)
}
