//! The site's age key: what is encrypted to this site is read with it.
//!
//! A key of its own and not the one that signs receipts: one decrypts, one signs, and each can be exchanged alone.

use std::path::PathBuf;

use consign_sealed::SiteKey;

use super::{Identity, Site};
use crate::store::{Store, StoreError, state_file};

/// `trust/site.age`
pub(super) fn file(store: &Store) -> PathBuf {
    store.trust_dir().join("site.age")
}

/// Reads the key, which must be as this program wrote it and the one that the identity names; `None` at a site that was
/// enrolled before there was one.
pub(super) fn read(store: &Store, identity: &Identity) -> Result<Option<SiteKey>, StoreError> {
    let Some(recipient) = &identity.recipient else { return Ok(None) };
    let path = file(store);
    let bytes = state_file::read_bytes(&path, 4096)?.ok_or_else(|| StoreError::Missing { path: path.clone() })?;
    let text = String::from_utf8_lossy(&bytes);
    let key = SiteKey::from_text(&text).map_err(|error| StoreError::damaged(&path, error.to_string()))?;
    if key.to_text() != text {
        return Err(StoreError::damaged(path, "it is not as it was written"));
    }
    if key.recipient().as_str() != recipient {
        return Err(StoreError::damaged(path, "it is not the age key of this site"));
    }
    Ok(Some(key))
}

impl Site {
    /// The key that reads what is encrypted to this site; `None` at a site that was enrolled before there was one.
    ///
    /// # Errors
    /// [`StoreError`]: the key is gone, damaged or another one than the site was enrolled with.
    pub fn age_key(&self) -> Result<Option<SiteKey>, StoreError> {
        read(&self.store, &self.identity)
    }
}
