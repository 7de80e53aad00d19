//! The DAG of the crates, and what must never be linked where (DESIGN: "The house").

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::OnceLock;

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, PackageId};
use consign_tests::generated::root;

/// What each crate may use of the house in its programs and libraries.
const MAY_USE: &[(&str, &[&str])] = &[
    ("consign-format", &[]),
    ("consign-terminal", &["consign-format"]),
    ("consign-registry", &["consign-format"]),
    ("consign-sealed", &["consign-format"]),
    ("consign-bundler", &["consign-format", "consign-registry", "consign-sealed", "consign-terminal"]),
    ("consign-installer", &["consign-format", "consign-registry", "consign-sealed", "consign-terminal"]),
    (
        "consign-tests",
        &[
            "consign-bundler",
            "consign-format",
            "consign-installer",
            "consign-registry",
            "consign-sealed",
            "consign-terminal",
        ],
    ),
    ("xtask", &[]),
];

/// Nowhere in the graph: a second TLS stack, a Git library, an unmaintained parser.
const NEVER: &[&str] =
    &["openssl", "openssl-sys", "native-tls", "aws-lc-rs", "aws-lc-sys", "git2", "gix", "serde_yaml", "tough"];

/// Nowhere below `format`: it has no network, no runtime, no terminal, no files of its own.
const NEVER_IN_FORMAT: &[&str] = &[
    "tokio",
    "hyper",
    "reqwest",
    "http",
    "axum",
    "kube",
    "oci-client",
    "rustls",
    "clap",
    "indicatif",
    "rustix",
    "tempfile",
    "walkdir",
    "getrandom",
    "jiff",
    "chrono",
    "time",
    "serde-saphyr",
    "toml",
    "age",
    "rand",
];

/// Nothing that the installer asks for itself: it renders nothing, parses no YAML, pulls from nobody.
const NEVER_ASKED_FOR_BY_INSTALLER: &[&str] = &["serde-saphyr", "oci-client", "docker_credential", "tar", "walkdir"];

fn metadata() -> &'static Metadata {
    static METADATA: OnceLock<Metadata> = OnceLock::new();
    METADATA.get_or_init(|| {
        // One platform: crates for other systems need not even be downloaded here.
        let platform = ["--locked", "--filter-platform", "x86_64-unknown-linux-gnu"].map(str::to_owned);
        MetadataCommand::new().current_dir(root()).other_options(platform).exec().unwrap()
    })
}

/// The direct dependencies of a workspace crate that end up in its programs (no tests, no build scripts).
fn direct(name: &str) -> BTreeSet<String> {
    let package = metadata().workspace_packages().into_iter().find(|package| package.name == name).unwrap();
    let normal = package.dependencies.iter().filter(|dependency| dependency.kind == DependencyKind::Normal);
    normal.map(|dependency| dependency.name.clone()).collect()
}

/// Everything that is linked into a crate's programs, itself included.
fn linked(name: &str) -> BTreeSet<String> {
    let nodes: BTreeMap<&PackageId, _> =
        metadata().resolve.as_ref().unwrap().nodes.iter().map(|node| (&node.id, node)).collect();
    let package = metadata().workspace_packages().into_iter().find(|package| package.name == name).unwrap();
    let (mut seen, mut next) = (BTreeSet::new(), vec![&package.id]);
    while let Some(id) = next.pop() {
        if seen.insert(id) {
            let normal =
                |dep: &&cargo_metadata::NodeDep| dep.dep_kinds.iter().any(|kind| kind.kind == DependencyKind::Normal);
            next.extend(nodes[id].deps.iter().filter(normal).map(|dep| &dep.pkg));
        }
    }
    seen.into_iter().map(|id| metadata()[id].name.to_string()).collect()
}

fn found<'a>(forbidden: &[&'a str], in_crates: &BTreeSet<String>) -> Vec<&'a str> {
    forbidden.iter().filter(|name| in_crates.contains(**name)).copied().collect()
}

