//! Renders what is in the commit's tree to Kubernetes objects, on the connected side and nowhere else.
//!
//! Charts and kustomizations are rendered by the real `helm` and `kustomize`, so that the result is what
//! people get by hand. They run without network, without plugins, with an empty home, within bounds; what
//! they say is read as data. Nothing of the site is known here.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Component, Path, PathBuf};

use consign_format::error::{Code, Coded, codes};
use consign_format::release::KubernetesTarget;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::object::{Object, ObjectError, Origin};
use crate::secrets::SecretEntry;
use crate::source::{Checkout, TreeError};
use crate::tool::{Environment, ToolError};
use crate::yaml::{YamlError, YamlLimits, parse_documents};

mod helm;
mod kustomize;
mod plain;
mod sandbox;

pub use sandbox::Isolation;
use sandbox::Sandbox;

/// One entry of `render` in `release.yaml`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RenderEntry {
    /// A file or folder in the commit: manifests, a kustomization, a chart or a packaged chart.
    pub path: String,
    /// How to render it; without it, what is there decides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<EntryKind>,
    /// How to render a chart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub helm: Option<HelmOptions>,
}

/// How an entry is rendered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum EntryKind {
    /// Manifests are read as they are.
    Plain,
    /// By `kustomize build`.
    Kustomize,
    /// By `helm template`.
    Helm,
}

impl fmt::Display for EntryKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            EntryKind::Plain => "plain",
            EntryKind::Kustomize => "kustomize",
            EntryKind::Helm => "helm",
        })
    }
}

/// What Helm is told.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HelmOptions {
    /// The name of the Helm release; without it the chart's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<String>,
    /// The namespace that templates see; without it the release's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Values files in the commit; the last one wins.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<String>,
}

/// What all entries are rendered for.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    /// The Kubernetes version and APIs that templates see.
    pub kubernetes: &'a KubernetesTarget,
    /// The namespace of the release.
    pub namespace: Option<&'a str>,
    /// The Secrets that `release.yaml` speaks of: a chart may make up what never leaves this machine.
    pub secrets: &'a [SecretEntry],
}

/// Rendered objects, not yet normalised.
#[derive(Debug)]
pub struct Rendered {
    /// All objects, in the order of the entries.
    pub objects: Vec<Object>,
    /// The tools that were used and their versions, for the lock.
    pub tools: BTreeMap<String, String>,
    /// Test hooks of charts that were left out.
    pub left_out: Vec<String>,
    /// How far the tools were kept from the network; nothing if none ran.
    pub isolation: Option<Isolation>,
}

