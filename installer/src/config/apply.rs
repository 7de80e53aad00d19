//! `[apply]` of `site.toml`: what applying may do in this cluster beyond what the release asks for.

use serde::{Deserialize, Serialize};

use crate::handoff::Owner;

/// What becomes of fields that somebody else holds with another value.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Conflicts {
    /// Nothing is applied.
    #[default]
    Fail,
    /// They are taken, whoever holds them.
    Force,
}

/// How the handoff `direct` applies.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct ApplyConfig {
    /// What becomes of fields that somebody else holds with another value.
    pub conflicts: Conflicts,
    /// Whose objects and fields may be taken over: `argocd`, `flux`, `fleet`, `helm`, `kubectl`, `manager:NAME`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub adopt: Vec<Owner>,
    /// Refuse releases whose workloads cannot be updated without an interruption; `--require-zero-downtime`.
    pub require_zero_downtime: bool,
}

impl ApplyConfig {
    /// Whether nothing is said, so that the table need not be written.
    pub fn is_unsaid(&self) -> bool {
        *self == ApplyConfig::default()
    }
}
