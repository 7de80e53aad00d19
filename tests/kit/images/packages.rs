//! Debian packages fetched by `apt-get` and unpacked into folders, with no right beyond the test's own.
//!
//! Nothing is installed: apt is told of a machine that has no package at all, so what it names is complete.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::run;

/// A folder of packages and the pretence that none of them is installed.
pub(super) struct Packages {
    folder: PathBuf,
}

impl Packages {
    pub(super) fn new(folder: &Path) -> Self {
        fs::create_dir_all(folder.join("partial")).expect("a folder in the cache");
        fs::write(folder.join("status"), "").expect("a file in the cache");
        Self { folder: folder.to_owned() }
    }

    /// The files of `names` and of everything they depend on, but for those that are downloaded.
    pub(super) fn closure(&self, names: &[&str]) -> BTreeSet<String> {
        let said = run(self.apt().args(["-y", "--print-uris", "install"]).args(names));
        // Lines are: 'URI' FILE SIZE HASH
        let files = said.lines().filter(|line| line.starts_with('\''));
        let files: BTreeSet<_> = files.filter_map(|line| line.split(' ').nth(1)).map(str::to_owned).collect();
        assert!(!files.is_empty(), "apt names no file for {names:?}; it said:\n{said}\n(apt-get update?)");
        files
    }

    /// Downloads `names` and everything they depend on; apt checks every file against its signed lists.
    pub(super) fn download(&self, names: &[&str]) {
        run(self.apt().args(["-y", "-qq", "--download-only", "install"]).args(names));
    }

    /// Unpacks a file of [`Self::closure`] into `root`. Its scripts do not run.
    pub(super) fn unpack(&self, file: &str, root: &Path) {
        run(Command::new("dpkg-deb").arg("-x").arg(self.folder.join(file)).arg(root));
    }

    fn apt(&self) -> Command {
        let mut command = Command::new("apt-get");
        let folder = self.folder.display();
        for option in [
            &format!("Dir::State::status={folder}/status"),
            &format!("Dir::Cache={folder}"),
            &format!("Dir::Cache::archives={folder}"),
            "APT::Install-Recommends=false",
            "APT::Sandbox::User=",
            "Debug::NoLocking=1",
        ] {
            command.args(["-o", option]);
        }
        command.env("DEBIAN_FRONTEND", "noninteractive").env("LC_ALL", "C");
        command
    }
}
