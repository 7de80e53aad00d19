//! What the site keeps of the Secrets that headquarters encrypted to it: the newest statement of each domain, as it
//! came. It is decrypted when a release is applied, and not before.

use std::path::PathBuf;

use consign_format::Name;
use consign_format::trust::site_secrets::SiteSecrets;
use consign_registry::durable::create_dir;

use super::Site;
use crate::store::{Store, StoreError, state_file};

/// What became of a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Taken {
    /// It counts now; said in words.
    New(String),
    /// It is for another site, or not newer than what is here.
    PassedOver,
    /// It is for this site and cannot be read here; said in words.
    Unreadable(String),
}

/// `trust/secrets/DOMAIN`
fn file(store: &Store, domain: &Name) -> PathBuf {
    store.trust_dir().join("secrets").join(domain.as_str())
}

impl Site {
    /// The newest statement of a domain with Secrets for this site.
    ///
    /// # Errors
    /// [`StoreError`]: the file is damaged.
    pub fn secrets(&self, domain: &Name) -> Result<Option<SiteSecrets>, StoreError> {
        state_file::read(&file(&self.store, domain))
    }

    /// Keeps a statement whose signatures hold, if it is for this site and newer than the one that is here.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn take_secrets(&self, domain: &Name, secrets: &SiteSecrets) -> Result<Taken, StoreError> {
        let known = self.secrets(domain)?.map_or(0, |known| known.serial);
        if secrets.site != self.identity.site || secrets.serial <= known {
            return Ok(Taken::PassedOver);
        }
        if self.identity.recipient.as_ref() != Some(&secrets.recipient) {
            return Ok(Taken::Unreadable(format!(
                "secrets number {} for this site are encrypted to {}, which is not its recipient",
                secrets.serial, secrets.recipient
            )));
        }
        let path = file(&self.store, domain);
        if let Some(folder) = path.parent() {
            create_dir(folder, 0o700)?;
        }
        state_file::write(&path, secrets, 0o600)?;
        Ok(Taken::New(format!("secrets number {} of this site: {}", secrets.serial, list(secrets))))
    }
}

fn list(secrets: &SiteSecrets) -> String {
    let names = secrets.secrets.iter().map(|secret| format!("{}/{}", secret.namespace, secret.name));
    names.collect::<Vec<_>>().join(", ")
}
