//! Bundles of metadata alone: roots and statements, and no release behind them.

use std::fs;
use std::path::{Path, PathBuf};

use consign_format::Digest;
use consign_format::archive::plan::metadata_bundle;
use consign_format::trust::keys::{SecretKey, Signer, sign};
use consign_format::trust::statement::DowngradeGrant;
use consign_tests::command::{self, Invocation};
use consign_tests::generated::root;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::reports::{count, elements};
use crate::workshop::revoke_approver;

/// Who makes roots and statements, and no release.
struct Office {
    folder: TempDir,
}

impl Office {
    fn new() -> Self {
        let office = Office { folder: tempfile::tempdir().unwrap() };
        office.consign(["keys", "new", "--domain", "lumen"]).succeeds();
        office
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn consign<const N: usize>(&self, arguments: [&str; N]) -> Invocation {
        command::consign(arguments).in_folder(self.folder.path()).env("HOME", self.folder.path())
    }

    fn verify(&self, bundle: &Path) -> Invocation {
        self.consign(["verify"]).arg(bundle)
    }

    /// A signed site record, as a file.
    fn record(&self, site: &str) -> PathBuf {
        let (file, key) = (self.at(&format!("{site}.json")), self.at(&format!("{site}.key")));
        self.consign(["keys", "new", "--key-only"]).arg(&key).succeeds();
        let public = SecretKey::from_pem(&fs::read_to_string(key).unwrap()).unwrap().public();
        let receipts: String = public.iter().map(|byte| format!("{byte:02x}")).collect();
        let record = self.consign(["site", "record", "--site", site, "--receipt-key", &receipts]);
        record.option("--output", &file).succeeds();
        file
    }

    /// What the development key has signed.
    fn signed(&self, statement: &impl serde::Serialize) -> Vec<u8> {
        let key = SecretKey::from_pem(&fs::read_to_string(self.at("trust/dev.key")).unwrap()).unwrap();
        sign(statement, &[&key as &dyn Signer]).unwrap()
    }

    fn grant(&self, expires: &str) -> Vec<u8> {
        self.signed(&DowngradeGrant {
            kind: "downgrade-grant".to_owned(),
            domain: "lumen".parse().unwrap(),
            site: "ward-7".parse().unwrap(),
            product: "agent".parse().unwrap(),
            from: 9,
            to: 7,
            release: Digest::of(b"a release"),
            expires: expires.to_owned(),
        })
    }

    /// What `consign carry` would refuse to write.
    fn pack(&self, name: &str, statements: &[Vec<u8>]) -> PathBuf {
        let bundle = self.at(name);
        let roots = [fs::read(self.at("trust/1.root.json")).unwrap()];
        fs::write(&bundle, metadata_bundle(&roots, statements).unwrap()).unwrap();
        bundle
    }

    /// Root 2, with one key more than root 1.
    fn add_key(&self) {
        self.consign(["keys", "new", "--key-only", "more"]).succeeds();
        self.consign(["keys", "rotate", "--add", "approver=more.pub", "--key", "trust/dev.key"]).succeeds();
    }
}

fn outcomes<'a>(report: &'a Value, check: &str) -> Vec<&'a str> {
    let checks = report["checks"].as_array().unwrap().iter();
    checks.filter(|found| found["check"] == check).map(|found| found["outcome"].as_str().unwrap()).collect()
}

#[test]
fn it_says_what_metadata_alone_carries_and_that_it_holds() {
    let office = Office::new();
    let (record, grant, bundle) = (office.record("ward-7"), office.at("grant.json"), office.at("news.consign"));
    fs::write(&grant, office.grant("2099-01-01T00:00:00Z")).unwrap();
    office.add_key();
    office.consign(["carry", "--output"]).arg(&bundle).args([&record, &grant]).succeeds();

    let said = office.verify(&bundle).succeeds();
    said.says("is whole and signed: metadata alone").says("carries  roots 1 to 2, 2 statements");
    said.says("a site record of ward-7, serial 1; by the approvers of root 2");
    said.says("leave for ward-7 to go back from sequence 9 of agent to 7, until 2099-01-01T00:00:00Z");

    let report = office.verify(&bundle).arg("--json").succeeds().json();
    assert_eq!((&report["verdict"], &report["root"]["version"]), (&json!("accepted"), &json!(2)), "{report:#}");
    assert!(report.get("release").is_none() && report.get("error").is_none(), "{report:#}");
    let second = Digest::of(&fs::read(office.at("trust/2.root.json")).unwrap());
    assert_eq!(report["roots"][1], json!({"version": 2, "digest": second.to_string()}), "{report:#}");
    let mut kinds: Vec<&str> =
        report["statements"].as_array().unwrap().iter().map(|shown| shown["kind"].as_str().unwrap()).collect();
    kinds.sort_unstable();
    assert_eq!(kinds, ["downgrade-grant", "site-record"]);
    assert_eq!(report["statements"][0]["site"], "ward-7");
    assert_eq!(outcomes(&report, "statement"), ["passed", "passed"], "{report:#}");
    assert_eq!((outcomes(&report, "content"), outcomes(&report, "state")), (vec!["passed"], vec!["unchecked"]));
    // The published schema knows every field of it.
    let schema: Value = serde_json::from_slice(&fs::read(root().join("schemas/verify-report.json")).unwrap()).unwrap();
    for field in report.as_object().unwrap().keys() {
        assert!(schema["properties"].get(field).is_some(), "the schema has no `{field}`");
    }

    let xml = office.verify(&bundle).args(["--format", "junit"]).succeeds().stdout;
    let found = elements(&xml);
    let of = |part: &str| found.iter().filter(|(name, said)| name == "testcase" && said.contains(part)).count();
    assert_eq!((of("consign.verify.statement"), count(&found, "failure"), count(&found, "error")), (2, 0, 0), "{xml}");
    let sarif = office.verify(&bundle).args(["--format", "sarif"]).succeeds().json();
    assert_eq!(sarif["runs"][0]["results"], json!([]), "{sarif:#}");
    assert_eq!(sarif["runs"][0]["invocations"][0]["executionSuccessful"], true);
}

