//! `[diagnose]` of `site.toml`: for whom a diagnosis is encrypted.

use serde::{Deserialize, Serialize};

/// What `consign-site diagnose` goes by; the flag beats it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct DiagnoseConfig {
    /// The age recipient of headquarters, `age1…`: every diagnosis is encrypted to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recipient: Option<String>,
}

impl DiagnoseConfig {
    /// Whether nothing is said, so that the table need not be written.
    pub fn is_unsaid(&self) -> bool {
        *self == DiagnoseConfig::default()
    }
}
