//! Plain manifests and detection; what needs `helm` or `kustomize` is in `tests/suites/render.rs`.

use std::fs;
use std::process::Command;

use tempfile::TempDir;

use super::*;
use crate::source::{ExportLimits, SourceRequest};

/// A repository with these files, committed and opened.
fn checkout(files: &[(&str, &str)]) -> (TempDir, Checkout) {
    let folder = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    for arguments in [
        &["init", "-q"][..],
        &["add", "-A"],
        &["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "--allow-empty", "-m", "x"],
    ] {
        let mut git = Command::new("git");
        git.current_dir(folder.path()).args(arguments).env("GIT_CONFIG_GLOBAL", "/dev/null");
        assert!(git.status().unwrap().success());
    }
    let request = SourceRequest { location: ".", reference: None, base: folder.path(), verify: None };
    let checkout = crate::source::open(&request, &environment(), &ExportLimits::default()).unwrap();
    (folder, checkout)
}

fn environment() -> Environment {
    Environment::new(std::env::vars_os())
}

fn entry(path: &str) -> RenderEntry {
    RenderEntry { path: path.to_owned(), kind: None, helm: None }
}

fn rendered(files: &[(&str, &str)], entries: &[RenderEntry]) -> Result<Vec<String>, RenderError> {
    let (_repository, checkout) = checkout(files);
    let kubernetes = KubernetesTarget { version: "1.33".to_owned(), apis: Vec::new() };
    let target = Target { kubernetes: &kubernetes, namespace: Some("app"), secrets: &[] };
    // Without PATH: these must not need any tool.
    let rendered = render(&checkout, entries, &target, &Environment::default())?;
    assert_eq!((rendered.tools.len(), rendered.isolation), (0, None));
    Ok(rendered.objects.iter().map(|o| format!("{} {}", o.reference(), o.origin)).collect())
}

fn config(name: &str) -> String {
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\n")
}

#[test]
fn folders_are_read_as_kubectl_reads_them() {
    let two = format!("{}---\n# nothing\n---\n{}", config("b1"), config("b2"));
    let list = r#"{"apiVersion": "v1", "kind": "List", "items": [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "j"}}]}"#;
    let files = [
        ("deploy/z.yaml", config("z")),
        ("deploy/a/b.yml", two),
        ("deploy/a/list.json", list.to_owned()),
        ("deploy/README.md", "# not YAML: [".to_owned()),
        ("other/x.yaml", config("x")),
    ];
    let files: Vec<_> = files.iter().map(|(path, text)| (*path, text.as_str())).collect();
    assert_eq!(
        rendered(&files, &[entry("deploy"), entry("other/x.yaml")]).unwrap(),
        [
            "ConfigMap b1 deploy/a/b.yml, document 1",
            "ConfigMap b2 deploy/a/b.yml, document 2",
            "ConfigMap j deploy/a/list.json, document 1",
            "ConfigMap z deploy/z.yaml, document 1",
            "ConfigMap x other/x.yaml, document 1",
        ]
    );
}

#[test]
fn errors_name_the_file_as_it_is_in_the_repository() {
    let error = rendered(&[("deploy/a.yaml", "a: 1\na: 2\n")], &[entry("deploy")]).unwrap_err();
    assert_eq!(error.code(), codes::YAML_MALFORMED);
    assert!(error.to_string().starts_with("deploy/a.yaml:2:"), "{error}");
    let error = rendered(&[("deploy/values.yaml", "replicas: 1\n")], &[entry("deploy")]).unwrap_err();
    assert_eq!(error.code(), codes::OBJECT_MALFORMED);
    assert!(error.to_string().contains("deploy/values.yaml"), "{error}");
}

#[test]
fn unclear_entries_are_refused() {
    let files = [
        ("both/Chart.yaml", "name: x"),
        ("both/kustomization.yaml", "resources: []"),
        ("mixed/sub/kustomization.yaml", "resources: []"),
        ("empty/README.md", "x"),
        ("file.txt", "x"),
        ("chart/Chart.yaml", "name: x\nversion: 1.0.0\ndependencies: [{name: redis, version: 1.0.0}]\n"),
        ("remote/kustomization.yaml", "resources: [../base]\n"),
        ("base/kustomization.yaml", "resources: ['https://example.com/x.yaml']\n"),
    ];
    let plain = RenderEntry { kind: Some(EntryKind::Plain), helm: Some(HelmOptions::default()), ..entry("empty") };
    for (entry, code) in [
        (entry("both"), codes::ENTRY_UNCLEAR),
        (entry("mixed"), codes::ENTRY_UNCLEAR),
        (entry("empty"), codes::ENTRY_UNCLEAR),
        (entry("file.txt"), codes::ENTRY_UNCLEAR),
        (plain, codes::ENTRY_UNCLEAR),
        (entry("missing"), codes::PATH_NOT_FOUND),
        (entry("chart"), codes::CHART_DEPENDENCY_MISSING),
        (entry("remote"), codes::REMOTE_BASE),
    ] {
        let error = rendered(&files, std::slice::from_ref(&entry)).unwrap_err();
        assert_eq!(error.code(), code, "{}: {error}", entry.path);
    }
}

#[test]
fn a_missing_tool_is_named_with_the_way_to_get_it() {
    let files = [
        ("chart/Chart.yaml", "name: x\nversion: 1.0.0\n"),
        ("kustom/kustomization.yaml", "resources: [a.yaml]\n"),
        ("kustom/a.yaml", "x"),
    ];
    for (path, tool) in [("chart", "helm"), ("kustom", "kustomize")] {
        let error = rendered(&files, &[entry(path)]).unwrap_err();
        assert_eq!(error.code(), codes::TOOL_MISSING);
        let source = std::error::Error::source(&error).unwrap().to_string();
        assert!(source.contains(&format!("`{tool}`")), "{source}");
        assert!(error.hint().unwrap().contains("install"), "{error:?}");
    }
}
