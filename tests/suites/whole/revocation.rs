//! A revocation needs no release: a stick with only a new root takes a key's say away, and so does one that cannot be
//! read to its end. Neither burns anything: the older good stick works.

use std::fs;
use std::path::{Path, PathBuf};

use consign_tests::desk::Desk;
use consign_tests::site::Site;
use serde_json::Value;

/// A desk whose releases are approved by Bob or by Carol, until Bob's key is revoked.
struct Office {
    desk: Desk,
}

impl Office {
    fn new() -> Self {
        let office = Office { desk: Desk::sample() };
        for person in ["bob", "carol"] {
            office.desk.consign(["keys", "new", "--key-only", person]).succeeds();
        }
        let first: Value = serde_json::from_slice(&fs::read(office.desk.trust().join("1.root.json")).unwrap()).unwrap();
        let development = first["signed"]["roles"]["targets"]["keyids"][0].as_str().unwrap();
        let remove = format!("approver={development}");
        let change = ["--add", "approver=bob.pub", "--add", "approver=carol.pub", "--remove", &remove];
        office.desk.consign(["keys", "rotate", "--key", "trust/dev.key"]).args(change).succeeds();
        office
    }

    /// Builds what is locked; the development key publishes.
    fn build(&self, approver: &str) -> PathBuf {
        let desk = &self.desk;
        let keys = ["build", "--key", approver, "--key", "trust/dev.key", "--output"];
        desk.consign(keys).arg(desk.folder()).succeeds();
        desk.folder().join(desk.repository.bundle())
    }

    fn build_next(&mut self, version: &str, approver: &str) -> PathBuf {
        let desk = &mut self.desk;
        desk.repository.next(version, |_| {});
        desk.repository.point_at(&desk.registry);
        desk.consign(["lock", "--update"]).succeeds();
        self.build(approver)
    }

    /// Root 3, without Bob, on a stick of its own.
    fn revoke_bob(&self) -> PathBuf {
        self.desk.consign(["keys", "rotate", "--key", "trust/dev.key", "--revoke", "bob.pub"]).succeeds();
        let stick = self.desk.folder().join("roots.consign");
        self.desk.consign(["carry", "--output"]).arg(&stick).succeeds();
        stick
    }
}

fn root(site: &Site) -> Value {
    site.status()["domains"][0]["rootVersion"].clone()
}

fn runs(site: &Site) -> Value {
    site.status()["products"][0]["current"]["release"]["version"].clone()
}

/// Exit code and name of the error.
fn refused(site: &Site, bundle: &Path) -> (Option<i32>, String) {
    let outcome = site.export(bundle).run();
    let name = outcome.stderr.split_once("error[").and_then(|(_, rest)| rest.split_once(']'));
    (outcome.exit, name.map(|(name, _)| name.to_owned()).unwrap_or_default())
}

#[test]
fn a_new_root_alone_revokes_and_so_does_a_stick_that_ends_in_the_middle() {
    if !Desk::is_possible() {
        return;
    }
    let mut office = Office::new();
    let first = office.build("carol");
    let by_bob = office.build_next("2026.11.1", "bob");
    let roots = office.revoke_bob();
    let newest = office.build_next("2026.11.2", "carol");
    assert!(fs::metadata(&roots).unwrap().len() < 16 * 1024, "kilobytes, whatever a release weighs");
    let refusal = || (Some(12), "signature-invalid".to_owned());

    // A stick with roots alone.
    let site = Site::enrolled(&office.desk.trust());
    site.export(&first).succeeds();
    assert_eq!(root(&site), 2);
    site.export(&roots).succeeds();
    assert_eq!((root(&site), runs(&site)), (3.into(), "2026.11.0".into()));
    assert_eq!(refused(&site, &by_bob), refusal());
    assert_eq!(runs(&site), "2026.11.0");

    // A stick with a release, of which only the front can be read.
    let site = Site::enrolled(&office.desk.trust());
    let whole = fs::read(&newest).unwrap();
    let torn = office.desk.folder().join("torn.consign");
    let behind_the_roots = whole.windows(23).position(|found| found == b"metadata/timestamp.json").unwrap() + 600;
    for end in [behind_the_roots, whole.len() / 2] {
        fs::write(&torn, &whole[..end]).unwrap();
        assert_eq!(refused(&site, &torn), (Some(10), "truncated".to_owned()), "cut at {end}");
        assert_eq!(root(&site), 3, "cut at {end}");
    }
    assert_eq!(refused(&site, &by_bob), refusal());
    site.export(&first).succeeds();
    assert_eq!(runs(&site), "2026.11.0", "the older good stick works");
    site.export(&newest).succeeds();
}
