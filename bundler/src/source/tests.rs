//! Held against real repositories made with the `git` at hand. Signatures, which need more programs, are in
//! `tests/suites/render/signatures.rs`.

use std::fs;
use std::path::Path;
use std::process::Command;

use consign_format::error::{Coded, codes};
use consign_format::release::SourceSignature;

use super::*;

/// A repository with a few commits.
struct Repository {
    folder: TempDir,
}

impl Repository {
    fn new() -> Self {
        let repository = Repository { folder: tempfile::tempdir().unwrap() };
        repository.git(&["init", "-q", "-b", "main"]);
        repository
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn git(&self, arguments: &[&str]) -> String {
        let mut command = Command::new("git");
        command.current_dir(self.path()).args(arguments).env_remove("GIT_DIR");
        command.env("HOME", self.path()).env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_CONFIG_GLOBAL", "/dev/null");
        for who in ["AUTHOR", "COMMITTER"] {
            command.env(format!("GIT_{who}_NAME"), "A").env(format!("GIT_{who}_EMAIL"), "a@example.com");
            command.env(format!("GIT_{who}_DATE"), "1700000000 +0000");
        }
        let output = command.output().unwrap();
        assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn commit(&self, message: &str) -> String {
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "-m", message]);
        self.git(&["rev-parse", "HEAD"])
    }

    fn open(&self, location: &str, reference: Option<&str>) -> Result<Checkout, SourceError> {
        let request = SourceRequest { location, reference, base: self.path(), verify: None };
        open(&request, &environment(), &ExportLimits::default())
    }
}

#[cfg(unix)]
fn executable(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

fn environment() -> Environment {
    Environment::new(std::env::vars_os())
}

#[test]
fn only_the_commit_is_read_never_the_working_copy() {
    let repository = Repository::new();
    repository.write(".gitattributes", "hidden.yaml export-ignore\nid.txt export-subst ident\n*.txt text eol=crlf\n");
    repository.write("hidden.yaml", "a: 1\n");
    repository.write("id.txt", "$Format:%H$ $Id$\n");
    repository.write("bin/run", "#!/bin/sh\n");
    executable(&repository.path().join("bin/run"));
    let commit = repository.commit("one");
    repository.write("id.txt", "changed\n");
    repository.write("new.txt", "new\n");
    repository.git(&["add", "new.txt"]);

    let checkout = repository.open(".", None).unwrap();
    let read = |path: &str| fs::read_to_string(checkout.tree().join(path)).unwrap();
    assert_eq!(read("id.txt"), "$Format:%H$ $Id$\n");
    assert_eq!(read("hidden.yaml"), "a: 1\n");
    assert!(!checkout.tree().join("new.txt").exists());
    let provenance = checkout.provenance();
    assert_eq!((provenance.commit.as_str(), provenance.reference.as_str()), (commit.as_str(), "HEAD"));
    assert_eq!(provenance.tree, repository.git(&["rev-parse", "HEAD^{tree}"]));
    assert_eq!((provenance.commit_time, &provenance.url), (1_700_000_000, &None));
    assert_eq!(provenance.signature, SourceSignature::Absent);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = |path: &str| checkout.tree().join(path).metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!((mode("bin/run"), mode("id.txt")), (0o755, 0o644));
    }
}

#[test]
fn branches_tags_and_commits_are_found_near_and_far() {
    let repository = Repository::new();
    repository.write("a", "1");
    let first = repository.commit("one");
    repository.git(&["tag", "light"]);
    repository.git(&["tag", "-a", "-m", "x", "v1"]);
    repository.git(&["branch", "old"]);
    repository.write("a", "2");
    let second = repository.commit("two");
    let far = format!("file://{}", repository.path().display());
    for location in [".", far.as_str()] {
        for (asked, commit) in [
            (None, &second),
            (Some("main"), &second),
            (Some("old"), &first),
            (Some("light"), &first),
            (Some("v1"), &first),
            (Some("refs/tags/v1"), &first),
            (Some(second.as_str()), &second),
            (Some(first.as_str()), &first),
        ] {
            let checkout = repository.open(location, asked).unwrap();
            assert_eq!(&checkout.provenance().commit, commit, "{location} {asked:?}");
            let expected = if *commit == first { "1" } else { "2" };
            assert_eq!(fs::read_to_string(checkout.tree().join("a")).unwrap(), expected);
        }
        assert_eq!(repository.open(location, Some("v9")).unwrap_err().code(), codes::REF_NOT_FOUND);
        let unknown = "0123456789012345678901234567890123456789";
        assert!(repository.open(location, Some(unknown)).is_err());
    }
    assert_eq!(repository.open(".", Some(&first[..9])).unwrap().provenance().commit, first);
    assert_eq!(repository.open("file:///nowhere/at/all", None).unwrap_err().code(), codes::SOURCE_UNREACHABLE);
    assert_eq!(repository.open("a", None).unwrap_err().code(), codes::SOURCE_UNREACHABLE);
}

