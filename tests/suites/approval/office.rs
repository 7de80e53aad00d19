//! The connected side of the suite: people with keys, a root of theirs, and a release of two gigabytes.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use consign_format::{Digest, DigestWriter};
use consign_tests::command::{self, Invocation};
use consign_tests::images::run;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::holders::{Agent, Token};

/// A layer of zeros: the file is sparse, the bundle is not.
const LAYER: u64 = (2 << 30) + 512;

/// A desk where bundles are built, and all the keys there are.
pub(crate) struct Office {
    pub(crate) agent: Agent,
    pub(crate) token: Token,
    folder: TempDir,
}

impl Office {
    /// A root of two people and three approvers: a file, the agent, the token; two of them must approve.
    pub(crate) fn new(agent: Agent, token: Token) -> Self {
        let folder = tempfile::Builder::new().prefix("consign-approval-").tempdir().unwrap();
        let office = Office { agent, token, folder };
        fs::write(office.at("passphrase"), "correct horse battery staple\n").unwrap();
        for key in ["root1", "root2", "dave", "ci"] {
            office.consign(["keys", "new", "--key-only", key]).succeeds();
        }
        office.consign(["keys", "new", "--key-only", "alice", "--passphrase-file", "passphrase"]).succeeds();
        let new = office.consign(["keys", "new", "--domain", "clinic", "--root", "root1.pub", "--root", "root2.pub"]);
        let new = new.args(["--root-threshold", "2", "--publisher", "ci.pub", "--approvers-threshold", "2"]);
        let new = new.args(["--approver", "alice.pub", "--approver", &office.agent.selector(), "--approver"]);
        new.arg(office.token.selector()).args(["--key", "root1", "--key", "root2"]).succeeds();
        office.repository();
        office
    }

    pub(crate) fn at(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    pub(crate) fn trust(&self) -> PathBuf {
        self.at("trust")
    }

    /// `consign` at this desk, where the agent and the token are known.
    pub(crate) fn consign<const N: usize>(&self, arguments: [&str; N]) -> Invocation {
        let consign = command::consign(arguments).in_folder(self.folder.path()).env("HOME", self.folder.path());
        consign.env("SSH_AUTH_SOCK", self.agent.socket()).env("SOFTHSM2_CONF", self.token.config())
    }

    /// The request for a bundle.
    pub(crate) fn request(&self, bundle: &Path, against: Option<&Path>) -> PathBuf {
        let request = self.at("request.json");
        let mut make = self.consign(["approve", "--request"]).arg(bundle).option("--output", &request);
        if let Some(against) = against {
            make = make.option("--against", against);
        }
        make.succeeds();
        request
    }

    /// An approver at work, not run yet.
    pub(crate) fn signing(&self, request: &Path, key: &str) -> Invocation {
        self.consign(["approve"]).arg(request).option("--key", key).option("--passphrase-file", "passphrase")
    }

    pub(crate) fn approve(&self, request: &Path, key: &str) {
        let said = self.signing(request, key).succeeds();
        assert!(said.stdout.contains("what is signed:"), "nobody signs unseen\n{said}");
    }

    /// Merges a request that has enough signatures; the bundle verifies then.
    pub(crate) fn merge(&self, bundle: &Path, request: &Path) {
        let merged = self.consign(["approve", "--json", "--merge"]).arg(bundle).arg(request).succeeds().json();
        assert_eq!(merged["added"], 2, "{merged}");
        assert!(!self.at(&format!("{}.head", bundle.display())).exists());
        self.consign(["verify"]).arg(bundle).succeeds();
    }

    /// Builds what is locked, or locks it, with the publisher's key and others.
    pub(crate) fn build(&self, publisher: &str, others: &[&str]) -> PathBuf {
        self.build_with(self.trust(), publisher, others)
    }

    /// The same in the hands of somebody who has the roots as they were before the rotation.
    pub(crate) fn build_under_the_old_root(&self, publisher: &str, others: &[&str]) -> PathBuf {
        let old = self.at("old");
        fs::create_dir(&old).unwrap();
        fs::copy(self.trust().join("1.root.json"), old.join("1.root.json")).unwrap();
        self.build_with(old, publisher, others)
    }

    fn build_with(&self, trust: PathBuf, publisher: &str, others: &[&str]) -> PathBuf {
        let mut build = self.consign(["build", "--json"]).option("--trust", trust).option("--key", publisher);
        build = build.option("--passphrase-file", "passphrase");
        for key in others {
            build = build.option("--key", key);
        }
        let built: Value = build.succeeds().json();
        self.at(built["bundle"]["path"].as_str().unwrap())
    }

    /// Commits a next version, without the image, and locks it.
    pub(crate) fn next_release(&self, version: &str) {
        let map = format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: a}}\ndata: {{version: '{version}'}}\n");
        fs::write(self.at("repository/deploy/pod.yaml"), map).unwrap();
        fs::write(self.at("release.yaml"), release(version, "")).unwrap();
        self.commit();
        self.consign(["lock", "--update"]).succeeds();
    }

    fn repository(&self) {
        layout(&self.at("layout"));
        fs::create_dir_all(self.at("repository/deploy")).unwrap();
        let pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: big}\n\
                   spec: {containers: [{name: big, image: 'big.example/big:1'}]}\n";
        fs::write(self.at("repository/deploy/pod.yaml"), pod).unwrap();
        let from = "images: {from: [{path: layout, references: {'big.example/big:1': big}}]}\n";
        fs::write(self.at("release.yaml"), release("1.0.0", from)).unwrap();
        run(Command::new("git").args(["init", "--quiet"]).current_dir(self.at("repository")));
        self.commit();
    }

    fn commit(&self) {
        let who = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org", "-c", "commit.gpgsign=false"];
        for arguments in [&["add", "--all"][..], &["commit", "--quiet", "--message", "Big"]] {
            run(Command::new("git").args(who).args(arguments).current_dir(self.at("repository")));
        }
    }
}