/// Why an entry could not be rendered.
#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    /// The path of the entry cannot be used.
    #[error(transparent)]
    Path(#[from] TreeError),
    /// A tool is missing or failed.
    #[error("`{entry}` could not be rendered")]
    Tool {
        /// The entry's path.
        entry: String,
        /// What happened.
        source: ToolError,
    },
    /// Text that should be YAML is not.
    #[error(transparent)]
    Yaml(#[from] YamlError),
    /// A document is no object.
    #[error(transparent)]
    Object(#[from] ObjectError),
    /// It cannot be told how to render an entry, or it is told wrongly.
    #[error("`{entry}` of `render`: {reason}")]
    Unclear {
        /// The entry's path.
        entry: String,
        /// Why.
        reason: &'static str,
    },
    /// There is no manifest in an entry.
    #[error("`{entry}` of `render` holds no manifest")]
    Empty {
        /// The entry's path.
        entry: String,
    },
    /// A kustomization refers to something on the network.
    #[error("`{entry}`: {} refers to `{reference}` on the network", file.display())]
    RemoteBase {
        /// The entry's path.
        entry: String,
        /// The kustomization.
        file: PathBuf,
        /// What it refers to.
        reference: String,
    },
    /// A chart's dependency is not vendored.
    #[error("`{entry}`: the chart needs `{dependency}`, which is not in its charts/ folder")]
    Dependency {
        /// The entry's path.
        entry: String,
        /// The name of the dependency.
        dependency: String,
    },
    /// Rendering twice gave two results.
    #[error("`{entry}` renders differently each time: {object}{}", place(.field))]
    NotDeterministic {
        /// The entry's path.
        entry: String,
        /// The first object that differs.
        object: String,
        /// The first field in it that differs, as a JSON Pointer; empty if the object as a whole does.
        field: String,
    },
    /// A file could not be read.
    #[error("{} could not be read", path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// Files in an entry that are too large or too many.
    #[error("`{entry}` holds more than {limit} {what}")]
    TooMuch {
        /// The entry's path.
        entry: String,
        /// `files` or `bytes`.
        what: &'static str,
        /// The bound.
        limit: u64,
    },
}

fn place(field: &str) -> String {
    if field.is_empty() { String::new() } else { format!(" at {field}") }
}

impl Coded for RenderError {
    fn code(&self) -> Code {
        match self {
            RenderError::Path(error) => error.code(),
            RenderError::Tool { source, .. } => source.code(),
            RenderError::Yaml(error) => error.code(),
            RenderError::Object(error) => error.code(),
            RenderError::Unclear { .. } | RenderError::Empty { .. } => codes::ENTRY_UNCLEAR,
            RenderError::RemoteBase { .. } => codes::REMOTE_BASE,
            RenderError::Dependency { .. } => codes::CHART_DEPENDENCY_MISSING,
            RenderError::NotDeterministic { .. } => codes::RENDER_NOT_DETERMINISTIC,
            RenderError::Read { .. } => codes::IO,
            RenderError::TooMuch { .. } => codes::OVER_LIMIT,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            RenderError::Path(error) => error.hint(),
            RenderError::Tool { source, .. } => source.hint(),
            RenderError::Yaml(error) => error.hint(),
            RenderError::Object(error) => error.hint(),
            RenderError::Empty { .. } => Some("only files ending in .yaml, .yml or .json are read".to_owned()),
            RenderError::RemoteBase { .. } => Some(
                "copy it into the repository and refer to the copy; a release is made of one commit alone".to_owned(),
            ),
            RenderError::Dependency { entry, .. } => {
                Some(format!("run `helm dependency build {entry}` and commit its charts/ folder"))
            }
            RenderError::NotDeterministic { .. } => Some(
                "set in the values what the template makes up (passwords, certificates, dates), or declare a \
                 Secret of random data as `generate` under `secrets`"
                    .to_owned(),
            ),
            RenderError::Unclear { .. } | RenderError::Read { .. } | RenderError::TooMuch { .. } => None,
        }
    }
}

/// Renders all entries, in their order.
///
/// # Errors
/// [`RenderError`], naming the entry, the file or the object.
pub fn render(
    checkout: &Checkout,
    entries: &[RenderEntry],
    target: &Target<'_>,
    environment: &Environment,
) -> Result<Rendered, RenderError> {
    let mut rendered = Rendered { objects: Vec::new(), tools: BTreeMap::new(), left_out: Vec::new(), isolation: None };
    let mut sandbox = Sandbox::new(environment);
    for entry in entries {
        let path = checkout.find(&entry.path)?;
        let work = Work { checkout, entry, path: &path, target };
        let objects = match kind(entry, &path)? {
            EntryKind::Plain => plain::render(&work)?,
            EntryKind::Kustomize => kustomize::render(&work, &mut sandbox)?,
            EntryKind::Helm => helm::render(&work, &mut sandbox)?,
        };
        if objects.is_empty() {
            return Err(RenderError::Empty { entry: entry.path.clone() });
        }
        let (tests, objects): (Vec<_>, Vec<_>) = objects.into_iter().partition(helm::is_test);
        rendered.left_out.extend(tests.iter().map(|object| object.reference().to_string()));
        rendered.objects.extend(objects);
    }
    rendered.isolation = sandbox.isolation();
    rendered.tools = sandbox.into_versions();
    Ok(rendered)
}

/// One entry and all it takes to render it.
struct Work<'a> {
    checkout: &'a Checkout,
    entry: &'a RenderEntry,
    path: &'a Path,
    target: &'a Target<'a>,
}

impl Work<'_> {
    fn unclear(&self, reason: &'static str) -> RenderError {
        RenderError::Unclear { entry: self.entry.path.clone(), reason }
    }

    /// Tools speak of the temporary folder that the tree lies in; people know their repository.
    fn tool(&self, mut source: ToolError) -> RenderError {
        if let ToolError::Failed { source: said, .. } = &mut source {
            let tree = self.checkout.tree().display().to_string();
            said.0 = said.0.replace(&format!("{tree}/"), "").replace(&tree, ".");
        }
        RenderError::Tool { entry: self.entry.path.clone(), source }
    }

    /// A path in the tree as people know it: from the repository's root, without detours.
    fn shown(&self, path: &Path) -> PathBuf {
        let mut shown = PathBuf::new();
        for part in path.strip_prefix(self.checkout.tree()).unwrap_or(path).components() {
            if part == Component::ParentDir {
                shown.pop();
            } else {
                shown.push(part);
            }
        }
        shown
    }

    /// Reads what a tool has written.
    fn objects(&self, output: &[u8]) -> Result<Vec<Object>, RenderError> {
        let shown = PathBuf::from(format!("{} (rendered)", self.entry.path));
        let documents = parse_documents(output, &shown, &YamlLimits::default())?;
        let mut objects = Vec::new();
        for (at, document) in documents.into_iter().enumerate() {
            let origin = Origin { entry: self.entry.path.clone(), file: String::new(), document: at + 1 };
            objects.extend(Object::from_document(document, origin)?);
        }
        Ok(objects)
    }
}

