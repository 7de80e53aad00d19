//! The values of one site's Secrets, encrypted to that site as one message.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use consign_format::trust::site_secrets::SecretNames;
use serde::{Deserialize, Serialize};

use crate::{Recipient, SealedError, SiteKey, message};

/// Plain bytes in one message: what fits a statement of 1 MiB.
const LIMIT: u64 = 700 * 1024;

/// One Secret with its values. Nothing prints them: `Debug` shows names alone.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SecretValues {
    /// The Secret's namespace.
    pub namespace: String,
    /// The Secret's name.
    pub name: String,
    /// The Secret's type, such as `kubernetes.io/tls`; `Opaque` where it has none.
    #[serde(rename = "type")]
    pub kind: String,
    /// Values by key, in base64, as the `data` of a Secret has them.
    pub data: BTreeMap<String, String>,
}

impl SecretValues {
    /// A Secret without values.
    pub fn new(namespace: &str, name: &str, kind: &str) -> Self {
        let (namespace, name, kind) = (namespace.to_owned(), name.to_owned(), kind.to_owned());
        SecretValues { namespace, name, kind, data: BTreeMap::new() }
    }

    /// Adds a value as `stringData` has it.
    pub fn add_text(&mut self, key: &str, value: &str) {
        self.data.insert(key.to_owned(), STANDARD.encode(value));
    }

    /// Adds a value as `data` has it; `false` if it is not base64.
    #[must_use]
    pub fn add_encoded(&mut self, key: &str, value: &str) -> bool {
        // Manifests break long values into lines.
        let value: String = value.split_whitespace().collect();
        let valid = STANDARD.decode(&value).is_ok();
        self.data.insert(key.to_owned(), value);
        valid
    }

    /// What may be said of it.
    pub fn names(&self) -> SecretNames {
        let keys = self.data.keys().cloned().collect();
        SecretNames { namespace: self.namespace.clone(), name: self.name.clone(), keys }
    }
}

impl fmt::Debug for SecretValues {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys: Vec<&String> = self.data.keys().collect();
        write!(f, "SecretValues({}/{} {keys:?})", self.namespace, self.name)
    }
}

/// Encrypts values to a site; the message of a statement `site-secrets`.
///
/// # Errors
/// [`SealedError::TooLong`].
pub fn encrypt(recipient: &Recipient, values: &[SecretValues]) -> Result<String, SealedError> {
    let plain = serde_json::to_vec(values).map_err(|error| SealedError::Io(error.into()))?;
    if plain.len() as u64 > LIMIT {
        return Err(SealedError::TooLong { limit: LIMIT });
    }
    Ok(STANDARD.encode(message::encrypt(recipient, &plain)?))
}

/// Decrypts what [`encrypt`] made.
///
/// # Errors
/// [`SealedError::Damaged`].
pub fn decrypt(key: &SiteKey, text: &str) -> Result<Vec<SecretValues>, SealedError> {
    let message = STANDARD.decode(text).map_err(|_| SealedError::damaged("it is not base64"))?;
    let plain = message::decrypt(key, &message, LIMIT)?;
    // What serde says could quote a value.
    serde_json::from_slice(&plain).map_err(|_| SealedError::damaged("it holds no Secrets"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_reach_their_site_and_no_other() {
        let key = SiteKey::generate();
        let mut secret = SecretValues::new("radiology", "db", "Opaque");
        secret.add_text("password", "hunter2");
        assert!(secret.add_encoded("token", "aHVu\n  dGVyMw=="));
        assert!(!SecretValues::new("a", "b", "Opaque").add_encoded("token", "hunter4"));
        let text = encrypt(&key.recipient(), &[secret.clone()]).unwrap();
        let read = decrypt(&key, &text).unwrap();
        assert_eq!(
            (read.len(), read[0].data["password"].as_str(), read[0].data["token"].as_str()),
            (1, "aHVudGVyMg==", "aHVudGVyMw==")
        );
        assert!(decrypt(&SiteKey::generate(), &text).is_err());
        assert!(!format!("{read:?}").contains("aHVu"));
        secret.add_text("large", &"x".repeat(800_000));
        assert!(matches!(encrypt(&key.recipient(), &[secret]), Err(SealedError::TooLong { .. })));
    }
}
