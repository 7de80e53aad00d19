//! Secrets that a release wants `per-site`: whether they are here, and their values when the release is applied.
//!
//! That one is missing is found before a byte is loaded, from the names that stand in the open. The values are
//! decrypted by the handoff, in memory, and go to the API server; they are never written, printed or put into a receipt.

use std::borrow::Cow;
use std::fmt;

use consign_format::Name;
use consign_format::error::{Code, Coded, Failure, codes};
use consign_format::release::{SecretMode, SecretRule};
use consign_format::trust::site_secrets::SiteSecrets;
use consign_sealed::values::{self, SecretValues};
use consign_sealed::{SealedError, SiteKey};
use serde_json::{Value, json};

use crate::handoff::Desired;
use crate::site::Site;
use crate::site::secrets::Held;
use crate::store::StoreError;

/// Secrets of a release, still encrypted, and the key that reads them.
#[derive(Clone)]
pub struct SealedSecrets {
    key: SiteKey,
    message: String,
    rules: Vec<SecretRule>,
}

/// The site has not got what the release wants it to have.
#[derive(Debug, thiserror::Error)]
#[error("{} {}", absence(.absent.as_deref()), .missing.join(", "))]
pub struct SiteSecretMissing {
    /// The site.
    pub site: Name,
    /// Why what was brought once cannot be used, in words.
    pub absent: Option<String>,
    /// `Secret ns/name`, or `Secret ns/name key k`.
    pub missing: Vec<String>,
}

fn absence(why: Option<&str>) -> String {
    match why {
        Some(why) => format!("the secrets of this site must be brought again ({why}):"),
        None => "no statement of headquarters has brought this site".to_owned(),
    }
}

impl Coded for SiteSecretMissing {
    fn code(&self) -> Code {
        codes::SECRET_MISSING
    }

    fn hint(&self) -> Option<String> {
        Some(format!(
            "ask headquarters for a statement `site-secrets` for {} that has them (`consign secret`, then `consign \
             carry`), install that bundle, then this one again",
            self.site
        ))
    }
}

/// Finds the Secrets that a release wants `per-site`; `None` where it wants none.
///
/// # Errors
/// [`SiteSecretMissing`], with everything that is not here; what is wrong with the site's files.
pub fn find(site: &Site, domain: &Name, wanted: &[SecretRule]) -> Result<Option<SealedSecrets>, Failure> {
    let rules: Vec<SecretRule> = wanted.iter().filter(|rule| rule.mode == SecretMode::PerSite).cloned().collect();
    if rules.is_empty() {
        return Ok(None);
    }
    let (kept, absent) = match site.secrets(domain)? {
        Held::Here(secrets) => (Some(secrets), None),
        Held::Absent(why) => (None, Some(why)),
        Held::Never => (None, None),
    };
    let missing: Vec<String> = rules.iter().flat_map(|rule| missing(rule, kept.as_ref())).collect();
    let (true, Some(kept)) = (missing.is_empty(), kept) else {
        return Err(SiteSecretMissing { site: site.identity.site.clone(), absent, missing }.into());
    };
    // What is here is for the site's own recipient.
    let key = site.age_key()?.ok_or_else(|| StoreError::Missing { path: site.store.trust_dir().join("site.age") })?;
    Ok(Some(SealedSecrets { key, message: kept.message, rules }))
}

fn missing(rule: &SecretRule, kept: Option<&SiteSecrets>) -> Vec<String> {
    let secret = format!("Secret {}/{}", rule.namespace, rule.name);
    match kept.and_then(|kept| kept.names(&rule.namespace, &rule.name)) {
        None => vec![secret],
        Some(names) => {
            let absent = rule.keys.iter().filter(|key| !names.keys.contains(key));
            absent.map(|key| format!("{secret} key {key}")).collect()
        }
    }
}

impl SealedSecrets {
    /// The Secrets that are in it, in words, for who has to make them another way.
    pub fn names(&self) -> Vec<String> {
        self.rules.iter().map(|rule| format!("{}/{}", rule.namespace, rule.name)).collect()
    }

