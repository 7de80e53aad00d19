//! The demo's repository with keys of several people: where every test of this suite begins.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

/// The demo's repository, and a folder of keys beside it.
pub(crate) struct Desk(pub(crate) tempfile::TempDir);

pub(crate) const BUNDLE: &str = "demo-1.0.0.consign";
pub(crate) const NEXT: &str = "demo-1.1.0.consign";

impl Desk {
    /// A root by two people, two of three approvers, a publisher; not signed yet.
    pub(crate) fn new() -> Self {
        let desk = Desk(tempfile::tempdir().unwrap());
        consign_bundler::demo::write(&desk.at("")).unwrap();
        desk.git(&["init", "--quiet", "--initial-branch=main"]);
        desk.commit();
        desk.ok("init --product demo --release 1.0.0 --images-from images");
        fs::remove_dir_all(desk.at("trust")).unwrap();
        fs::create_dir(desk.at("keys")).unwrap();
        fs::write(desk.at("keys/pass"), "correct horse\n").unwrap();
        for name in ["root1", "root2", "alice", "bob", "ci"] {
            desk.ok(&format!("keys new --key-only keys/{name}"));
        }
        desk.ok("keys new --key-only keys/carol --passphrase-file keys/pass");
        desk
    }

    /// The same with its root published.
    pub(crate) fn with_root() -> Self {
        let desk = Desk::new();
        desk.ok(&format!("{NEW_ROOT} --key keys/root1"));
        assert_eq!(desk.ok("keys sign-root trust/1.root.draft.json --key keys/root2")["published"], true);
        desk
    }

    pub(crate) fn at(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    pub(crate) fn git(&self, arguments: &[&str]) {
        let author = ["-c", "user.name=A", "-c", "user.email=a@example.invalid", "-c", "commit.gpgsign=false"];
        let mut git = Command::new("git");
        git.args(author).args(arguments).current_dir(&self.0).env("GIT_CONFIG_GLOBAL", "/dev/null");
        assert!(git.status().unwrap().success());
    }

    pub(crate) fn commit(&self) {
        fs::write(self.at(".gitignore"), "keys\ntrust\n*.consign\n*.json\n").unwrap();
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--allow-empty", "--message=x"]);
    }

    pub(crate) fn run(&self, arguments: &str) -> (i32, Value) {
        let mut consign = Command::new(env!("CARGO_BIN_EXE_consign"));
        consign.current_dir(&self.0).args(arguments.split(' ')).args(["--json", "--quiet"]);
        consign.env_remove("CONSIGN_KEY_FILE").env_remove("CONSIGN_KEY_PASSPHRASE_FILE").env_remove("SSH_AUTH_SOCK");
        let output = consign.stdin(std::process::Stdio::null()).output().unwrap();
        let said = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|_| panic!("{arguments}: {}", String::from_utf8_lossy(&output.stderr)));
        (output.status.code().unwrap(), said)
    }

    /// What a person reads on standard output.
    pub(crate) fn text(&self, arguments: &str) -> String {
        let mut consign = Command::new(env!("CARGO_BIN_EXE_consign"));
        consign.current_dir(&self.0).args(arguments.split(' ')).arg("--quiet");
        consign.env_remove("CONSIGN_KEY_FILE").env_remove("CONSIGN_KEY_PASSPHRASE_FILE").env_remove("SSH_AUTH_SOCK");
        let output = consign.stdin(std::process::Stdio::null()).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    }

    pub(crate) fn ok(&self, arguments: &str) -> Value {
        let (code, said) = self.run(arguments);
        assert_eq!(code, 0, "{arguments}: {said}");
        said
    }

    /// The code of a refusal.
    pub(crate) fn refused(&self, arguments: &str, exit: i32) -> String {
        let (code, said) = self.run(arguments);
        assert_eq!(code, exit, "{arguments}: {said}");
        said["error"]["code"].as_str().unwrap().to_owned()
    }

    pub(crate) fn edit(&self, path: &str, from: &str, to: &str) {
        let text = fs::read_to_string(self.at(path)).unwrap();
        assert!(text.contains(from), "no `{from}` in {path}");
        fs::write(self.at(path), text.replace(from, to)).unwrap();
    }

    /// A next release, built by the publisher.
    pub(crate) fn build_next(&self) {
        self.edit("release.yaml", "1.0.0", "1.1.0");
        self.edit("deploy/web.yaml", "replicas: 2", "replicas: 3");
        self.commit();
        self.ok("lock --update");
        self.ok("build --key keys/ci");
    }
}

pub(crate) const NEW_ROOT: &str = "keys new --domain demo --root keys/root1.pub --root keys/root2.pub --root-threshold 2 \
                        --approver keys/alice.pub --approver keys/bob.pub --approver keys/carol.pub \
                        --approvers-threshold 2 --publisher keys/ci.pub";
