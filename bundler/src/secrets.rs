//! Keeps secrets out of what everybody carries (TRUST §4, row 74).
//!
//! A Secret with data may be in a release only if its author has said why. Everything else is made at the
//! site, is there already, or is encrypted by somebody else's tool. No value of a Secret is ever put into an
//! error or a message.

use std::collections::{BTreeMap, BTreeSet};

use consign_format::error::{Code, Coded, codes};
use consign_format::release::{SecretMode, SecretRule};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::object::{Object, ObjectRef, Origin};

/// One entry of `secrets` in `release.yaml`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SecretEntry {
    /// The Secret's name.
    pub name: String,
    /// The Secret's namespace; without it the release's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Where the data comes from.
    pub mode: SecretSource,
    /// For `generate`, `existing` and `per-site`: the keys that must be there. Without it, those of the Secret in the
    /// manifests, if there is one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<String>,
    /// For `shared`: why everybody who holds a bundle may read the data. The release manifest shows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Where the data of a Secret comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SecretSource {
    /// Made once at the site, of random letters and digits, and kept.
    Generate,
    /// There already, put there by the site's people.
    Existing,
    /// Encrypted to each site's key alone (`consign secret`); it travels beside the bundle.
    PerSite,
    /// Carried in the bundle, readable by everybody.
    Shared,
}

/// Desired state without secrets, and how the site comes by them.
#[derive(Debug, Clone, PartialEq)]
pub struct Settled {
    /// The objects that stay.
    pub objects: Vec<Object>,
    /// The rules, for the release manifest, by namespace and name.
    pub rules: Vec<SecretRule>,
}

/// Why the Secrets of a release cannot be carried.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// Secrets with data that nobody has declared.
    #[error("the release would carry the data of {}", list(.secrets))]
    WithData {
        /// The Secrets and where they were read.
        secrets: Vec<(ObjectRef, Origin)>,
    },
    /// An entry that cannot be kept to.
    #[error("`secrets` in release.yaml, {namespace}/{name}: {reason}")]
    Entry {
        /// The namespace.
        namespace: String,
        /// The name.
        name: String,
        /// What is wrong.
        reason: &'static str,
    },
}

fn list(secrets: &[(ObjectRef, Origin)]) -> String {
    let each: Vec<_> = secrets.iter().map(|(secret, origin)| format!("{secret} ({origin})")).collect();
    each.join(", ")
}

impl Coded for SecretError {
    fn code(&self) -> Code {
        match self {
            SecretError::WithData { .. } => codes::SECRET_WITH_DATA,
            SecretError::Entry { .. } => codes::SECRET_RULE,
        }
    }

    fn hint(&self) -> Option<String> {
        matches!(self, SecretError::WithData { .. }).then(|| {
            "declare it under `secrets` in release.yaml: `generate` (made at the site), `existing` (there already), \
             `per-site` (encrypted to each site) or `shared` with a reason; or encrypt it with SealedSecrets or SOPS"
                .to_owned()
        })
    }
}

/// Settles every Secret of normalised objects by what `release.yaml` declares.
///
/// A `generate`, `existing` or `per-site` Secret leaves the state, so that neither its data travels nor apply ever owns
/// its keys; the rule in the release manifest speaks for it. A `shared` one stays. Secrets without data, and
/// those that SOPS has encrypted, pass. Custom kinds (SealedSecret, ExternalSecret) are not looked at.
///
/// # Errors
/// [`SecretError`]: all undeclared Secrets with data at once, or the first entry that cannot be kept to.
pub fn settle(objects: Vec<Object>, entries: &[SecretEntry], namespace: Option<&str>) -> Result<Settled, SecretError> {
    let mut declared: BTreeMap<(String, String), &SecretEntry> = BTreeMap::new();
    for entry in entries {
        let place = entry.namespace.as_deref().or(namespace).unwrap_or_default().to_owned();
        check(entry, &place)?;
        if declared.insert((place.clone(), entry.name.clone()), entry).is_some() {
            return Err(refuse(entry, &place, "it is declared twice"));
        }
    }
    let mut kept = Vec::with_capacity(objects.len());
    let mut bare = Vec::new();
    let mut found: BTreeMap<(String, String), BTreeSet<String>> = BTreeMap::new();
    for object in objects {
        if !is_secret(&object) {
            kept.push(object);
            continue;
        }
        let place = (object.namespace().to_owned(), object.name().to_owned());
        let keys = keys(&object.value);
        match declared.get(&place).map(|entry| entry.mode) {
            Some(SecretSource::Generate | SecretSource::Existing | SecretSource::PerSite) => {}
            Some(SecretSource::Shared) => kept.push(object),
            None if keys.is_empty() || is_sops(&object.value) => kept.push(object),
            None => bare.push((object.reference(), object.origin.clone())),
        }
        found.insert(place, keys);
    }
    if !bare.is_empty() {
        return Err(SecretError::WithData { secrets: bare });
    }
    let rules = declared.iter().map(|(place, entry)| rule(entry, &place.0, found.get(place)));
    Ok(Settled { rules: rules.collect::<Result<_, _>>()?, objects: kept })
}

