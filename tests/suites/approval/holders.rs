//! What holds keys: an ssh-agent of its own, and a token of SoftHSM, each in a temporary folder.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use consign_tests::images::run;
use consign_tests::skip;
use tempfile::TempDir;

/// Where Debian's softhsm2 has its module.
const MODULE: &str = "/usr/lib/softhsm/libsofthsm2.so";

/// Whether this machine has an agent and a token; says so where it has not.
pub(crate) fn are_possible() -> bool {
    let has = |program: &str| {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
    };
    let all = ["ssh-agent", "ssh-add", "softhsm2-util", "pkcs11-tool"].iter().all(|program| has(program));
    skip::unless(
        all && Path::new(MODULE).exists(),
        "openssh-client, softhsm2 or opensc is not installed",
        "apt-get install openssh-client softhsm2 opensc",
    )
}

/// An ssh-agent with one key.
pub(crate) struct Agent {
    folder: TempDir,
    child: Child,
    comment: &'static str,
}

impl Agent {
    /// Starts an agent and gives it a new key.
    pub(crate) fn start(comment: &'static str) -> Self {
        let folder = tempfile::Builder::new().prefix("consign-agent-").tempdir().unwrap();
        let socket = folder.path().join("socket");
        let child = Command::new("ssh-agent").arg("-D").arg("-a").arg(&socket).stdout(Stdio::null()).spawn().unwrap();
        let agent = Agent { folder, child, comment };
        let deadline = Instant::now() + Duration::from_secs(20);
        while !socket.exists() {
            assert!(Instant::now() < deadline, "ssh-agent does not listen");
            std::thread::sleep(Duration::from_millis(10));
        }
        let key = agent.folder.path().join("key");
        run(Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-C", comment, "-f"]).arg(&key));
        run(Command::new("ssh-add").arg("-q").arg(&key).env("SSH_AUTH_SOCK", &socket));
        // The agent alone has it from now on.
        fs::remove_file(&key).unwrap();
        agent
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.path().join("socket")
    }

    pub(crate) fn selector(&self) -> String {
        format!("ssh-agent:{}", self.comment)
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A token with one key that cannot be taken out of it.
pub(crate) struct Token {
    folder: TempDir,
    token: &'static str,
    object: &'static str,
}

impl Token {
    pub(crate) fn new(token: &'static str, object: &'static str) -> Self {
        let folder = tempfile::Builder::new().prefix("consign-token-").tempdir().unwrap();
        let tokens = folder.path().join("tokens");
        fs::create_dir(&tokens).unwrap();
        let config = format!("directories.tokendir = {}\nobjectstore.backend = file\n", tokens.display());
        fs::write(folder.path().join("softhsm2.conf"), config).unwrap();
        fs::write(folder.path().join("pin"), "1234\n").unwrap();
        let made = Token { folder, token, object };
        let init = ["--init-token", "--free", "--label", token, "--pin", "1234", "--so-pin", "12345678"];
        run(Command::new("softhsm2-util").args(init).env("SOFTHSM2_CONF", made.config()));
        let generate =
            ["--module", MODULE, "--login", "--pin", "1234", "--keypairgen", "--key-type", "EC:edwards25519"];
        let label = ["--id", "01", "--label", object];
        run(Command::new("pkcs11-tool").args(generate).args(label).env("SOFTHSM2_CONF", made.config()));
        made
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.folder.path().join("softhsm2.conf")
    }

    pub(crate) fn selector(&self) -> String {
        let pin = self.folder.path().join("pin");
        format!("pkcs11:token={};object={}?module-path={MODULE}&pin-source={}", self.token, self.object, pin.display())
    }
}
