//! Kustomizations, rendered by `kustomize build` or `kubectl kustomize`, whichever is there.
//!
//! Kustomize would fetch what a kustomization names on the network. It is kept from doing so, and before
//! that the kustomizations are read, so that the error names the entry and not a failed connection.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::sandbox::{Home, Sandbox};
use super::{KUSTOMIZATION, RenderError, Work};
use crate::object::Object;
use crate::tool::ToolError;
use crate::yaml::{YamlLimits, parse_one};

pub(super) fn render(work: &Work<'_>, sandbox: &mut Sandbox<'_>) -> Result<Vec<Object>, RenderError> {
    Scan { work, seen: BTreeSet::new() }.folder(work.path)?;
    let home = home(work)?;
    let (program, mut arguments) = tool(work, sandbox, &home)?;
    arguments.push(work.path.into());
    let output = sandbox.run(&program, &arguments, &home).map_err(|error| work.tool(error))?;
    work.objects(&output.stdout)
}

fn home(work: &Work<'_>) -> Result<Home, RenderError> {
    Home::new("UTC").map_err(|source| RenderError::Read { path: work.path.to_owned(), source })
}

/// Finds the tool and the words that make it build, and records its version.
fn tool(work: &Work<'_>, sandbox: &mut Sandbox<'_>, home: &Home) -> Result<(PathBuf, Vec<OsString>), RenderError> {
    let words = |words: &[&str]| words.iter().map(OsString::from).collect::<Vec<_>>();
    let (program, build, version) = if let Some(program) = sandbox.find("kustomize") {
        (program, words(&["build"]), words(&["version"]))
    } else if let Some(program) = sandbox.find("kubectl") {
        (program, words(&["kustomize"]), words(&["version", "--client", "--output=json"]))
    } else {
        return Err(work.tool(ToolError::Missing {
            program: "kustomize",
            remedy: "install kustomize (https://kubectl.docs.kubernetes.io/installation/kustomize/) or kubectl, which \
                     brings it",
        }));
    };
    if !sandbox.is_recorded("kustomize") {
        let said = sandbox.run(&program, &version, home).map_err(|error| work.tool(error))?;
        sandbox.record("kustomize", parse_version(&said.stdout));
    }
    Ok((program, build))
}

/// Reads `v5.5.0`, `{Version:v4.5.7 …}` or kubectl's JSON; what is recorded is Kustomize's version in any case.
fn parse_version(said: &[u8]) -> String {
    if let Ok(Value::Object(versions)) = serde_json::from_slice(said) {
        return versions.get("kustomizeVersion").and_then(Value::as_str).unwrap_or("unknown").to_owned();
    }
    let text = String::from_utf8_lossy(said);
    let digit = |at: &usize| text[at + 1..].starts_with(|c: char| c.is_ascii_digit());
    let start = text.match_indices('v').map(|(at, _)| at).find(digit).map_or("", |at| &text[at..]);
    let version: String = start.chars().take_while(|c| c.is_ascii_alphanumeric() || ".-+".contains(*c)).collect();
    if version.is_empty() { "unknown".to_owned() } else { version }
}

/// Fields whose entries are files, folders or URLs.
const LISTS: &[&str] = &[
    "resources",
    "bases",
    "components",
    "crds",
    "configurations",
    "generators",
    "transformers",
    "validators",
    "patchesStrategicMerge",
];
/// Lists of mappings with a `path`.
const PATHS: &[&str] = &["patches", "patchesJson6902", "replacements"];
/// Lists of mappings with lists of files, written `file` or `key=file`.
const GENERATORS: &[&str] = &["configMapGenerator", "secretGenerator"];

/// Reads a kustomization and everything in the tree that it builds on, without building anything.
struct Scan<'a> {
    work: &'a Work<'a>,
    seen: BTreeSet<PathBuf>,
}