fn is_secret(object: &Object) -> bool {
    object.kind() == "Secret" && object.group().is_empty()
}

fn check(entry: &SecretEntry, namespace: &str) -> Result<(), SecretError> {
    let reason = entry.reason.as_deref().map(str::trim).unwrap_or_default();
    let problem = match entry.mode {
        _ if namespace.is_empty() => "it says no namespace, nor does the release",
        SecretSource::Shared if reason.is_empty() => "`shared` needs a `reason`, which the release manifest shows",
        SecretSource::Shared if !entry.keys.is_empty() => "`keys` belong to `generate`, `existing` and `per-site`",
        _ => return Ok(()),
    };
    Err(refuse(entry, namespace, problem))
}

fn refuse(entry: &SecretEntry, namespace: &str, reason: &'static str) -> SecretError {
    SecretError::Entry { namespace: namespace.to_owned(), name: entry.name.clone(), reason }
}

fn rule(entry: &SecretEntry, namespace: &str, found: Option<&BTreeSet<String>>) -> Result<SecretRule, SecretError> {
    let refuse = |reason| Err(refuse(entry, namespace, reason));
    let mode = match entry.mode {
        SecretSource::Generate => SecretMode::Generate,
        SecretSource::Existing => SecretMode::Existing,
        SecretSource::Shared => SecretMode::Shared,
        SecretSource::PerSite => SecretMode::PerSite,
    };
    let mut keys: BTreeSet<String> = entry.keys.iter().cloned().collect();
    match (mode, found) {
        (SecretMode::Shared, None) => return refuse("no manifest describes such a Secret"),
        (SecretMode::Shared, _) => {}
        (_, Some(found)) if keys.is_empty() => keys.clone_from(found),
        _ => {}
    }
    if mode == SecretMode::Generate && keys.is_empty() {
        return refuse("`generate` needs `keys`: there is no Secret in the manifests to take them from");
    }
    let reason = entry.reason.as_deref().map(str::trim).filter(|reason| !reason.is_empty()).map(str::to_owned);
    let (name, namespace) = (entry.name.clone(), namespace.to_owned());
    Ok(SecretRule { name, namespace, mode, keys: keys.into_iter().collect(), reason })
}

/// The keys under `data` and `stringData`.
fn keys(secret: &Value) -> BTreeSet<String> {
    let maps = ["data", "stringData"].into_iter().filter_map(|field| secret[field].as_object());
    maps.flat_map(|map| map.keys().cloned()).collect()
}

