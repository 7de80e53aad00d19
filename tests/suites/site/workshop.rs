//! Headquarters of a test: a root, and releases of one ConfigMap, without images and so without a registry.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use consign_format::Digest;
use consign_format::trust::fingerprint;
use consign_tests::command::{self, Invocation};
use consign_tests::images::run;
use tempfile::TempDir;

pub(super) struct Workshop {
    folder: TempDir,
}

/// What follows the fixed part of `release.yaml`.
pub(super) const FOR_ALL: &str = "";
pub(super) const FOR_PRODUCTION: &str = "audience: {environments: [production]}\n";

impl Workshop {
    /// A folder with a development root of domain `lumen`.
    pub(super) fn new() -> Self {
        let workshop = Self { folder: tempfile::Builder::new().prefix("consign-workshop-").tempdir().unwrap() };
        let repository = workshop.at("repository");
        fs::create_dir_all(repository.join("deploy")).unwrap();
        workshop.commit("0");
        workshop.consign(["keys", "new", "--domain", "lumen"]).succeeds();
        workshop
    }

    pub(super) fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(super) fn consign<const N: usize>(&self, arguments: [&str; N]) -> Invocation {
        command::consign(arguments).in_folder(self.folder.path()).env("HOME", self.folder.path())
    }

    fn commit(&self, value: &str) {
        let repository = self.at("repository");
        let object =
            format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: settings}}\ndata: {{value: \"{value}\"}}\n");
        fs::write(repository.join("deploy/settings.yaml"), object).unwrap();
        for arguments in [&["init", "--quiet"][..], &["add", "--all"], &["commit", "--quiet", "--message", value]] {
            let who = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org", "-c", "commit.gpgsign=false"];
            run(Command::new("git").args(who).args(arguments).current_dir(&repository));
        }
    }

    /// Builds a release whose sequence is above all before; `more` are further lines of `release.yaml`.
    pub(super) fn build(&self, version: &str, more: &str) -> PathBuf {
        let release = format!(
            "apiVersion: consign.dev/v1\nproduct: viewer\nversion: {version}\nsource: {{git: repository}}\n\
             kubernetes: {{version: \"1.33\"}}\nnamespace: viewer\nrender: [{{path: deploy}}]\n\
             rollout: {{onFailure: rollback}}\n{more}"
        );
        fs::write(self.at("release.yaml"), release).unwrap();
        self.commit(version);
        let before = self.sequence();
        loop {
            // Sequences are seconds.
            self.consign(["lock", "--update"]).succeeds();
            if self.sequence() > before {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(200));
        }
        self.consign(["build"]).succeeds();
        self.at(&format!("viewer-{version}.consign"))
    }

    fn sequence(&self) -> u64 {
        let lock = fs::read_to_string(self.at("release.lock")).unwrap_or_default();
        let line = lock.lines().find_map(|line| line.trim_start_matches(['{', ' ', '"']).strip_prefix("sequence"));
        let digits: String = line.unwrap_or_default().chars().filter(char::is_ascii_digit).collect();
        digits.parse().unwrap_or(0)
    }

    pub(super) fn root(&self) -> PathBuf {
        self.at("trust/1.root.json")
    }

    pub(super) fn root_words(&self) -> String {
        words_of(&self.root())
    }

    /// A bundle of metadata with these statements.
    pub(super) fn carry(&self, name: &str, statements: &[&Path]) -> PathBuf {
        let bundle = self.at(name);
        self.consign(["carry", "--output"]).arg(&bundle).args(statements).succeeds();
        bundle
    }
}

/// The twelve words of a file.
pub(super) fn words_of(file: &Path) -> String {
    fingerprint::words(&Digest::of(&fs::read(file).unwrap()))
}
