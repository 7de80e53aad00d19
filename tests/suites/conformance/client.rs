//! The client under test: the program, started as the suite starts it.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::repository::Repository;

/// The client's folders.
pub(crate) struct Client {
    folder: TempDir,
}

impl Client {
    /// A client that nothing was told yet.
    pub(crate) fn bare() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for name in ["metadata", "targets"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        Self { folder }
    }

    /// A client that trusts the repository's first root.
    pub(crate) fn of(repository: &Repository) -> Self {
        let client = Self::bare();
        assert!(client.init(&repository.served("metadata/1.root.json")));
        client
    }

    fn run(&self, arguments: &[&str]) -> bool {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tuf-client"));
        command.arg("--metadata-dir").arg(self.folder.path().join("metadata")).args(arguments);
        let said = command.output().unwrap();
        match said.status.code() {
            Some(0) => true,
            Some(1) => false,
            _ => panic!("{command:?}: {said:?}"),
        }
    }

    pub(crate) fn init(&self, root: &[u8]) -> bool {
        let file = self.folder.path().join("first.json");
        fs::write(&file, root).unwrap();
        self.run(&["init", file.to_str().unwrap()])
    }

    pub(crate) fn refresh(&self, repository: &Repository) -> bool {
        self.run(&["--metadata-url", &repository.url("metadata"), "refresh"])
    }

    pub(crate) fn download(&self, repository: &Repository, name: &str) -> bool {
        let (metadata, targets) = (repository.url("metadata"), repository.url("targets"));
        let folder = self.folder.path().join("targets");
        let arguments = ["--metadata-url", &metadata, "--target-name", name, "--target-base-url", &targets];
        self.run(&[&arguments[..], &["--target-dir", folder.to_str().unwrap(), "download"]].concat())
    }

    /// The bytes of every target that was downloaded.
    pub(crate) fn downloaded(&self) -> Vec<Vec<u8>> {
        let paths = fs::read_dir(self.folder.path().join("targets")).unwrap();
        paths.map(|entry| fs::read(entry.unwrap().path()).unwrap()).collect()
    }

    fn path(&self, role: &str) -> PathBuf {
        self.folder.path().join(format!("metadata/{role}.json"))
    }

    /// The version of a role that is trusted; 0 if none is.
    pub(crate) fn version(&self, role: &str) -> u64 {
        let Ok(bytes) = fs::read(self.path(role)) else { return 0 };
        serde_json::from_slice::<Value>(&bytes).unwrap()["signed"]["version"].as_u64().unwrap()
    }

    /// The versions of root, timestamp, snapshot and targets that are trusted.
    pub(crate) fn versions(&self) -> [u64; 4] {
        ["root", "timestamp", "snapshot", "targets"].map(|role| self.version(role))
    }

    /// What is trusted of a role, byte for byte.
    pub(crate) fn trusted(&self, role: &str) -> Vec<u8> {
        fs::read(self.path(role)).unwrap()
    }
}
