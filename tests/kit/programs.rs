//! Where the two programs are: built once by whoever asks first, in the folder that this test was built into.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// Names a folder that has both programs; nothing is built then.
pub const FOLDER_VARIABLE: &str = "CONSIGN_BIN_DIR";

/// The path of `consign`.
pub fn consign() -> PathBuf {
    folder().join("consign")
}

/// The path of `consign-site`.
pub fn consign_site() -> PathBuf {
    folder().join("consign-site")
}

/// The folder that has both, side by side.
///
/// # Panics
/// If they do not compile; the message has what the compiler said.
pub fn folder() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| std::env::var_os(FOLDER_VARIABLE).map_or_else(build, PathBuf::from))
}

fn build() -> PathBuf {
    // A test lies in PROFILE/deps/, the programs in PROFILE/. The whole workspace, for part of it would be compiled with
    // other features and all below it again.
    let test = std::env::current_exe().expect("the path of this test");
    let profile = test.ancestors().nth(2).expect("a test lies in a profile's folder");
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(["build", "--quiet", "--workspace", "--bins"]).current_dir(env!("CARGO_MANIFEST_DIR"));
    if profile.file_name().is_some_and(|name| name == "release") {
        command.arg("--release");
    }
    if let Some(target) = profile.parent() {
        command.env("CARGO_TARGET_DIR", target);
    }
    let said = command.output().expect("cargo runs");
    assert!(said.status.success(), "the programs do not compile:\n{}", String::from_utf8_lossy(&said.stderr));
    profile.to_owned()
}
