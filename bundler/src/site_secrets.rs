//! Secrets of one site: read from manifests, encrypted to the site, written as a statement for the approvers to sign.
//!
//! No value of a Secret is ever put into an error or a message.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use consign_format::error::{Code, Coded, Failure, codes};
use consign_format::trust::site_secrets::SiteSecrets;
use consign_format::trust::statement::{SiteRecord, Statement};
use consign_sealed::Recipient;
use consign_sealed::values::{self, SecretValues};
use serde_json::Value;

use crate::encrypt::EncryptError;
use crate::yaml::{YamlLimits, parse_documents};

/// Why Secrets are not encrypted.
#[derive(Debug, thiserror::Error)]
pub enum SiteSecretError {
    /// A document is no Secret that can be encrypted.
    #[error("{}, document {number}: {reason}", path.display())]
    Document {
        /// The file.
        path: PathBuf,
        /// Which document in it, from 1.
        number: usize,
        /// What is wrong.
        reason: &'static str,
    },
    /// There is nothing to encrypt.
    #[error("there is no Secret in what was named")]
    None,
}

impl Coded for SiteSecretError {
    fn code(&self) -> Code {
        codes::SECRET_RULE
    }

    fn hint(&self) -> Option<String> {
        Some("give manifests of kind Secret with a name, a namespace and `data` or `stringData`".to_owned())
    }
}

/// Reads the Secrets in the documents of a file. `namespace` is for those that name none.
///
/// # Errors
/// [`crate::yaml::YamlError`], or [`SiteSecretError`].
pub fn read(path: &Path, text: &[u8], namespace: Option<&str>) -> Result<Vec<SecretValues>, Failure> {
    let documents = parse_documents(text, path, &YamlLimits::default())?;
    let secret = |(n, document): (usize, &Value)| {
        let refuse = |reason| SiteSecretError::Document { path: path.to_owned(), number: n + 1, reason };
        secret(document, namespace).map_err(refuse)
    };
    Ok(documents.iter().enumerate().map(secret).collect::<Result<_, _>>()?)
}

fn secret(document: &Value, namespace: Option<&str>) -> Result<SecretValues, &'static str> {
    let text = |pointer| document.pointer(pointer).and_then(Value::as_str).filter(|text| !text.is_empty());
    if (text("/apiVersion"), text("/kind")) != (Some("v1"), Some("Secret")) {
        return Err("it is no Secret");
    }
    let name = text("/metadata/name").ok_or("it has no name")?;
    let namespace = text("/metadata/namespace").or(namespace).ok_or("it has no namespace, and none was given")?;
    let mut secret = SecretValues::new(namespace, name, text("/type").unwrap_or("Opaque"));
    let map = |field: &str| document[field].as_object().into_iter().flatten();
    for (key, value) in map("data") {
        if !secret.add_encoded(key, value.as_str().ok_or("a value of `data` is no text")?) {
            return Err("a value of `data` is not base64");
        }
    }
    // As the API server does: `stringData` wins.
    for (key, value) in map("stringData") {
        secret.add_text(key, value.as_str().ok_or("a value of `stringData` is no text")?);
    }
    if secret.data.is_empty() { Err("it has no data") } else { Ok(secret) }
}

