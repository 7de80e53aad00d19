//! What waiting for health came to. "Checked, and it is bad" is a report; "could not check" is an error elsewhere.

use serde::{Deserialize, Serialize};

use super::ObjectKey;

/// One object that is not healthy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Unhealthy {
    /// The object.
    #[serde(flatten)]
    pub key: ObjectKey,
    /// What is wrong or missing, in plain words, pods and events included.
    pub reason: String,
    /// True where it has failed for good, false where it was still on its way when the time was over.
    pub failed: bool,
}

/// The end of waiting.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HealthReport {
    /// How many objects were waited for.
    pub objects: u64,
    /// Those that are not healthy; empty means that all is well.
    pub unhealthy: Vec<Unhealthy>,
}

impl HealthReport {
    /// Tells whether everything is healthy.
    pub fn is_healthy(&self) -> bool {
        self.unhealthy.is_empty()
    }

    /// One line per object that is not healthy.
    pub fn reasons(&self) -> Vec<String> {
        self.unhealthy.iter().map(|one| format!("{}: {}", one.key, one.reason)).collect()
    }
}
