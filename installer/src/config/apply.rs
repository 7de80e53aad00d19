//! `[apply]` of `site.toml`: what applying may do in this cluster beyond what the release asks for.

use std::time::Duration;

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

/// Whether nodes pull the images of a release before it is applied.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PrePull {
    /// They pull when pods come to them.
    #[default]
    Off,
    /// They pull while the release is staged; one that cannot is found then.
    On,
}

/// How the handoff `direct` applies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct ApplyConfig {
    /// What becomes of fields that somebody else holds with another value.
    pub conflicts: Conflicts,
    /// Whose objects and fields may be taken over: `argocd`, `flux`, `fleet`, `helm`, `kubectl`, `manager:NAME`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub adopt: Vec<Owner>,
    /// Refuse releases whose workloads cannot be updated without an interruption; `--require-zero-downtime`.
    pub require_zero_downtime: bool,
    /// Whether nodes pull the images of a release before it is applied. `require-zero-downtime` demands it.
    pub pre_pull: PrePull,
    /// How many minutes one node may take to pull.
    pub pre_pull_minutes: u32,
}

impl Default for ApplyConfig {
    fn default() -> Self {
        ApplyConfig {
            conflicts: Conflicts::default(),
            adopt: Vec::new(),
            require_zero_downtime: false,
            pre_pull: PrePull::default(),
            pre_pull_minutes: 15,
        }
    }
}

impl ApplyConfig {
    /// Whether nodes pull before a release is applied.
    pub fn pre_pulls(&self) -> bool {
        self.pre_pull == PrePull::On || self.require_zero_downtime
    }

    /// How long one node may take to pull.
    pub fn pre_pull_within(&self) -> Duration {
        Duration::from_secs(u64::from(self.pre_pull_minutes) * 60)
    }

    /// Whether nothing is said, so that the table need not be written.
    pub fn is_unsaid(&self) -> bool {
        *self == ApplyConfig::default()
    }
}
