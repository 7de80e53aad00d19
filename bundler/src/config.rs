//! `release.yaml`: what people write about a release, read with positions and checked before anything is done.
//!
//! The types in here are the reference: their comments become the schema's descriptions and `docs/release-yaml.md`.
//! Nothing here looks at the file system beyond the one file; paths are checked for form only.

use std::collections::BTreeMap;
use std::path::Path;

use consign_format::error::{Code, Coded, codes};
use consign_format::release::{Installer, KubernetesTarget, OnFailure, Requirement, Service};
use consign_format::trust::Audience;
use consign_format::{Digest, Name};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::render::RenderEntry;
use crate::secrets::SecretEntry;
use crate::source::Verify;

mod check;

pub use check::{Config, FileRule, FileSource};

/// The name of the file in a repository.
pub const FILE: &str = "release.yaml";
/// The only `apiVersion`.
pub const API_VERSION: &str = "consign.dev/v1";

/// A release, as its author describes it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(title = "release.yaml")]
pub struct ReleaseFile {
    /// Always `consign.dev/v1`.
    pub api_version: String,
    /// What is delivered: lower-case letters, digits, `-` and `.`.
    pub product: Name,
    /// The version people speak of. It is part of the file name, and the tag of the state artifact.
    pub version: String,
    /// The line of versions this one belongs to, such as `1.2-lts`. A site follows one line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<Name>,
    /// The Git repository and what to read of it. Without it: the repository this file lies in, at `HEAD`.
    #[serde(default)]
    pub source: SourceEntry,
    /// The Kubernetes that the manifests are rendered for. A site checks it before it applies anything.
    pub kubernetes: KubernetesTarget,
    /// The namespace of objects that name none. It is created with the release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// What becomes the desired state: folders and files of plain YAML, kustomizations, Helm charts.
    #[serde(default)]
    pub render: Vec<RenderEntry>,
    /// Which images travel, and where they are fetched from.
    #[serde(default)]
    pub images: ImagesEntry,
    /// Files that travel beside the images, such as a program for the nodes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<FileEntry>,
    /// Services of nodes: units of systemd that depend on `files`. A site takes only those that its administrator names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub services: Vec<Service>,
    /// How Secrets come by their data. A Secret with data that is not declared here is refused.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<SecretEntry>,
    /// Products that must be installed first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub requires: Vec<Requirement>,
    /// The installed versions this release may follow, such as `>=2026.6`. Without it: any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upgrade_from: Option<String>,
    /// What a site does when it takes the release.
    #[serde(default)]
    pub rollout: RolloutEntry,
    /// Who may take the release. Without it: every site of the domain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audience: Option<Audience>,
}

/// `source`: the Git repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SourceEntry {
    /// A URL, or a path from the folder of `release.yaml`. Only the commit's tree is read, never a working copy.
    #[serde(default = "here")]
    pub git: String,
    /// The branch, tag or commit. Without it: `HEAD`.
    #[serde(default, rename = "ref", skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// Whose signature on the tag or commit is demanded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verify: Option<Verify>,
}

fn here() -> String {
    ".".to_owned()
}

impl Default for SourceEntry {
    fn default() -> Self {
        SourceEntry { git: here(), reference: None, verify: None }
    }
}

/// `images`: which images travel, and where they are fetched from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ImagesEntry {
    /// The platforms that travel of images with several, such as `linux/amd64`.
    pub platforms: Vec<String>,
    /// Further images that no manifest names, for instance those an operator starts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub include: Vec<String>,
    /// Fields of custom resources that hold an image, such as `MyKind.spec.image`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<FieldEntry>,
    /// Where a registry's images are fetched instead: host to `host[:port][/prefix]`. References stay as they are.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub mirrors: BTreeMap<String, String>,
    /// Registries (`host[:port]`) that are spoken to without TLS.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub plain_http: Vec<String>,
    /// Files with further certificate authorities (PEM), from the folder of `release.yaml`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ca: Vec<String>,
    /// Images that lie in folders or files instead of registries.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub from: Vec<FromEntry>,
}

impl Default for ImagesEntry {
    fn default() -> Self {
        ImagesEntry {
            platforms: vec!["linux/amd64".to_owned()],
            include: Vec::new(),
            fields: Vec::new(),
            mirrors: BTreeMap::new(),
            plain_http: Vec::new(),
            ca: Vec::new(),
            from: Vec::new(),
        }
    }
}

/// One entry of `images.fields`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum FieldEntry {
    /// The field alone: `MyKind.spec.image`, `example.com/MyKind.spec.parts[].image`.
    Path(String),
    /// A field that may not bear a digest.
    Rule(FieldRuleEntry),
}

/// A field with more to say about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FieldRuleEntry {
    /// The field, such as `MyKind.spec.image`.
    pub path: String,
    /// Whether the digest is written into the field; `false` where the operator behind it cannot read one.
    #[serde(default = "yes")]
    pub pin: bool,
}

fn yes() -> bool {
    true
}