/// Encrypts Secrets to the site of a record, which the approvers have signed.
///
/// # Errors
/// [`SiteSecretError`], or that the record names no recipient.
pub fn statement(
    record: &SiteRecord,
    path: &Path,
    mut secrets: Vec<SecretValues>,
    serial: u64,
) -> Result<SiteSecrets, Failure> {
    let unnamed = || EncryptError::NoRecipient { site: record.site.clone(), path: path.to_owned() };
    let recipient: Recipient = record.recipient.as_deref().ok_or_else(unnamed)?.parse()?;
    if secrets.is_empty() {
        return Err(SiteSecretError::None.into());
    }
    secrets.sort_by(|a, b| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)));
    let mut seen = BTreeSet::new();
    if let Some(twice) = secrets.iter().position(|secret| !seen.insert((&secret.namespace, &secret.name))) {
        let reason = "a Secret of this name was read before";
        return Err(SiteSecretError::Document { path: path.to_owned(), number: twice + 1, reason }.into());
    }
    Ok(SiteSecrets {
        kind: SiteSecrets::TYPE.to_owned(),
        domain: record.domain.clone(),
        site: record.site.clone(),
        serial,
        recipient: recipient.to_string(),
        secrets: secrets.iter().map(SecretValues::names).collect(),
        message: values::encrypt(&recipient, &secrets)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use consign_sealed::SiteKey;

    const SECRETS: &str = "apiVersion: v1\nkind: Secret\nmetadata: {name: db}\nstringData: {password: hunter2}\n---\n\
                           apiVersion: v1\nkind: Secret\nmetadata: {name: tls, namespace: front}\n\
                           type: kubernetes.io/tls\ndata: {tls.crt: Y2VydA==, tls.key: a2V5}\n";

    fn record(recipient: Option<String>) -> SiteRecord {
        let value = serde_json::json!({"_type": "site-record", "domain": "dev", "site": "ward-7", "serial": 1,
            "issued": 1, "receiptKey": "00", "recipient": recipient});
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn a_statement_tells_names_and_hides_values() {
        let key = SiteKey::generate();
        let secrets = read(Path::new("s.yaml"), SECRETS.as_bytes(), Some("demo")).unwrap();
        let record = record(Some(key.recipient().to_string()));
        let statement = statement(&record, Path::new("record.json"), secrets, 7).unwrap();
        let names: Vec<_> =
            statement.secrets.iter().map(|s| format!("{}/{} {:?}", s.namespace, s.name, s.keys)).collect();
        assert_eq!(names, ["demo/db [\"password\"]", "front/tls [\"tls.crt\", \"tls.key\"]"]);
        let text = serde_json::to_string(&statement).unwrap();
        assert!(!text.contains("hunter2") && !text.contains("aHVudGVyMg") && !text.contains("Y2VydA"));
        let read = values::decrypt(&key, &statement.message).unwrap();
        assert_eq!((read[0].data["password"].as_str(), read[1].kind.as_str()), ("aHVudGVyMg==", "kubernetes.io/tls"));
    }

    #[test]
    fn what_cannot_be_a_secret_of_a_site_is_refused_without_its_values() {
        for (text, reason) in [
            ("{apiVersion: v1, kind: ConfigMap}", "it is no Secret"),
            ("{apiVersion: v1, kind: Secret, stringData: {a: hunter2}}", "it has no name"),
            ("{apiVersion: v1, kind: Secret, metadata: {name: a}, stringData: {a: hunter2}}", "it has no namespace"),
            ("{apiVersion: v1, kind: Secret, metadata: {name: a, namespace: b}}", "it has no data"),
            ("{apiVersion: v1, kind: Secret, metadata: {name: a, namespace: b}, data: {a: hunter2!}}", "not base64"),
        ] {
            let error = read(Path::new("s.yaml"), text.as_bytes(), None).unwrap_err();
            assert!(error.to_string().contains(reason) && !error.to_string().contains("hunter2"), "{error}");
        }
        let secrets = || read(Path::new("s.yaml"), SECRETS.as_bytes(), Some("demo")).unwrap();
        let to = record(Some(SiteKey::generate().recipient().to_string()));
        let refused = |record: &SiteRecord, secrets| statement(record, Path::new("r"), secrets, 1).unwrap_err().code();
        assert_eq!(refused(&to, vec![]), codes::SECRET_RULE);
        assert_eq!(refused(&to, [secrets(), secrets()].concat()), codes::SECRET_RULE);
        assert_eq!(refused(&record(None), secrets()), codes::RECIPIENT_INVALID);
    }
}
