//! The connected side of a row: a small repository in which `consign` builds, and which it must leave as it was.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use consign_format::Digest;
use consign_tests::command::{self, Invocation, Outcome};
use consign_tests::images::run;
use tempfile::TempDir;

use super::trial::{Refusal, Trial};

/// A repository with a `release.yaml`, manifests in `deploy/` and a development key.
pub(crate) struct Workshop {
    folder: TempDir,
}

const CONFIG_MAP: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: lamp}\ndata: {light: 'on'}\n";

impl Workshop {
    /// A repository with one config map.
    pub(crate) fn new() -> Self {
        Self::with_images("[]")
    }

    /// A repository whose images come by plain HTTP from these hosts, a YAML list.
    pub(crate) fn with_images(hosts: &str) -> Self {
        let workshop = Workshop { folder: tempfile::tempdir().unwrap() };
        fs::create_dir_all(workshop.path("tree/deploy")).unwrap();
        let release = format!(
            "apiVersion: consign.dev/v1\nproduct: lamp\nversion: 1.0.0\nsource: {{git: \".\", ref: main}}\n\
             kubernetes: {{version: \"1.33\"}}\nnamespace: lamp\nrender:\n  - path: deploy\n\
             images: {{platforms: [linux/amd64], plainHttp: {hosts}}}\n\
             rollout: {{onFailure: rollback, healthTimeout: 10s}}\n"
        );
        workshop.write("release.yaml", &release);
        workshop.write("deploy/light.yaml", CONFIG_MAP);
        workshop.git(&["init", "--quiet", "--initial-branch=main"]);
        workshop.consign(&["keys", "new", "--domain", "ward"]).succeeds();
        workshop
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file of the tree.
    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::write(self.path("tree").join(name), text).unwrap();
    }

    /// Appends to `release.yaml`.
    pub(crate) fn declare(&self, text: &str) {
        let file = self.path("tree/release.yaml");
        let before = fs::read_to_string(&file).unwrap();
        fs::write(file, before + text).unwrap();
    }

    fn git(&self, arguments: &[&str]) {
        run(Command::new("git")
            .args(["-c", "user.name=Ada", "-c", "user.email=ada@lamp.example", "-c", "commit.gpgsign=false"])
            .args(arguments)
            .current_dir(self.path("tree"))
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_SYSTEM", "/dev/null"));
    }

    pub(crate) fn consign(&self, arguments: &[&str]) -> Invocation {
        command::consign(arguments).in_folder(&self.path("tree")).env("HOME", self.folder.path())
    }

    /// Commits what is there and lets it be built.
    pub(crate) fn build(&self) -> Outcome {
        self.git(&["add", "--all", "deploy", "release.yaml"]);
        self.git(&["commit", "--quiet", "--allow-empty", "--message", "lamp"]);
        self.consign(&["build"]).run()
    }

    /// The one bundle.
    pub(crate) fn bundle(&self) -> PathBuf {
        self.path("tree/lamp-1.0.0.consign")
    }

    /// Everything in the tree but what Git keeps, and the lock: what the registry said on the way is written there before
    /// a layer is fetched, and holds the next build to it.
    fn files(&self) -> BTreeMap<PathBuf, Digest> {
        let mut found = BTreeMap::new();
        gather(&self.path("tree"), &mut found);
        found.remove(&self.path("tree/release.lock"));
        found
    }

    /// A build that must be refused, and leave no bundle and no draft behind.
    pub(crate) fn refuses(&self, trial: &mut Trial, what: &str, expected: Refusal<'_>) {
        let before = self.files();
        let outcome = self.build();
        trial.ends(what, &outcome, expected);
        assert_eq!(self.files(), before, "{what}: the folder has changed");
        trial.notes("no bundle written");
    }

    /// A build that must succeed.
    pub(crate) fn builds(&self, trial: &mut Trial, what: &str) {
        let outcome = self.build();
        trial.held(what, &outcome, 0);
        assert!(self.bundle().is_file(), "{what}: no bundle");
    }
}

fn gather(folder: &Path, found: &mut BTreeMap<PathBuf, Digest>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with(".git") {
            gather(&path, found);
        } else if path.is_file() {
            found.insert(path.clone(), Digest::of(&fs::read(&path).unwrap()));
        }
    }
}
