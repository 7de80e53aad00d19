//! What in a repository could be rendered, for `consign init`: charts, kustomizations, plain manifests.
//!
//! It reads names and a few fields and guesses; the person who runs `init` decides. The build guesses nothing.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use serde_json::Value;
use walkdir::WalkDir;

use crate::render::EntryKind;
use crate::yaml::{YamlLimits, parse_documents};

/// Folders that are never looked into.
const PASSED_BY: &[&str] = &["node_modules", "target", "vendor", "testdata", "test", "tests", "trust"];
/// How far down is looked, and how many files at most: a monorepo is not read through.
const DEPTH: usize = 8;
const FILES: usize = 20_000;
/// A larger file is no manifest anybody wrote; generated ones (CRDs) stay below.
const LARGEST: u64 = 16 << 20;
const KUSTOMIZATION: &[&str] = &["kustomization.yaml", "kustomization.yml", "Kustomization"];

/// Something that could be rendered.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Candidate {
    /// The path, from the folder that was searched; `.` for itself.
    pub path: String,
    /// What it is.
    pub kind: Kind,
    /// Why it is written as a comment only, if it is.
    pub left_out: Option<String>,
}

/// [`EntryKind`], in the order in which entries are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A kustomization.
    Kustomize,
    /// A chart.
    Helm,
    /// Manifests.
    Plain,
}

impl From<Kind> for EntryKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Kustomize => EntryKind::Kustomize,
            Kind::Helm => EntryKind::Helm,
            Kind::Plain => EntryKind::Plain,
        }
    }
}

/// What a search found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Detected {
    /// What could be rendered, kustomizations and charts first.
    pub candidates: Vec<Candidate>,
    /// Plain Secrets with data, as (namespace, name): they have to be declared.
    pub secrets: BTreeSet<(String, String)>,
}

#[derive(Default)]
struct Search {
    charts: Vec<PathBuf>,
    kustomizations: Vec<PathBuf>,
    manifests: Vec<PathBuf>,
}

/// Searches a folder.
pub fn detect(root: &Path) -> Detected {
    let search = walk(root);
    let mut detected = Detected::default();
    detected.candidates.extend(kustomizations(root, &search));
    let charts = search.charts.iter().map(|chart| candidate(root, chart, Kind::Helm));
    detected.candidates.extend(charts);
    plain(root, &search, &mut detected);
    detected.candidates.sort_by(|a, b| (a.kind, &a.path).cmp(&(b.kind, &b.path)));
    detected
}

fn candidate(root: &Path, path: &Path, kind: Kind) -> Candidate {
    let below = path.strip_prefix(root).unwrap_or(path);
    let shown = below.to_string_lossy().into_owned();
    let path = if shown.is_empty() { ".".to_owned() } else { shown };
    Candidate { path, kind, left_out: None }
}

fn walk(root: &Path) -> Search {
    let mut search = Search::default();
    let passes = |entry: &walkdir::DirEntry| {
        let name = entry.file_name().to_string_lossy();
        entry.depth() == 0 || !(name.starts_with('.') || PASSED_BY.contains(&name.as_ref()))
    };
    let entries = WalkDir::new(root).max_depth(DEPTH).sort_by_file_name().into_iter().filter_entry(passes);
    for entry in entries.take(FILES).filter_map(Result::ok) {
        let path = entry.path();
        if entry.file_type().is_dir() {
            let inside_chart = search.charts.iter().any(|chart| path.starts_with(chart));
            if path.join("Chart.yaml").is_file() && !inside_chart {
                search.charts.push(path.to_owned());
            } else if KUSTOMIZATION.iter().any(|name| path.join(name).is_file()) && !inside_chart {
                search.kustomizations.push(path.to_owned());
            }
        } else if entry.file_type().is_file() && is_yaml(path) {
            search.manifests.push(path.to_owned());
        }
    }
    search
}

fn is_yaml(path: &Path) -> bool {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let known = [".yaml", ".yml", ".json"].iter().any(|end| name.ends_with(end));
    known && name != crate::config::FILE && !KUSTOMIZATION.contains(&name.as_str())
}

