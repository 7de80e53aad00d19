//! A site in a temporary folder, with clocks and randomness of the test's.
#![allow(dead_code, missing_docs, unreachable_pub, clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::disallowed_methods, reason = "a kit; every suite uses a part of it")]

use std::path::{Path, PathBuf};
use std::time::Duration;

use consign_format::error::Failure;
use consign_format::trust::keys::{PublicKey, SecretKey, Signer, key_id, sign};
use consign_format::trust::site_secrets::SiteSecrets;
use consign_installer::admit::Ask;
use consign_installer::clock::Clocks;
use consign_installer::config::ApplyConfig;
use consign_installer::gates::Gates;
use consign_installer::handoff::Handoff;
use consign_installer::handoff::export::Export;
use consign_installer::install_bundle::{Finished, Means, Order, install_bundle};
use consign_installer::site::{Enrolment, Site, enrol};
use consign_installer::store::Store;
use consign_installer::store::products::ProductState;
use consign_installer::store::receipts::Kept;
use consign_sealed::values::{self, SecretValues};
use consign_terminal::Silent;
use serde_json::{Value, json};

use super::kit::{Draft, NOW, key, name, root};

pub struct TestSite {
    pub root: tempfile::TempDir,
    pub now: u64,
    /// What its administrator says of applying.
    pub apply: ApplyConfig,
}

pub fn clocks(now: u64) -> Clocks {
    Clocks { wall: Box::new(move || now), monotonic: Box::new(|| Duration::ZERO) }
}

pub fn random(buffer: &mut [u8]) -> std::io::Result<()> {
    buffer.fill(9);
    Ok(())
}

/// An enrolment of a new site, with nothing out of the ordinary.
pub fn enrolment<'a>(root: &'a [u8], site: &str) -> Enrolment<'a> {
    let (site, random) = (name(site), &random);
    let (fingerprint, production, replace, after, kit, now) = (None, false, false, None, None, NOW);
    Enrolment { root, fingerprint, site, production, replace, after, kit, now, random }
}

/// A statement with the Secret `demo/db`, signed by the approvers.
pub fn secrets_for(site: &str, recipient: &str, serial: u64, value: &str) -> Vec<u8> {
    secrets_by(&key(), site, recipient, serial, value)
}

/// The same, signed by another key.
pub fn secrets_by(by: &SecretKey, site: &str, recipient: &str, serial: u64, value: &str) -> Vec<u8> {
    let mut db = SecretValues::new("demo", "db", "Opaque");
    db.add_text("password", value);
    let statement = SiteSecrets {
        kind: "site-secrets".into(),
        domain: name("dev"),
        site: name(site),
        serial,
        recipient: recipient.to_owned(),
        secrets: vec![db.names()],
        message: values::encrypt(&recipient.parse().unwrap(), &[db]).unwrap(),
    };
    sign(&statement, &[by as &dyn Signer]).unwrap()
}

/// The next root of `dev`, signed by the one before: `approver` approves from now on.
pub fn root_after(before: &[u8], approver: &SecretKey) -> Vec<u8> {
    let mut next: Value = serde_json::from_slice(before).unwrap();
    let (id, public) = (key_id(&approver.public()).unwrap(), PublicKey::of(approver));
    next["signed"]["version"] = (next["signed"]["version"].as_u64().unwrap() + 1).into();
    next["signed"]["keys"][&id] = json!({"keytype": "ed25519", "keyval": {"public": public}, "scheme": "ed25519"});
    next["signed"]["roles"]["targets"]["keyids"] = json!([id]);
    sign(&next["signed"], &[&key() as &dyn Signer]).unwrap()
}

impl TestSite {
    /// One that no root is enrolled at.
    pub fn bare() -> Self {
        TestSite { root: tempfile::tempdir().unwrap(), now: NOW, apply: ApplyConfig::default() }
    }

    pub fn enrolled() -> Self {
        let site = TestSite::bare();
        site.enrol_root(&root("dev"), "hospital-7").unwrap();
        site
    }

    pub fn enrol_root(&self, root: &[u8], site: &str) -> Result<(), Failure> {
        enrol(&self.store(), &enrolment(root, site))?;
        Ok(())
    }

    pub fn store(&self) -> Store {
        Store::at(self.root.path())
    }

    pub fn site(&self) -> Site {
        Site::open(self.store()).unwrap()
    }

    pub fn export_dir(&self) -> PathBuf {
        self.root.path().join("exported")
    }

    /// Puts a bundle on a medium outside the site's root.
    pub fn medium(&self, bytes: &[u8]) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("demo.consign");
        std::fs::write(&path, bytes).unwrap();
        (dir, path)
    }

    pub fn install(&self, draft: &Draft) -> Result<Finished, Failure> {
        self.install_bytes(&draft.bundle(), Order::default())
    }

    pub fn retry(&self, draft: &Draft) -> Result<Finished, Failure> {
        self.install_bytes(&draft.bundle(), Order { ask: Ask { retry: true, ..Ask::default() }, ..Order::default() })
    }

    pub fn install_bytes(&self, bytes: &[u8], order: Order) -> Result<Finished, Failure> {
        self.install_with(bytes, order, Export::new(&self.export_dir()))
    }

    pub fn install_with<H: Handoff>(&self, bytes: &[u8], order: Order, handoff: H) -> Result<Finished, Failure> {
        let (_medium, path) = self.medium(bytes);
        self.run(&path, order, handoff)
    }

    pub fn install_path(&self, path: &Path) -> Result<Finished, Failure> {
        self.run(path, Order::default(), Export::new(&self.export_dir()))
    }

    pub fn install_path_with(&self, path: &Path, order: Order) -> Result<Finished, Failure> {
        self.run(path, order, Export::new(&self.export_dir()))
    }

    fn run<H: Handoff>(&self, path: &Path, order: Order, handoff: H) -> Result<Finished, Failure> {
        let mut site = Site::open_exclusive(self.store())?;
        site.apply = self.apply.clone();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let clocks = clocks(self.now);
        let gates = Gates::open(self.store());
        let means = Means { clocks: &clocks, progress: &Silent, registry: None, gates: &gates };
        runtime.block_on(install_bundle(&mut site, path, order, means, async || Ok(handoff)))
    }

    pub fn product(&self) -> ProductState {
        self.store().read_product(&name("dev"), &name("demo")).unwrap().unwrap()
    }

    pub fn receipts(&self) -> Vec<Kept> {
        self.store().read_receipts(&self.site().identity.public_key).unwrap()
    }
}