/// The names a kustomization may have (kustomize, konfig.RecognizedKustomizationFileNames).
const KUSTOMIZATION: &[&str] = &["kustomization.yaml", "kustomization.yml", "Kustomization"];

/// Tells how a file or folder of the tree is rendered, from what is there. For `consign init` too.
///
/// # Errors
/// Nothing if it is no manifest, kustomization or chart; an explanation if it could be two.
pub fn detect(path: &Path) -> Result<Option<EntryKind>, &'static str> {
    if path.is_file() {
        let name = path.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
        if name.ends_with(".tgz") || name.ends_with(".tar.gz") {
            return Ok(Some(EntryKind::Helm));
        }
        return Ok(plain::is_manifest(path).then_some(EntryKind::Plain));
    }
    let chart = path.join("Chart.yaml").is_file();
    let kustomization = KUSTOMIZATION.iter().any(|name| path.join(name).is_file());
    match (chart, kustomization) {
        (true, true) => Err("it holds a chart and a kustomization; say `kind: helm` or `kind: kustomize`"),
        (true, false) => Ok(Some(EntryKind::Helm)),
        (false, true) => Ok(Some(EntryKind::Kustomize)),
        (false, false) => Ok(path.is_dir().then_some(EntryKind::Plain)),
    }
}

fn kind(entry: &RenderEntry, path: &Path) -> Result<EntryKind, RenderError> {
    let unclear = |reason| RenderError::Unclear { entry: entry.path.clone(), reason };
    let kind = match entry.kind {
        Some(kind) => kind,
        None => detect(path)
            .map_err(unclear)?
            .ok_or_else(|| unclear("it is neither YAML, JSON, a packaged chart (.tgz) nor a folder"))?,
    };
    if entry.helm.is_some() && kind != EntryKind::Helm {
        return Err(unclear("it has `helm` options and is no chart"));
    }
    Ok(kind)
}

#[cfg(test)]
mod tests;
