//! What the releases that run or wait here have in the cluster: kinds and namespaces, out of their own state. It is what
//! a doctor asks permissions for, and where a diagnosis looks.

use std::collections::BTreeSet;

use crate::desired::{DesiredError, desired};
use crate::handoff::ObjectKey;
use crate::store::{Store, StoreError};

/// Kinds and namespaces of all products.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct HeldObjects {
    /// apiVersion, kind, namespace; that one empty where the object names none and the release gives none.
    pub kinds: BTreeSet<(String, String, String)>,
    /// Namespaces of objects; Namespace objects count.
    pub namespaces: BTreeSet<String>,
}

/// The state of a release cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum HeldError {
    /// Files of the store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The state artifact.
    #[error(transparent)]
    Desired(#[from] DesiredError),
}

/// Reads the state of every current and staged release.
pub fn held_objects(store: &Store) -> Result<HeldObjects, HeldError> {
    let mut held = HeldObjects::default();
    let blobs = store.blobs().map_err(HeldError::Store)?;
    for product in store.products()? {
        let current = product.current.as_ref().map(|current| &current.release);
        for release in current.into_iter().chain(product.staged.as_ref().map(|staged| &staged.release)) {
            let release = store.read_release(&release.digest)?;
            let desired = desired(&release, &|digest, limit| blobs.read(digest, limit))?;
            held.namespaces.extend(desired.namespace.clone());
            for object in &desired.objects {
                let (Some(key), Some(api)) = (ObjectKey::of(object), object["apiVersion"].as_str()) else { continue };
                let own = if key.kind.is("", "Namespace") { key.name } else { key.namespace };
                let namespace = if own.is_empty() { desired.namespace.clone().unwrap_or_default() } else { own };
                held.kinds.insert((api.to_owned(), key.kind.kind, namespace.clone()));
                held.namespaces.extend((!namespace.is_empty()).then_some(namespace));
            }
        }
    }
    Ok(held)
}
