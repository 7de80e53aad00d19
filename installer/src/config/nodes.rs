//! `[nodes]` of `site.toml`: where the nodes of this site are told to look for images.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// What `consign-site nodes` goes by; a flag beats each of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct NodesConfig {
    /// The site's registry as nodes reach it, `https://HOST:PORT`; several, and they are tried in this order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub servers: Vec<String>,
    /// Hosts whose images nodes take from here too, beside those that the releases name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<String>,
    /// A file with `USER:PASSWORD`, where the registry wants a password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credentials: Option<PathBuf>,
    /// Take `http://` servers on other machines too.
    pub plain_http: bool,
}

impl NodesConfig {
    /// Whether nothing is said, so that the table need not be written.
    pub fn is_unsaid(&self) -> bool {
        *self == NodesConfig::default()
    }
}