#[test]
fn crates_know_only_what_lies_below_them() {
    let members: BTreeSet<&str> = metadata().workspace_packages().iter().map(|package| package.name.as_str()).collect();
    let listed: BTreeSet<&str> = MAY_USE.iter().map(|(name, _)| *name).collect();
    assert_eq!(members, listed, "a new crate needs its place in MAY_USE and in docs/architecture.md");
    for (name, may_use) in MAY_USE {
        let uses: Vec<String> = direct(name).into_iter().filter(|used| members.contains(used.as_str())).collect();
        for used in uses {
            assert!(may_use.contains(&used.as_str()), "{name} must not depend on {used}");
        }
    }
}

#[test]
fn neither_program_contains_the_other() {
    for (program, other) in [("consign-bundler", "consign-installer"), ("consign-installer", "consign-bundler")] {
        assert!(!linked(program).contains(other), "{program} links {other}");
    }
}

#[test]
fn nothing_forbidden_is_in_the_graph() {
    let all: BTreeSet<String> = metadata().packages.iter().map(|package| package.name.to_string()).collect();
    let ours: BTreeSet<String> = MAY_USE.iter().flat_map(|(name, _)| direct(name)).collect();
    assert_eq!(found(NEVER, &all), [""; 0]);
    assert_eq!(found(&["anyhow", "eyre"], &ours), [""; 0], "errors are typed here");
}

/// With these features serde_json reads an object with a key of its own (`$serde_json::private::…`) as something else
/// than an object: a document would mean one thing here and another to every other reader.
#[test]
fn json_means_what_it_means_to_others() {
    let package = metadata().packages.iter().find(|package| package.name == "serde_json").unwrap();
    let node = metadata().resolve.as_ref().unwrap().nodes.iter().find(|node| node.id == package.id).unwrap();
    let enabled: Vec<String> = node.features.iter().map(ToString::to_string).collect();
    for magic in ["raw_value", "arbitrary_precision"] {
        assert!(!enabled.iter().any(|feature| feature == magic), "{magic} is on, see Cargo.toml: {enabled:?}");
    }
    let odd = r#"{"$serde_json::private::RawValue":"[1]"}"#;
    assert!(serde_json::from_str::<serde_json::Value>(odd).unwrap().is_object());
}

#[test]
fn the_format_is_pure() {
    assert_eq!(found(NEVER_IN_FORMAT, &linked("consign-format")), [""; 0]);
    // What the standard library offers cannot be seen in a graph.
    let impure = ["std::env", "std::net", "std::process", "std::fs::", "SystemTime::now", "Instant::now", "println!"];
    for (path, text) in sources(&root().join("format/src")) {
        // Test modules come last in a file and may use files.
        let code = text.split("#[cfg(test)]").next().unwrap();
        let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
        for line in lines {
            for word in impure.iter().chain(&["async fn"]) {
                assert!(!line.contains(word), "{path}: `{word}` in `{}`", line.trim());
            }
        }
    }
}

#[test]
fn the_site_asks_for_no_renderer_and_no_puller() {
    assert_eq!(found(NEVER_ASKED_FOR_BY_INSTALLER, &direct("consign-installer")), [""; 0]);
}

#[test]
fn every_dependency_is_pinned_in_one_place() {
    for (name, _) in MAY_USE {
        let manifest = fs::read_to_string(metadata_manifest(name)).unwrap();
        let of_others = manifest.lines().filter(|line| line.contains("version = \"") || line.contains("path = \"../"));
        assert_eq!(of_others.collect::<Vec<_>>(), [""; 0], "{name}: versions belong into the root Cargo.toml");
    }
}

fn metadata_manifest(name: &str) -> &'static Path {
    let package = metadata().workspace_packages().into_iter().find(|package| package.name == name).unwrap();
    package.manifest_path.as_std_path()
}

/// All Rust files under a folder, with their paths for messages.
fn sources(folder: &Path) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push((path.display().to_string(), fs::read_to_string(&path).unwrap()));
        }
    }
    assert!(!found.is_empty(), "no sources in {}", folder.display());
    found
}