fn release(version: &str, images: &str) -> String {
    format!(
        "apiVersion: consign.dev/v1\nproduct: big\nversion: {version}\nsource: {{git: repository}}\n\
         kubernetes: {{version: \"1.36\"}}\nnamespace: big\nrender: [{{path: deploy}}]\n{images}\
         rollout: {{onFailure: rollback}}\n"
    )
}

/// An image layout with one image of one large layer.
fn layout(folder: &Path) {
    let blobs = folder.join("blobs/sha256");
    fs::create_dir_all(&blobs).unwrap();
    let new = blobs.join("new");
    File::create(&new).unwrap().set_len(LAYER).unwrap();
    let mut hashed = DigestWriter::new(io::sink());
    io::copy(&mut io::BufReader::with_capacity(1 << 20, File::open(&new).unwrap()), &mut hashed).unwrap();
    let (_, digest, size) = hashed.finish();
    fs::rename(&new, blobs.join(digest.hex())).unwrap();
    let document = |media_type: &str, value: Value| {
        let bytes = value.to_string().into_bytes();
        let digest = Digest::of(&bytes);
        fs::write(blobs.join(digest.hex()), &bytes).unwrap();
        json!({"mediaType": media_type, "digest": digest, "size": bytes.len()})
    };
    let rootfs = json!({"type": "layers", "diff_ids": [digest]});
    let config = json!({"architecture": "amd64", "os": "linux", "config": {}, "rootfs": rootfs});
    let config = document("application/vnd.oci.image.config.v1+json", config);
    let media_type = "application/vnd.oci.image.manifest.v1+json";
    let layer = json!({"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": digest, "size": size});
    let manifest = json!({"schemaVersion": 2, "mediaType": media_type, "config": config, "layers": [layer]});
    let mut manifest = document(media_type, manifest);
    manifest["annotations"] = json!({"org.opencontainers.image.ref.name": "big"});
    let index = json!({"schemaVersion": 2, "manifests": [manifest]});
    fs::write(folder.join("index.json"), index.to_string()).unwrap();
    fs::write(folder.join("oci-layout"), br#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
}
