//! `[watch]` of site.toml: what `consign-site watch` does with a medium that appears.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::gates::Length;

/// How long a hook may take where nothing is said.
const HOOK: Duration = Duration::from_secs(60);

/// Where media appear, and how far is gone by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct WatchConfig {
    /// How far is gone by itself.
    pub mode: WatchMode,
    /// Bundles are looked for in these folders, and at the top of what is mounted below them.
    pub folders: Vec<PathBuf>,
    /// Receipts are copied here after every activation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub receipts: Option<PathBuf>,
    /// Copy them onto the medium too, into `consign-receipts`, where it can be written.
    pub receipts_on_medium: bool,
    /// Run after everything that happened, with the event as JSON on its standard input.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hook: Vec<String>,
    /// How long it may take; a minute where nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hook_timeout: Option<Length>,
}

/// How far `consign-site watch` goes by itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WatchMode {
    /// Verified and staged; activating is for a person.
    Stage,
    /// A person asks for the activation once; when it may begin is for windows and interlock.
    #[default]
    Confirm,
    /// What is staged is activated as soon as the windows are open.
    Window,
}

impl Default for WatchConfig {
    fn default() -> Self {
        let folders = ["/run/consign/media", "/media", "/run/media", "/mnt"].map(PathBuf::from).to_vec();
        let (mode, receipts, receipts_on_medium, hook) = (WatchMode::default(), None, false, Vec::new());
        WatchConfig { mode, folders, receipts, receipts_on_medium, hook, hook_timeout: None }
    }
}

impl WatchConfig {
    /// The folders to look into. The usual ones lie below the root folder; those that somebody named are where he said.
    pub fn places(&self, root: &Path) -> Vec<PathBuf> {
        let usual = WatchConfig::default().folders;
        if self.folders != usual {
            return self.folders.clone();
        }
        usual.iter().map(|folder| root.join(folder.strip_prefix("/").unwrap_or(folder))).collect()
    }

    /// A hook that takes longer is ended.
    pub fn hook_limit(&self) -> Duration {
        self.hook_timeout.map_or(HOOK, |length| length.0.unsigned_abs())
    }

    pub(crate) fn is_default(&self) -> bool {
        *self == WatchConfig::default()
    }
}