#[test]
fn each_statement_that_does_not_hold_is_told_beside_those_that_do() {
    let office = Office::new();
    let good = fs::read(office.record("ward-7")).unwrap();
    let foreign = office.signed(&json!({"_type": "site-record", "domain": "other"}));
    let stranger = Office::new().grant("2099-01-01T00:00:00Z");
    let mixed = office.pack("mixed.consign", &[good.clone(), foreign, stranger]);
    let report = office.verify(&mixed).arg("--json").run().json();
    let mut found = outcomes(&report, "statement");
    found.sort_unstable();
    assert_eq!(found, ["passed", "refused", "refused"], "{report:#}");
    assert_eq!((&report["verdict"], report["statements"].as_array().map(Vec::len)), (&json!("refused"), Some(1)));
    let stranger = office.pack("stranger.consign", &[good.clone(), Office::new().grant("2099-01-01T00:00:00Z")]);
    let refused = office.verify(&stranger).fails("signature-invalid", 12);
    refused.says("passed     statement sha256:").says("REFUSED    statement sha256:");
    let sarif = office.verify(&stranger).args(["--format", "sarif"]).exits(12).json();
    assert_eq!(sarif["runs"][0]["results"][0]["ruleId"], "signature-invalid", "{sarif:#}");

    // By a key that a later root has revoked, which the bundle does not carry.
    let old = office.pack("old.consign", &[good]);
    office.verify(&old).succeeds();
    revoke_approver(office.folder.path());
    let report = office.verify(&old).arg("--json").exits(12).json();
    assert_eq!(outcomes(&report, "statement"), ["refused"], "{report:#}");
    office.verify(&old).args(["--root", "trust/1.root.json"]).succeeds();
}

#[test]
fn bytes_that_are_not_those_of_the_format_are_refused() {
    let office = Office::new();
    let bundle = office.pack("good.consign", &[fs::read(office.record("ward-7")).unwrap()]);
    let good = fs::read(&bundle).unwrap();
    let asked = |bytes: &[u8]| {
        fs::write(&bundle, bytes).unwrap();
        office.verify(&bundle).arg("--json").run()
    };
    assert_eq!(asked(&good[..good.len() - 512]).exit, Some(10), "cut short");
    assert_eq!(asked(&[&good[..], &[0; 512]].concat()).exit, Some(11), "longer than its end");
    let mut flipped = good.clone();
    let at = good.len() - 1024 - 512;
    flipped[at] ^= 1;
    assert!(matches!(asked(&flipped).exit, Some(10 | 11)), "a flipped bit in the last member");
    assert_eq!(asked(&good).exit, Some(0));
    let other = Office::new();
    office.verify(&bundle).option("--root", other.at("trust/1.root.json")).fails("root-unknown", 12);
}

#[test]
fn what_is_asked_of_a_release_finds_none() {
    let office = Office::new();
    fs::write(office.at("verify-policy.yaml"), "apiVersion: consign.dev/v1\nallowUnsigned: ['**']\n").unwrap();
    let bundle = office.pack("grant.consign", &[office.grant("2020-01-01T00:00:00Z")]);
    let policy = office.verify(&bundle).args(["--policy", "verify-policy.yaml", "--domain", "lumen"]).succeeds();
    policy.says("image-signature: nothing to check: the bundle carries no release").says("passed     domain");
    policy.says("a downgrade grant expired on 2020-01-01T00:00:00Z; nobody asked to enforce that");
    office.verify(&bundle).arg("--enforce-expiry").fails("expired", 15);
    office.verify(&bundle).args(["--domain", "other"]).fails("other-domain", 14);
    // Who names a sequence waits for a release.
    office.verify(&bundle).args(["--min-sequence", "1"]).fails("no-release", 1);
}
