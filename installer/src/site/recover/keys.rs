//! The keys of a recovered site: those that hold are kept, those that are lost are made anew.

use consign_format::trust::keys::SecretKey;
use consign_sealed::SiteKey;

use super::super::Damage;
use super::super::enrol::{EnrolError, new_key, pem};
use crate::store::Store;

/// The site's keys, and the texts of those that are new.
pub(super) struct Keys {
    pub(super) signing: SecretKey,
    pub(super) recipient: String,
    pub(super) new_signing: Option<String>,
    pub(super) new_age_key: Option<String>,
}

impl Keys {
    pub(super) fn kept_or_new(
        damage: &Damage,
        store: &Store,
        random: &dyn Fn(&mut [u8]) -> std::io::Result<()>,
    ) -> Result<Self, EnrolError> {
        let (signing, new_signing) = match damage.key(store) {
            Some(key) => (key, None),
            None => {
                let key = new_key(random)?;
                let text = pem(&key)?;
                (key, Some(text))
            }
        };
        let (age_key, new_age_key) = match damage.age_key(store) {
            Some(key) => (key, None),
            None => {
                let key = SiteKey::generate();
                let text = key.to_text();
                (key, Some(text))
            }
        };
        Ok(Keys { signing, recipient: age_key.recipient().to_string(), new_signing, new_age_key })
    }
}
