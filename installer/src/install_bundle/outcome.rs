//! What a run came to, as data for people, `--json` and tests.

use consign_format::receipt::{ByteCounts, Outcome};
use consign_format::{Digest, Name};
use serde::Serialize;

use crate::files::FileChange;
use crate::handoff::{ChangeSet, HealthReport, Plan};

use super::Metadata;

/// The end of a run that did not fail.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase", untagged)]
pub enum Finished {
    /// The release runs and is confirmed.
    Installed(Installed),
    /// The bundle held metadata alone; what it brought is kept.
    Informed(Metadata),
    /// The release is here and waits to be activated.
    Staged(StagedRelease),
    /// `--dry-run`: what would have happened.
    Planned(Planned),
}

impl Finished {
    /// What somebody should look at.
    pub fn warnings(&self) -> &[String] {
        match self {
            Finished::Installed(installed) => &installed.warnings,
            Finished::Informed(metadata) => &metadata.warnings,
            Finished::Staged(staged) => &staged.warnings,
            Finished::Planned(planned) => &planned.warnings,
        }
    }
}

/// A release that was installed.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Installed {
    /// The domain.
    pub domain: Name,
    /// The product.
    pub product: Name,
    /// The version.
    pub version: String,
    /// The sequence.
    pub sequence: u64,
    /// The release's digest.
    pub release: Digest,
    /// The bundle's id.
    pub bundle: Digest,
    /// How it ended.
    pub outcome: Outcome,
    /// Who converges the cluster.
    pub handoff: &'static str,
    /// Whether it was the current and confirmed release already.
    pub already_current: bool,
    /// What was moved.
    pub loaded: ByteCounts,
    /// What was changed.
    pub changes: ChangeSet,
    /// What happened to files on this machine.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<FileChange>,
    /// Whether it is healthy.
    pub health: HealthReport,
    /// What somebody should look at.
    pub warnings: Vec<String>,
    /// The number of the receipt.
    pub receipt: u64,
}

/// A release that was staged, and what activating it would change.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StagedRelease {
    /// The domain.
    pub domain: Name,
    /// The product.
    pub product: Name,
    /// The version.
    pub version: String,
    /// The sequence.
    pub sequence: u64,
    /// The release's digest.
    pub release: Digest,
    /// The bundle's id.
    pub bundle: Digest,
    /// Who would converge the cluster.
    pub handoff: &'static str,
    /// Whether it is the current release: then nothing waits, and activating it again would mend what has drifted.
    pub is_current: bool,
    /// What was moved.
    pub loaded: ByteCounts,
    /// What would change.
    pub plan: Plan,
    /// Services that would be restarted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub restarts: Vec<String>,
    /// What would happen to files on this machine.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<FileChange>,
    /// The gate that is closed now, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waits: Option<String>,
    /// What somebody should look at.
    pub warnings: Vec<String>,
}

/// What an install would do.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Planned {
    /// The product.
    pub product: Name,
    /// The version.
    pub version: String,
    /// The sequence.
    pub sequence: u64,
    /// The release's digest.
    pub release: Digest,
    /// Who would converge the cluster.
    pub handoff: &'static str,
    /// What would change.
    pub plan: Plan,
    /// Services that would be restarted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub restarts: Vec<String>,
    /// What would happen to files on this machine.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<FileChange>,
    /// What somebody should look at.
    pub warnings: Vec<String>,
}