/// Tells whether SOPS has encrypted every value (`sops` at the top, values `ENC[…]`).
fn is_sops(secret: &Value) -> bool {
    let sealed = |value: &Value| value.as_str().is_some_and(|text| text.starts_with("ENC[") && text.ends_with(']'));
    let maps = ["data", "stringData"].into_iter().filter_map(|field| secret[field].as_object());
    secret["sops"].is_object() && maps.flat_map(|map| map.values()).all(sealed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::tests::object;
    use serde_json::json;

    fn secret(name: &str, data: Value) -> Object {
        let mut value = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": "app"}
        });
        value["stringData"] = data;
        object(value)
    }

    fn entry(name: &str, mode: SecretSource) -> SecretEntry {
        SecretEntry { name: name.to_owned(), namespace: None, mode, keys: Vec::new(), reason: None }
    }

    fn settled(objects: Vec<Object>, entries: &[SecretEntry]) -> Result<Settled, SecretError> {
        settle(objects, entries, Some("app"))
    }

    #[test]
    fn undeclared_data_is_refused_all_at_once_without_a_value() {
        let secrets = vec![secret("a", json!({"k": "hunter2"})), secret("b", json!({"k": "hunter3"}))];
        let error = settled(secrets, &[]).unwrap_err();
        assert_eq!(error.code(), codes::SECRET_WITH_DATA);
        let text = format!("{error} {:?}", error);
        assert!(text.contains("app/a") && text.contains("b") && !text.contains("hunter"), "{text}");

        let mut base64 = secret("c", json!(null));
        base64.value["data"] = json!({"k": "aHVudGVy"});
        assert!(settled(vec![base64], &[]).is_err());
    }

    #[test]
    fn empty_encrypted_and_custom_secrets_pass() {
        let mut sops = secret("sops", json!({"k": "ENC[AES256_GCM,data:x,type:str]"}));
        sops.value["sops"] = json!({"mac": "ENC[x]"});
        let mut half = sops.clone();
        half.value["stringData"]["plain"] = json!("x");
        let sealed = object(json!({
            "apiVersion": "bitnami.com/v1alpha1", "kind": "SealedSecret",
            "metadata": {"name": "s", "namespace": "app"}, "spec": {"encryptedData": {"k": "AgB…"}}
        }));
        let pass = vec![secret("empty", json!({})), secret("none", json!(null)), sops, sealed];
        assert_eq!(settled(pass, &[]).unwrap().objects.len(), 4);
        assert!(settled(vec![half], &[]).is_err());
    }

    #[test]
    fn only_shared_secrets_stay_in_the_state() {
        let objects = vec![
            secret("db", json!({"password": "x", "user": "y"})),
            secret("tls", json!({"crt": "z"})),
            secret("licence", json!({"key": "z"})),
        ];
        let entries = [
            entry("db", SecretSource::Generate),
            entry("tls", SecretSource::Existing),
            entry("licence", SecretSource::PerSite),
            SecretEntry { keys: vec!["token".to_owned()], ..entry("new", SecretSource::Generate) },
        ];
        let settled = settled(objects, &entries).unwrap();
        assert_eq!(settled.objects, []);
        let rule = |name: &str, mode, keys: &[&str]| SecretRule {
            name: name.to_owned(),
            namespace: "app".to_owned(),
            mode,
            keys: keys.iter().map(|k| (*k).to_owned()).collect(),
            reason: None,
        };
        assert_eq!(
            settled.rules,
            [
                rule("db", SecretMode::Generate, &["password", "user"]),
                rule("licence", SecretMode::PerSite, &["key"]),
                rule("new", SecretMode::Generate, &["token"]),
                rule("tls", SecretMode::Existing, &["crt"]),
            ]
        );
    }

    #[test]
    fn a_shared_secret_stays_and_its_reason_is_recorded() {
        let shared = SecretEntry { reason: Some(" public CA ".to_owned()), ..entry("ca", SecretSource::Shared) };
        let settled = settled(vec![secret("ca", json!({"ca.crt": "x"}))], &[shared]).unwrap();
        assert_eq!(settled.objects.len(), 1);
        assert_eq!(settled.rules[0].reason.as_deref(), Some("public CA"));
    }

    #[test]
    fn entries_that_cannot_be_kept_are_refused() {
        let shared = |reason: &str| SecretEntry { reason: Some(reason.to_owned()), ..entry("a", SecretSource::Shared) };
        for entries in [
            vec![entry("a", SecretSource::Shared)],
            vec![shared("  ")],
            vec![shared("no such Secret")],
            vec![entry("a", SecretSource::Generate)],
            vec![entry("a", SecretSource::Existing), entry("a", SecretSource::Existing)],
        ] {
            assert_eq!(settled(Vec::new(), &entries).unwrap_err().code(), codes::SECRET_RULE, "{entries:?}");
        }
        assert!(settle(Vec::new(), &[entry("a", SecretSource::Existing)], None).is_err());
    }
}