#[test]
fn repositories_of_either_hash_are_read() {
    let repository = Repository { folder: tempfile::tempdir().unwrap() };
    repository.git(&["init", "-q", "-b", "main", "--object-format=sha256"]);
    repository.write("a", "1");
    let commit = repository.commit("one");
    assert_eq!(commit.len(), 64);
    let far = format!("file://{}", repository.path().display());
    for (location, reference) in [(".", None), (far.as_str(), Some("main")), (far.as_str(), Some(commit.as_str()))] {
        assert_eq!(repository.open(location, reference).unwrap().provenance().commit, commit);
    }
}

#[test]
fn replaced_objects_and_hooks_have_no_say() {
    let repository = Repository::new();
    repository.write("a", "1");
    let first = repository.commit("one");
    repository.write("a", "2");
    let second = repository.commit("two");
    repository.git(&["replace", &first, &second]);
    repository.git(&["config", "core.fsmonitor", "/bin/false"]);
    let checkout = repository.open(".", Some(&first)).unwrap();
    assert_eq!(fs::read_to_string(checkout.tree().join("a")).unwrap(), "1");
}

#[test]
fn a_folder_inside_a_repository_is_where_paths_start() {
    let repository = Repository::new();
    repository.write("teams/app/deploy/a.yaml", "");
    repository.write("base/b.yaml", "");
    repository.commit("one");
    let request =
        SourceRequest { location: ".", reference: None, base: &repository.path().join("teams/app"), verify: None };
    let checkout = open(&request, &environment(), &ExportLimits::default()).unwrap();
    assert_eq!(checkout.root(), checkout.tree().join("teams/app/"));
    assert!(checkout.find("deploy/a.yaml").is_ok());
    assert!(checkout.find("../../base").is_ok());
}

#[cfg(unix)]
#[test]
fn links_out_of_the_tree_are_refused_and_others_kept() {
    use std::os::unix::fs::symlink;
    let repository = Repository::new();
    repository.write("a/file", "x");
    symlink("a/file", repository.path().join("good")).unwrap();
    repository.commit("one");
    let checkout = repository.open(".", None).unwrap();
    assert_eq!(fs::read_to_string(checkout.tree().join("good")).unwrap(), "x");

    symlink("../../../etc/passwd", repository.path().join("a/bad")).unwrap();
    repository.commit("two");
    let error = repository.open(".", None).unwrap_err();
    assert_eq!(error.code(), codes::TREE_UNSAFE);
    assert!(error.to_string().contains("`a/bad`"), "{error}");
}

#[test]
fn submodules_and_lfs_pointers_are_named_when_they_are_wanted() {
    let repository = Repository::new();
    repository.write("deploy/a.yaml", "a: 1\n");
    repository.write("chart/big.tgz", "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n");
    let first = repository.commit("one");
    repository.git(&["update-index", "--add", "--cacheinfo", &format!("160000,{first},vendor/lib")]);
    repository.git(&["commit", "-q", "-m", "submodule"]);
    let checkout = repository.open(".", None).unwrap();
    assert!(checkout.find("deploy").is_ok());
    assert_eq!(checkout.find("chart").unwrap_err().code(), codes::LFS_POINTER);
    assert_eq!(checkout.find("vendor/lib/x").unwrap_err().code(), codes::SUBMODULE);
}

#[test]
fn the_origin_on_the_network_is_recorded_without_credentials() {
    let repository = Repository::new();
    repository.write("a", "1");
    repository.commit("one");
    repository.git(&["remote", "add", "origin", "https://user:token@example.com/a.git"]);
    assert_eq!(repository.open(".", None).unwrap().provenance().url.as_deref(), Some("https://example.com/a.git"));
    repository.git(&["remote", "set-url", "origin", "/srv/a.git"]);
    assert_eq!(repository.open(".", None).unwrap().provenance().url, None);
}

#[test]
fn a_clone_that_lacks_content_is_named() {
    let repository = Repository::new();
    repository.write("deploy/a.yaml", "a: 1\n");
    repository.commit("one");
    let id = repository.git(&["rev-parse", "HEAD:deploy/a.yaml"]);
    fs::remove_file(repository.path().join(".git/objects").join(&id[..2]).join(&id[2..])).unwrap();
    let error = repository.open(".", None).unwrap_err();
    assert_eq!(error.code(), codes::SOURCE_UNREACHABLE, "{error}");
}