/// Kustomizations that no other one builds on. Of several overlays of one base only one can be meant.
fn kustomizations(root: &Path, search: &Search) -> Vec<Candidate> {
    let used: Vec<(PathBuf, BTreeSet<PathBuf>)> =
        search.kustomizations.iter().map(|folder| (folder.clone(), refers_to(folder))).collect();
    let is_base = |folder: &PathBuf| used.iter().any(|(other, refers)| other != folder && refers.contains(folder));
    let tops: Vec<_> = used.iter().filter(|(folder, _)| !is_base(folder)).collect();
    let mut candidates = Vec::new();
    let mut taken: Vec<(&BTreeSet<PathBuf>, String)> = Vec::new();
    let mut ordered = tops.clone();
    ordered.sort_by_key(|(folder, _)| (preference(folder), folder.clone()));
    for (folder, refers) in ordered {
        let mut found = candidate(root, folder, Kind::Kustomize);
        let shared = taken.iter().find(|(other, _)| !other.is_disjoint(refers) && !refers.is_empty());
        match shared {
            Some((_, other)) => found.left_out = Some(format!("an alternative to {other}")),
            None => taken.push((refers, found.path.clone())),
        }
        candidates.push(found);
    }
    candidates
}

/// An overlay that sounds like production comes before others.
fn preference(folder: &Path) -> u8 {
    let name = folder.file_name().map(|name| name.to_string_lossy().to_lowercase()).unwrap_or_default();
    match name.as_str() {
        name if name.contains("prod") => 0,
        name if ["dev", "test", "stag", "local", "example"].iter().any(|word| name.contains(word)) => 2,
        _ => 1,
    }
}

/// The folders and files a kustomization builds on.
fn refers_to(folder: &Path) -> BTreeSet<PathBuf> {
    let mut refers = BTreeSet::new();
    for name in KUSTOMIZATION {
        for document in documents(&folder.join(name)) {
            for field in ["resources", "bases", "components"] {
                let entries = document[field].as_array().cloned().unwrap_or_default();
                refers.extend(entries.iter().filter_map(Value::as_str).map(|entry| lexical(&folder.join(entry))));
            }
        }
    }
    refers
}

/// Takes `.` and `..` out of a path without asking the file system.
fn lexical(path: &Path) -> PathBuf {
    let mut clean = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir if clean.file_name().is_some() => drop(clean.pop()),
            other => clean.push(other),
        }
    }
    clean
}

/// Manifests that belong to no chart and no kustomization: by folder where all of it is manifests, else by file.
fn plain(root: &Path, search: &Search, detected: &mut Detected) {
    let used: BTreeSet<PathBuf> = search.kustomizations.iter().flat_map(|folder| refers_to(folder)).collect();
    let belongs = |path: &Path| {
        let inside = |folders: &[PathBuf]| folders.iter().any(|folder| path.starts_with(folder));
        inside(&search.charts) || inside(&search.kustomizations) || used.contains(&lexical(path))
    };
    let (mut manifests, mut others) = (Vec::new(), BTreeSet::new());
    for path in search.manifests.iter().filter(|path| !belongs(path)) {
        let documents = documents(path);
        if !documents.is_empty() && documents.iter().all(is_object) {
            secrets(&documents, &mut detected.secrets);
            manifests.push(path);
        } else {
            others.extend(path.parent().map(Path::to_owned));
        }
    }
    let mixed = |folder: &Path| {
        folder == root
            || others.iter().any(|other| other.starts_with(folder))
            || search.charts.iter().chain(&search.kustomizations).any(|inner| inner.starts_with(folder))
    };
    let mut chosen: BTreeSet<PathBuf> = BTreeSet::new();
    for path in manifests {
        let folders = path.ancestors().skip(1).take_while(|folder| folder.starts_with(root));
        let whole = folders.take_while(|folder| !mixed(folder)).last();
        chosen.insert(whole.unwrap_or(path).to_owned());
    }
    detected.candidates.extend(chosen.iter().map(|path| candidate(root, path, Kind::Plain)));
}

fn documents(path: &Path) -> Vec<Value> {
    let small = std::fs::metadata(path).is_ok_and(|metadata| metadata.len() <= LARGEST);
    let bytes = if small { std::fs::read(path).unwrap_or_default() } else { Vec::new() };
    parse_documents(&bytes, path, &YamlLimits::default()).unwrap_or_default()
}

fn is_object(document: &Value) -> bool {
    document["apiVersion"].is_string() && document["kind"].is_string()
}

fn secrets(documents: &[Value], into: &mut BTreeSet<(String, String)>) {
    for document in documents.iter().filter(|document| document["kind"] == "Secret") {
        let has = |field: &str| document[field].as_object().is_some_and(|map| !map.is_empty());
        if has("data") || has("stringData") {
            let text = |field: &str| document["metadata"][field].as_str().unwrap_or_default().to_owned();
            into.insert((text("namespace"), text("name")));
        }
    }
}

#[cfg(test)]
mod tests;
