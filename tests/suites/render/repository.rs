//! A Git repository with some files, rendered.

use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::Command;

use consign_bundler::object::Object;
use consign_bundler::render::{RenderEntry, RenderError, Rendered, Target, render};
use consign_bundler::secrets::SecretEntry;
use consign_bundler::source::{Checkout, ExportLimits, SourceRequest, open};
use consign_bundler::tool::Environment;
use consign_format::release::KubernetesTarget;
use consign_tests::skip;
use consign_tests::tools::Tool;
use tempfile::TempDir;

/// A repository whose files are all committed.
pub(crate) struct Repository(TempDir);

impl Repository {
    pub(crate) fn new(files: &[(&str, &str)]) -> Self {
        let repository = Repository(tempfile::tempdir().unwrap());
        for (path, text) in files {
            let path = repository.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        repository.git(&["init", "-q", "-b", "main"]);
        repository.git(&["config", "user.name", "a"]);
        repository.git(&["config", "user.email", "a@example.com"]);
        repository.commit();
        repository
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn commit(&self) {
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "--allow-empty", "-m", "x"]);
    }

    pub(crate) fn git(&self, arguments: &[&str]) -> String {
        let mut git = Command::new("git");
        git.current_dir(self.path()).args(arguments).env("GIT_CONFIG_GLOBAL", "/dev/null");
        let output = git.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    pub(crate) fn open(&self) -> Checkout {
        let request = SourceRequest { location: ".", reference: None, base: self.path(), verify: None };
        open(&request, &environment(&[]), &ExportLimits::default()).unwrap()
    }

    /// Renders entries, given as `release.yaml` has them, with only these tools within reach.
    pub(crate) fn render(&self, entries: serde_json::Value, tools: &[&Path]) -> Result<Rendered, RenderError> {
        self.render_with(entries, &[], tools)
    }

    pub(crate) fn render_with(
        &self,
        entries: serde_json::Value,
        secrets: &[SecretEntry],
        tools: &[&Path],
    ) -> Result<Rendered, RenderError> {
        let entries: Vec<RenderEntry> = serde_json::from_value(entries).unwrap();
        let kubernetes =
            KubernetesTarget { version: "1.33".to_owned(), apis: vec!["monitoring.coreos.com/v1".to_owned()] };
        let target = Target { kubernetes: &kubernetes, namespace: Some("app"), secrets };
        render(&self.open(), &entries, &target, &environment(tools))
    }
}

/// An environment in which Git and these tools are found.
fn environment(tools: &[&Path]) -> Environment {
    let folders = tools.iter().map(|tool| tool.parent().unwrap().to_owned());
    // `unshare` and `git`; a `kubectl` or `helm` of the machine comes last.
    let path = std::env::join_paths(folders.chain(["/usr/bin".into(), "/bin".into()])).unwrap();
    let home = std::env::var_os("HOME").unwrap_or_default();
    let token = (OsString::from("TOKEN"), OsString::from("a renderer must not see this"));
    Environment::new([(OsString::from("PATH"), path), (OsString::from("HOME"), home), token])
}

/// A tool of the kit, or nothing after saying so.
pub(crate) fn tool(tool: Tool) -> Option<std::path::PathBuf> {
    let got = tool.get();
    let why = got.as_ref().err().map(|error| error.to_string()).unwrap_or_default();
    skip::unless(got.is_ok(), &why, "install Go, or run `cargo xtask test`").then(|| got.unwrap())
}

/// `Kind namespace/name` of every object, sorted.
pub(crate) fn names(objects: &[Object]) -> Vec<String> {
    let mut names: Vec<_> = objects.iter().map(|object| object.reference().to_string()).collect();
    names.sort();
    names
}

/// Makes a file one that can be run.
pub(crate) fn executable(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}
