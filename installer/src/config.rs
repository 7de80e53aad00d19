//! `/etc/consign/site.toml`: what the administrator of this site decides. Nothing signed can change it.

use std::path::{Path, PathBuf};

use clap::ValueEnum;
use consign_format::error::{Code, Coded, codes};
use consign_registry::durable::{DurableError, create_dir, write_file};
use serde::{Deserialize, Serialize};

use crate::allow::Allow;
use crate::store::StoreError;
use crate::store::state_file::read_bytes;

mod apply;
pub mod check;
mod diagnose;
mod drift;
pub mod gates;
mod nodes;
mod registry;
pub mod tenant;
mod watch;

pub use apply::{ApplyConfig, Conflicts, PrePull};
pub use diagnose::DiagnoseConfig;
pub use drift::{DriftConfig, DriftMode};
pub use gates::{InterlockConfig, WindowConfig};
pub use nodes::NodesConfig;
pub use registry::{ExistingRegistry, LoginFile, RegistryConfig};
pub use tenant::{Namespace, TenantConfig};
pub use watch::{WatchConfig, WatchMode};

/// No configuration is this long.
const LIMIT: u64 = 1 << 20;

/// Who converges the cluster. Fixed when the site is set up, not guessed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum HandoffKind {
    /// This program applies the objects itself, in stages, and waits until they are healthy.
    #[default]
    Direct,
    /// The objects are written into a folder, one file each, for somebody else to apply.
    Export,
}

/// The site's configuration. Unknown fields are errors: a typing mistake must not become a default.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct SiteConfig {
    /// Who converges the cluster.
    pub handoff: HandoffKind,
    /// The kubeconfig of the handoff `direct`; without it, the usual places are looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kubeconfig: Option<PathBuf>,
    /// Where the handoff `export` writes; without it, `ROOT/var/lib/consign/export`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub export_dir: Option<PathBuf>,
    /// Take only bundles that somebody whom the root names has attested to be scanned for malware.
    pub require_scan: bool,
    /// Where this site has one namespace in a cluster of somebody else.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant: Option<TenantConfig>,
    /// What a release may hold; without it, everything.
    #[serde(skip_serializing_if = "Allow::is_everything")]
    pub allow: Allow,
    /// How the handoff `direct` applies.
    #[serde(skip_serializing_if = "ApplyConfig::is_unsaid")]
    pub apply: ApplyConfig,
    /// Looking after what is installed.
    #[serde(skip_serializing_if = "DriftConfig::is_unsaid")]
    pub drift: DriftConfig,
    /// Files of a release at their places.
    #[serde(skip_serializing_if = "FilesConfig::is_default")]
    pub files: FilesConfig,
    /// When releases may be activated; at any time, where nothing is said.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub windows: Vec<WindowConfig>,
    /// How it is known that what is driven by this cluster is in use.
    #[serde(skip_serializing_if = "InterlockConfig::is_unsaid")]
    pub interlock: InterlockConfig,
    /// What is done with a medium that appears.
    #[serde(skip_serializing_if = "WatchConfig::is_default")]
    pub watch: WatchConfig,
    /// The registry that nodes pull from.
    pub registry: RegistryConfig,
    /// The nodes.
    #[serde(skip_serializing_if = "NodesConfig::is_unsaid")]
    pub nodes: NodesConfig,
    /// For whom a diagnosis is encrypted.
    #[serde(skip_serializing_if = "DiagnoseConfig::is_unsaid")]
    pub diagnose: DiagnoseConfig,
}

/// How files of a release are placed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct FilesConfig {
    /// Take over files that others put where a release has its own; they are kept, and come back when ours goes.
    pub adopt: bool,
}

impl FilesConfig {
    fn is_default(&self) -> bool {
        *self == FilesConfig::default()
    }
}

impl Default for SiteConfig {
    fn default() -> Self {
        SiteConfig {
            handoff: HandoffKind::Direct,
            kubeconfig: None,
            export_dir: None,
            tenant: None,
            require_scan: false,
            allow: Allow::default(),
            apply: ApplyConfig::default(),
            drift: DriftConfig::default(),
            files: FilesConfig::default(),
            windows: Vec::new(),
            interlock: InterlockConfig::default(),
            watch: WatchConfig::default(),
            registry: RegistryConfig::default(),
            nodes: NodesConfig::default(),
            diagnose: DiagnoseConfig::default(),
        }
    }
}

/// The configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// It cannot be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It is no configuration.
    #[error("{} cannot be used", path.display())]
    Form {
        /// The file.
        path: PathBuf,
        /// What is wrong, with the line.
        source: Box<toml::de::Error>,
    },
    /// It is not text.
    #[error("{} is not UTF-8", path.display())]
    Text {
        /// The file.
        path: PathBuf,
    },
    /// A configuration cannot be written down.
    #[error("cannot write the configuration down")]
    Unwritable(#[from] toml::ser::Error),
}

impl From<DurableError> for ConfigError {
    fn from(error: DurableError) -> Self {
        ConfigError::Store(error.into())
    }
}

impl Coded for ConfigError {
    fn code(&self) -> Code {
        match self {
            ConfigError::Store(error) => error.code(),
            _ => codes::SITE_CONFIG,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            ConfigError::Store(error) => error.hint(),
            _ => Some("docs/site.md lists what the file may say".to_owned()),
        }
    }
}

impl SiteConfig {
    /// Reads the configuration; where there is none, the defaults hold.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let Some(bytes) = read_bytes(path, LIMIT)? else { return Ok(SiteConfig::default()) };
        let text = String::from_utf8(bytes).map_err(|_| ConfigError::Text { path: path.to_owned() })?;
        toml::from_str(&text).map_err(|source| ConfigError::Form { path: path.to_owned(), source: Box::new(source) })
    }

    /// What a release may hold here: what `[allow]` says, and of a tenant never more than its namespace.
    pub fn allowed(&self) -> Allow {
        Allow { tenant: self.tenant.as_ref().map(|tenant| tenant.namespace.to_string()), ..self.allow.clone() }
    }

    /// Writes the configuration, unless there is one: what an administrator wrote is never touched.
    pub fn write_new(&self, path: &Path) -> Result<bool, ConfigError> {
        if path.exists() {
            return Ok(false);
        }
        if let Some(folder) = path.parent() {
            create_dir(folder, 0o755)?;
        }
        let head = "# The administrator's decisions for this site; docs/site.md explains each.\n\
                    # A flag on the command line beats the environment, and that beats this file.\n";
        write_file(path, format!("{head}{}", toml::to_string(self)?).as_bytes(), 0o644)?;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_never_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("etc/consign/site.toml");
        assert_eq!(SiteConfig::read(&path).unwrap(), SiteConfig::default());
        let config = SiteConfig { handoff: HandoffKind::Export, ..SiteConfig::default() };
        assert!(config.write_new(&path).unwrap());
        assert!(!SiteConfig::default().write_new(&path).unwrap());
        assert_eq!(SiteConfig::read(&path).unwrap(), config);
    }

    #[test]
    fn a_typing_mistake_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("site.toml");
        for text in [
            "handof = \"export\"",
            "handoff = \"exports\"",
            "[registry]\nlisten = \"localhost\"",
            "\u{0}",
            "[apply]\nadopt = [\"argo\"]",
        ] {
            std::fs::write(&path, text).unwrap();
            assert_eq!(SiteConfig::read(&path).unwrap_err().code(), codes::SITE_CONFIG, "{text}");
        }
    }
}
