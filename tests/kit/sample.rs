//! Somebody's repository: `fixtures/sample` as a Git repository, in versions.
//!
//! Two repositories made alike have the same commits: dates and author are fixed, no setting of the machine is read.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::images::{self, run};
use crate::registry::DockerRegistry;

/// The version that `fixtures/sample` is of.
pub const FIRST_VERSION: &str = "2026.11.0";

/// The object that [`drop_network_policy`] takes away: kind, namespace and name.
pub const NETWORK_POLICY: (&str, &str, &str) = ("NetworkPolicy", "lumen", "archive-db");

/// A Git repository with a `release.yaml`.
#[derive(Debug)]
pub struct Repository {
    folder: PathBuf,
    version: String,
}

/// Makes `fixtures/sample` a repository in `folder`, which must not exist: one commit, tagged `v2026.11.0`.
pub fn repository(folder: &Path) -> Repository {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/sample");
    run(Command::new("cp").arg("-R").arg(fixture).arg(folder));
    Repository::of_folder(folder, FIRST_VERSION)
}

impl Repository {
    /// Makes a repository of what lies in `folder`: one commit, with the tag `vVERSION`.
    pub fn of_folder(folder: &Path, version: &str) -> Self {
        // Modes come from the test's umask otherwise, and Git keeps the executable bit.
        let tool = folder.join("tools/lumenctl");
        if tool.exists() {
            fs::set_permissions(&tool, fs::Permissions::from_mode(0o755)).expect("a file of our own");
        }
        let repository = Self { folder: folder.to_owned(), version: version.to_owned() };
        repository.git(&["init", "--quiet", "--initial-branch=main"]);
        repository.commit();
        repository
    }

    /// Its folder, with the working tree.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The version of the last commit.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The name of the bundle that a build of the last commit writes.
    pub fn bundle(&self) -> String {
        format!("lumen-{}.consign", self.version)
    }

    /// Commits a new version, after `change` had the tree. What [`Self::point_at`] wrote is gone then.
    pub fn next(&mut self, version: &str, change: impl FnOnce(&Path)) {
        self.git(&["checkout", "--quiet", "--", "release.yaml"]);
        replace(&self.folder.join("release.yaml"), &self.version, version);
        version.clone_into(&mut self.version);
        change(&self.folder);
        self.commit();
    }

    /// Lets the images of the working tree's `release.yaml` come from `registry` (as [`images::mirrors`]). The commits
    /// do not know of it: it is a matter of the machine that builds.
    pub fn point_at(&self, registry: &DockerRegistry) {
        let mut lines = format!("images:\n  plainHttp: ['{}']\n  mirrors:\n", registry.address());
        for (host, place) in images::mirrors(registry) {
            lines += &format!("    '{host}': '{place}'\n");
        }
        replace(&self.folder.join("release.yaml"), "images:\n", &lines);
    }

    /// Runs git in it and returns what it printed.
    pub fn git(&self, arguments: &[&str]) -> String {
        run(Command::new("git")
            .args(["-c", "user.name=Ada", "-c", "user.email=ada@lumen.example", "-c", "commit.gpgsign=false"])
            .args(arguments)
            .current_dir(&self.folder)
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_SYSTEM", "/dev/null")
            .env("GIT_AUTHOR_DATE", "2026-11-02T08:00:00Z")
            .env("GIT_COMMITTER_DATE", "2026-11-02T08:00:00Z"))
    }

    fn commit(&self) {
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--message", &format!("Lumen {}", self.version)]);
        self.git(&["tag", &format!("v{}", self.version)]);
    }
}

/// Takes [`NETWORK_POLICY`] out of the tree, and nothing else.
pub fn drop_network_policy(tree: &Path) {
    fs::remove_file(tree.join("deploy/plain/network.yaml")).expect("a file of the sample");
}

/// Lets the pods of the Deployment `router` never become ready, because their image can't be pulled.
pub fn break_router(tree: &Path) {
    let file = tree.join("deploy/plain/router.yaml");
    let (waiting, message) = (crate::cluster::pods::WAITING, crate::cluster::pods::MESSAGE);
    let broken = format!(
        "      labels: {{app: router}}\n      annotations:\n        {waiting}: ImagePullBackOff\n        {message}: no such \
         manifest\n    spec:\n"
    );
    replace(&file, "      labels: {app: router}\n    spec:\n", &broken);
}

/// Replaces every `from` in a file.
///
/// # Panics
/// If there is none: a change that changes nothing makes a test that tests nothing.
pub fn replace(file: &Path, from: &str, to: &str) {
    let text = fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    assert!(text.contains(from), "no `{from}` in {}", file.display());
    fs::write(file, text.replace(from, to)).expect("a file of our own");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_sample_has_the_same_commits() {
        let folder = tempfile::tempdir().unwrap();
        let heads = ["one", "two"].map(|name| {
            let mut repository = repository(&folder.path().join(name));
            repository.next("2026.11.1", drop_network_policy);
            repository.next("2026.11.2", break_router);
            assert_eq!(repository.git(&["tag"]).lines().count(), 3);
            repository.git(&["rev-parse", "v2026.11.0", "v2026.11.1", "v2026.11.2"])
        });
        assert_eq!(heads[0], heads[1]);
    }
}