impl Scan<'_> {
    fn folder(&mut self, folder: &Path) -> Result<(), RenderError> {
        let Some(file) = KUSTOMIZATION.iter().map(|name| folder.join(name)).find(|file| file.is_file()) else {
            // Named by a base that is missing; Kustomize says it better.
            return Ok(());
        };
        // Bases may be shared, and may wrongly name each other.
        let real = file.canonicalize().unwrap_or_else(|_| file.clone());
        if !self.seen.insert(real) {
            return Ok(());
        }
        let shown = self.work.shown(&file);
        let text = fs::read(&file).map_err(|source| RenderError::Read { path: shown.clone(), source })?;
        let kustomization = parse_one(&text, &shown, &YamlLimits::default())?;
        if !kustomization["helmCharts"].is_null() || !kustomization["helmChartInflationGenerator"].is_null() {
            return Err(self.work.unclear(
                "its kustomization inflates a Helm chart (`helmCharts`); vendor the chart and name it as an entry of its own",
            ));
        }
        for reference in references(&kustomization) {
            let path = folder.join(reference);
            self.work.checkout.vouch(&path)?;
            if path.is_dir() {
                self.folder(&path)?;
            } else if !path.exists() && is_remote(reference) {
                let (entry, reference) = (self.work.entry.path.clone(), reference.to_owned());
                return Err(RenderError::RemoteBase { entry, file: shown, reference });
            }
        }
        Ok(())
    }
}

/// Everything in a kustomization that Kustomize would open or fetch.
fn references(kustomization: &Value) -> Vec<&str> {
    let mut found = Vec::new();
    for field in LISTS {
        found.extend(texts(&kustomization[*field]));
    }
    for field in PATHS {
        found.extend(items(&kustomization[*field]).iter().filter_map(|item| item["path"].as_str()));
    }
    for item in GENERATORS.iter().flat_map(|field| items(&kustomization[*field])) {
        let files = texts(&item["files"]).chain(texts(&item["envs"])).chain(item["env"].as_str());
        found.extend(files.map(|file| file.split_once('=').map_or(file, |(_, path)| path)));
    }
    found.extend(kustomization["openapi"]["path"].as_str());
    // An entry with a line feed is a document written in place.
    found.retain(|reference| !reference.contains('\n'));
    found
}

fn items(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn texts(value: &Value) -> impl Iterator<Item = &str> {
    items(value).iter().filter_map(Value::as_str)
}

/// Tells whether Kustomize would take a reference for a URL or a Git repository (its repospec.go): a scheme, an
/// scp-like address, a well-known host, a `//` that splits repository and folder, or a `ref` query.
fn is_remote(reference: &str) -> bool {
    let lower = reference.to_ascii_lowercase();
    let scp = lower.split_once(':').is_some_and(|(host, path)| !host.contains('/') && !path.is_empty());
    let hosts = ["github.com/", "gitlab.com/", "bitbucket.org/", "dev.azure.com/"];
    lower.contains("://")
        || lower.contains("::")
        || scp
        || hosts.iter().any(|host| lower.starts_with(host))
        || lower.contains("?ref=")
        || lower.contains("?version=")
        || lower.contains("&ref=")
        || lower.contains(".git/")
        || lower.ends_with(".git")
        || lower.trim_start_matches("//").contains("//")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn versions_are_read_in_all_forms() {
        for (said, version) in [
            ("v5.5.0\n", "v5.5.0"),
            ("{Version:kustomize/v4.5.7 GitCommit:abc}", "v4.5.7"),
            ("{\"clientVersion\": {}, \"kustomizeVersion\": \"v5.5.0\"}", "v5.5.0"),
            ("(devel)", "unknown"),
        ] {
            assert_eq!(parse_version(said.as_bytes()), version, "{said}");
        }
    }

    #[test]
    fn everything_that_would_be_fetched_is_seen() {
        let kustomization = json!({
            "resources": ["a.yaml", "https://x/y.yaml", "apiVersion: v1\nkind: x"],
            "components": ["../c"],
            "patches": [{"path": "p.yaml"}, {"patch": "- op: add"}],
            "configMapGenerator": [{"files": ["key=f.txt", "g.txt"], "envs": ["e.env"]}],
            "openapi": {"path": "schema.json"}
        });
        assert_eq!(
            references(&kustomization),
            ["a.yaml", "https://x/y.yaml", "../c", "p.yaml", "f.txt", "g.txt", "e.env", "schema.json"]
        );
    }

    #[test]
    fn remote_references_are_known_by_their_form() {
        for remote in [
            "https://example.com/a.yaml",
            "github.com/org/repo",
            "git@github.com:org/repo.git",
            "org-1234@github.com:org/repo",
            "ssh://git@x/y",
            "example.com/org/repo.git",
            "example.com/org/repo//base?ref=v1",
            "git::https://x/y",
        ] {
            assert!(is_remote(remote), "{remote}");
        }
        for local in ["../base", "a.yaml", "./x/y", "base/github.com", "/abs/path"] {
            assert!(!is_remote(local), "{local}");
        }
    }
}
