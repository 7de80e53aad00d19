//! Secrets of one site: a statement of the approvers whose values only that site can read.
//!
//! Which Secrets and which keys it holds stands in the open, so that a site can say what it lacks before it decrypts
//! anything; the values are one age file, encrypted to the site's recipient. The highest serial counts, as a whole: a
//! Secret that is no longer in it is gone.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::statement::Statement;
use crate::Name;

/// The Secrets of one site.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SiteSecrets {
    /// Always `site-secrets`.
    #[serde(rename = "_type")]
    pub kind: String,
    /// The domain.
    pub domain: Name,
    /// The site.
    pub site: Name,
    /// Goes up with every such statement for the site.
    pub serial: u64,
    /// The age recipient it is encrypted to.
    pub recipient: String,
    /// What it holds.
    pub secrets: Vec<SecretNames>,
    /// The values: an age file, in base64 (RFC 4648, with padding).
    pub message: String,
}

/// The names in one Secret, without a value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SecretNames {
    /// The Secret's namespace.
    pub namespace: String,
    /// The Secret's name.
    pub name: String,
    /// Its keys.
    pub keys: Vec<String>,
}

impl Statement for SiteSecrets {
    const TYPE: &'static str = "site-secrets";
    const ROLE: &'static str = "targets";

    fn kind(&self) -> &str {
        &self.kind
    }

    fn domain(&self) -> &Name {
        &self.domain
    }
}

impl SiteSecrets {
    /// What it holds under a name.
    pub fn names(&self, namespace: &str, name: &str) -> Option<&SecretNames> {
        self.secrets.iter().find(|secret| secret.namespace == namespace && secret.name == name)
    }
}