/// One entry of `images.from`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FromEntry {
    /// An OCI layout folder, an OCI archive, or what `docker save` wrote; from the folder of `release.yaml`.
    pub path: String,
    /// Which references it stands for, and the name each has inside. Without it: the names inside are the references.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub references: BTreeMap<String, String>,
}

/// One entry of `files`: from the Git tree (`path`), or from this machine (`local`, with its `sha256`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FileEntry {
    /// A file of the Git tree.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// A file of this machine, from the folder of `release.yaml`. Needs `sha256`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local: Option<String>,
    /// What a local file must be: `sha256:` and 64 hexadecimal digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<Digest>,
    /// The absolute path at the site.
    pub to: String,
    /// The mode in octal. Write it in quotes.
    #[serde(default = "plain_mode")]
    pub mode: String,
    /// Whose the file is at the site: `USER` or `USER:GROUP`, each a number or a name that is known there. Only a site
    /// that runs as root can give a file away; without it, the file is of whoever runs `consign-site`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// For a `consign-site`: its platform and version. `consign-site upgrade` takes it out of the bundle.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub installer: Option<Installer>,
}

fn plain_mode() -> String {
    "0644".to_owned()
}

/// `rollout`: what a site does when it takes the release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct RolloutEntry {
    /// What happens when the release is not healthy in time: `rollback` or `halt`. A release with hook Jobs or
    /// StatefulSets must say it, because going back may lose what they wrote; others default to `rollback`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_failure: Option<OnFailure>,
    /// How long to wait for health, such as `10m` or `1h 30m`.
    pub health_timeout: String,
    /// Kinds that may be pruned although they hold data: `PersistentVolumeClaim`, `PersistentVolume`, `Namespace`,
    /// `CustomResourceDefinition`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allow_prune: Vec<String>,
    /// Whether going back would lose data, as after a database migration. Then no site goes back by itself.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub irreversible: bool,
}

impl Default for RolloutEntry {
    fn default() -> Self {
        RolloutEntry {
            on_failure: None,
            health_timeout: "10m".to_owned(),
            allow_prune: Vec::new(),
            irreversible: false,
        }
    }
}

/// Why a `release.yaml` cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// There is no such file.
    #[error("there is no {path}")]
    Missing {
        /// The file.
        path: String,
    },
    /// The file cannot be read.
    #[error("{path} cannot be read")]
    Io {
        /// The file.
        path: String,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The file is not YAML of the expected form.
    #[error("{file}, line {line}, column {column}: {reason}")]
    Form {
        /// The file.
        file: String,
        /// The line, from 1.
        line: u64,
        /// The column, from 1.
        column: u64,
        /// What is wrong.
        reason: String,
    },
    /// A field has a value that cannot be meant.
    #[error("{file}: `{field}`: {reason}")]
    Field {
        /// The file.
        file: String,
        /// The field, such as `files[0].mode`.
        field: String,
        /// What is wrong.
        reason: String,
    },
}

impl Coded for ConfigError {
    fn code(&self) -> Code {
        match self {
            ConfigError::Missing { .. } => codes::CONFIG_MISSING,
            ConfigError::Io { .. } => codes::IO,
            ConfigError::Form { .. } | ConfigError::Field { .. } => codes::CONFIG_MALFORMED,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            ConfigError::Missing { .. } => Some("run `consign init` in the repository".to_owned()),
            ConfigError::Form { .. } => Some("docs/release-yaml.md lists every field".to_owned()),
            _ => None,
        }
    }
}

/// Reads and checks `release.yaml`.
///
/// # Errors
/// [`ConfigError`], naming line and column for the form and the field for the meaning.
pub fn load(path: &Path) -> Result<Config, ConfigError> {
    let file = path.display().to_string();
    let text = std::fs::read_to_string(path).map_err(|source| match source.kind() {
        std::io::ErrorKind::NotFound => ConfigError::Missing { path: file.clone() },
        _ => ConfigError::Io { path: file.clone(), source },
    })?;
    parse(&file, &text)
}

/// Reads and checks the text of a `release.yaml`; `file` is what errors call it.
///
/// # Errors
/// As [`load`].
pub fn parse(file: &str, text: &str) -> Result<Config, ConfigError> {
    let options = serde_saphyr::options! { with_snippet: false };
    let release: ReleaseFile = serde_saphyr::from_str_with_options(text, options).map_err(|error| {
        let (line, column) = error.location().map_or((1, 1), |at| (at.line(), at.column()));
        ConfigError::Form { file: file.to_owned(), line, column, reason: plain(&error) }
    })?;
    check::check(release).map_err(|(field, reason)| ConfigError::Field { file: file.to_owned(), field, reason })
}

/// The reader's message without the position, which stands in front already.
pub(crate) fn plain(error: &serde_saphyr::Error) -> String {
    let text = error.to_string();
    let first = text.lines().next().unwrap_or_default();
    let first = first.strip_prefix("error: ").unwrap_or(first);
    let cut = first.find(" at line ").unwrap_or(first.len());
    first[..cut].trim_end_matches(['.', ':', ' ']).to_owned()
}

#[cfg(test)]
mod tests;
