//! Manifests that are read as they are: one file, or every `.yaml`, `.yml` and `.json` file below a folder,
//! as `kubectl apply --recursive -f` takes them, in the order of their paths.

use std::fs;
use std::path::Path;

use walkdir::WalkDir;

use super::{KUSTOMIZATION, RenderError, Work};
use crate::object::{Object, Origin};
use crate::yaml::{YamlLimits, parse_documents};

/// Files in one entry. Nobody keeps more in one folder.
const FILES: usize = 50_000;

pub(super) fn render(work: &Work<'_>) -> Result<Vec<Object>, RenderError> {
    if work.path.is_file() {
        return read(work, work.path);
    }
    let mut objects = Vec::new();
    let mut files = 0;
    // Links were checked when the tree was written: none leads out of it. A loop of folders is an error.
    for entry in WalkDir::new(work.path).follow_links(true).sort_by_file_name() {
        let entry = entry.map_err(|error| RenderError::Read {
            path: error.path().map_or_else(|| work.path.to_owned(), Path::to_owned),
            source: error.into(),
        })?;
        let path = entry.path();
        if !entry.file_type().is_file() || !is_manifest(path) {
            continue;
        }
        if path.file_name().and_then(|name| name.to_str()).is_some_and(|name| KUSTOMIZATION.contains(&name)) {
            return Err(work.unclear(
                "a folder in it holds a kustomization, which is no manifest; name that folder, or the manifests, alone",
            ));
        }
        files += 1;
        if files > FILES {
            return Err(RenderError::TooMuch { entry: work.entry.path.clone(), what: "files", limit: FILES as u64 });
        }
        objects.extend(read(work, path)?);
    }
    Ok(objects)
}

/// Tells whether a file is read as a manifest, by its name.
pub(super) fn is_manifest(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending == "yaml" || ending == "yml" || ending == "json")
}

fn read(work: &Work<'_>, path: &Path) -> Result<Vec<Object>, RenderError> {
    let shown = work.shown(path);
    let limits = YamlLimits::default();
    let refuse = |source| RenderError::Read { path: shown.clone(), source };
    if path.metadata().map_err(refuse)?.len() > limits.bytes as u64 {
        let (entry, limit) = (work.entry.path.clone(), limits.bytes as u64);
        return Err(RenderError::TooMuch { entry, what: "bytes in a file", limit });
    }
    let text = fs::read(path).map_err(refuse)?;
    let mut objects = Vec::new();
    for (at, document) in parse_documents(&text, &shown, &limits)?.into_iter().enumerate() {
        let file = shown.to_string_lossy().into_owned();
        let origin = Origin { entry: work.entry.path.clone(), file, document: at + 1 };
        objects.extend(Object::from_document(document, origin)?);
    }
    Ok(objects)
}
