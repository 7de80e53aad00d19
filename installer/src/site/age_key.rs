//! The site's age key: what is encrypted to this site is read with it.
//!
//! A key of its own and not the one that signs receipts: one decrypts, one signs, and each can be exchanged alone.

use std::path::PathBuf;

use consign_registry::durable::write_file;
use consign_sealed::SiteKey;

use super::Site;
use crate::store::{Store, StoreError, state_file};

/// `trust/site.age`
fn file(store: &Store) -> PathBuf {
    store.trust_dir().join("site.age")
}

fn read(store: &Store) -> Result<Option<SiteKey>, StoreError> {
    let path = file(store);
    let Some(bytes) = state_file::read_bytes(&path, 4096)? else { return Ok(None) };
    let text = String::from_utf8_lossy(&bytes);
    SiteKey::from_text(&text).map(Some).map_err(|error| StoreError::damaged(path, error.to_string()))
}

/// Makes the key, or takes the one that an enrolment that was cut off has left. Returns its recipient.
pub(super) fn make(store: &Store) -> Result<String, StoreError> {
    if let Some(key) = read(store)? {
        return Ok(key.recipient().to_string());
    }
    let key = SiteKey::generate();
    write_file(&file(store), key.to_text().as_bytes(), 0o600)?;
    Ok(key.recipient().to_string())
}

impl Site {
    /// The key that reads what is encrypted to this site; `None` at a site that was enrolled before there was one.
    ///
    /// # Errors
    /// [`StoreError`]: the key is gone, damaged or another one than the site was enrolled with.
    pub fn age_key(&self) -> Result<Option<SiteKey>, StoreError> {
        let Some(recipient) = &self.identity.recipient else { return Ok(None) };
        let key = read(&self.store)?.ok_or_else(|| StoreError::Missing { path: file(&self.store) })?;
        if key.recipient().as_str() != recipient {
            return Err(StoreError::damaged(file(&self.store), "it is not the age key of this site"));
        }
        Ok(Some(key))
    }
}
