//! `[drift]` of `site.toml`: what becomes of objects that somebody changed after they were installed.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// What `consign-site run` does with what drifted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum DriftMode {
    /// It is told, field by field, and left as it is.
    #[default]
    Report,
    /// The installed release is applied again.
    Correct,
    /// Nobody looks.
    Ignore,
}

/// How the site looks after what it has installed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct DriftConfig {
    /// What becomes of what drifted.
    pub mode: DriftMode,
    /// How many minutes `consign-site run` waits between two looks.
    pub minutes: u32,
}

impl Default for DriftConfig {
    fn default() -> Self {
        DriftConfig { mode: DriftMode::Report, minutes: 10 }
    }
}

impl DriftConfig {
    /// Whether nothing is said, so that the table need not be written.
    pub fn is_unsaid(&self) -> bool {
        *self == DriftConfig::default()
    }
}