    fn open(&self) -> Result<Vec<SecretValues>, SealedError> {
        let mut secrets = values::decrypt(&self.key, &self.message)?;
        secrets.retain(|secret| {
            self.rules.iter().any(|rule| rule.namespace == secret.namespace && rule.name == secret.name)
        });
        // Names in the open and what was encrypted are both signed; that they agree is for the site to see.
        match secrets.len() == self.rules.len() {
            true => Ok(secrets),
            false => Err(SealedError::Incomplete),
        }
    }
}

impl fmt::Debug for SealedSecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealedSecrets({})", self.names().join(", "))
    }
}

impl Desired {
    /// The desired state with the per-site Secrets as objects of it, their values decrypted. To be called where they go
    /// to the cluster, and to be dropped there.
    ///
    /// # Errors
    /// [`SealedError`].
    pub fn opened(&self) -> Result<Cow<'_, Desired>, SealedError> {
        let Some(sealed) = &self.sealed else { return Ok(Cow::Borrowed(self)) };
        let mut opened = self.clone();
        opened.sealed = None;
        opened.objects.extend(sealed.open()?.iter().map(object));
        Ok(Cow::Owned(opened))
    }
}

fn object(secret: &SecretValues) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": secret.name, "namespace": secret.namespace},
        "type": secret.kind,
        "data": secret.data,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(name: &str, keys: &[&str]) -> SecretRule {
        let keys = keys.iter().map(|key| (*key).to_owned()).collect();
        SecretRule { name: name.into(), namespace: "demo".into(), mode: SecretMode::PerSite, keys, reason: None }
    }

    fn kept(values: &[SecretValues], key: &SiteKey) -> SiteSecrets {
        SiteSecrets {
            kind: "site-secrets".into(),
            domain: "dev".parse().unwrap(),
            site: "hospital-7".parse().unwrap(),
            serial: 1,
            recipient: key.recipient().to_string(),
            secrets: values.iter().map(SecretValues::names).collect(),
            message: values::encrypt(&key.recipient(), values).unwrap(),
        }
    }

    fn db() -> SecretValues {
        let mut db = SecretValues::new("demo", "db", "Opaque");
        db.add_text("password", "hunter2");
        db
    }

    #[test]
    fn what_is_missing_is_named() {
        let kept = kept(&[db()], &SiteKey::generate());
        assert!(missing(&rule("db", &["password"]), Some(&kept)).is_empty());
        assert!(missing(&rule("db", &[]), Some(&kept)).is_empty());
        assert_eq!(missing(&rule("db", &["password", "user"]), Some(&kept)), ["Secret demo/db key user"]);
        assert_eq!(missing(&rule("tls", &[]), Some(&kept)), ["Secret demo/tls"]);
        assert_eq!(missing(&rule("db", &[]), None), ["Secret demo/db"]);
    }

    #[test]
    fn values_are_there_only_where_they_are_opened() {
        let key = SiteKey::generate();
        let message = kept(&[db(), SecretValues::new("demo", "other", "Opaque")], &key).message;
        let sealed = SealedSecrets { key, message, rules: vec![rule("db", &[])] };
        let closed = Desired {
            product: "demo".into(),
            version: "1.0".into(),
            tooling: "0".into(),
            namespace: None,
            objects: vec![],
            secrets: vec![],
            needs: Default::default(),
            sealed: Some(sealed.clone()),
        };
        assert!(!format!("{closed:?}").contains("SECRET-KEY"));
        let opened = closed.opened().unwrap();
        assert_eq!(opened.objects.len(), closed.objects.len() + 1);
        assert_eq!(opened.objects.last().unwrap()["data"]["password"], "aHVudGVyMg==");
        assert!(opened.sealed.is_none());
        let other = SealedSecrets { key: SiteKey::generate(), ..sealed.clone() };
        assert!(matches!(other.open(), Err(SealedError::Damaged(_))));
        let more = SealedSecrets { rules: vec![rule("db", &[]), rule("tls", &[])], ..sealed };
        assert!(matches!(more.open(), Err(SealedError::Incomplete)));
    }
}
