//! What can be asked of a bundle beyond being whole and signed.

use std::fs;
use std::path::Path;

use consign_bundler::bundle::Trust;
use consign_bundler::gate::{Asked, Kind, Outcome, Verdict, examine};
use consign_format::error::codes;
use consign_terminal::Silent;
use consign_tests::desk::Desk;
use serde_json::Value;

fn outcome<'a>(report: &'a Value, check: &str) -> &'a str {
    let checks = report["checks"].as_array().unwrap();
    let found = checks.iter().find(|found| found["check"] == check);
    found.map_or("absent", |found| found["outcome"].as_str().unwrap())
}

#[test]
fn every_finding_is_told_and_the_first_decides() {
    if !Desk::is_possible() {
        return;
    }
    let (desk, bundle) = Desk::shared();
    let verify = || desk.consign(["verify"]).arg(bundle);
    let good = verify().args(["--json", "--domain", "lumen", "--min-sequence", "1", "--enforce-expiry"]);
    let report = good.succeeds().json();
    assert_eq!(report["verdict"], "accepted", "{report:#}");
    for check in ["trust", "domain", "sequence", "expiry", "content", "state"] {
        assert_eq!(outcome(&report, check), "passed", "{check}");
    }
    assert!(report["error"].is_null() && report["members"].as_u64() > Some(10), "{report:#}");

    verify().args(["--domain", "elsewhere"]).fails("other-domain", 14);
    let too_old = (report["sequence"].as_u64().unwrap() + 1).to_string();
    verify().args(["--min-sequence", &too_old]).fails("older-release", 13);
    let both = verify().args(["--json", "--domain", "elsewhere", "--min-sequence", &too_old]).exits(14);
    let report = both.json();
    for (check, expected) in [("domain", "refused"), ("sequence", "refused"), ("content", "passed")] {
        assert_eq!(outcome(&report, check), expected, "{report:#}");
    }
    assert_eq!(report["error"]["code"], "other-domain");
}

#[test]
fn expiry_is_told_and_refused_only_where_that_is_asked_for() {
    if !Desk::is_possible() {
        return;
    }
    let (desk, bundle) = Desk::shared();
    let trust = Trust::Chain(Box::new(consign_bundler::sign::read_roots(&desk.trust()).unwrap()));
    let far = || Asked { now: "2099-01-01T00:00:00Z".to_owned(), ..Asked::default() };
    let lenient = examine(bundle, &trust, &far(), &Silent);
    assert_eq!(lenient.report.verdict, Verdict::Accepted);
    let expiry = lenient.report.checks.iter().find(|check| check.check == Kind::Expiry).unwrap();
    assert!(expiry.note.as_ref().unwrap().contains("expired on"), "{expiry:?}");
    let strict = examine(bundle, &trust, &Asked { enforce_expiry: true, ..far() }, &Silent);
    assert_eq!(strict.failure.map(|failure| failure.code()), Some(codes::EXPIRED));
    let passed = strict.report.checks.iter().filter(|check| check.outcome == Outcome::Passed).count();
    assert_eq!(passed, 4, "{:?}", strict.report.checks);
}

#[test]
fn what_is_bad_and_what_could_not_be_checked_are_two_things() {
    if !Desk::is_possible() {
        return;
    }
    let (desk, bundle) = Desk::shared();
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let mut bytes = fs::read(bundle).unwrap();
    let (end, middle) = (bytes.len(), bytes.len() / 2);
    bytes[middle] ^= 1;
    fs::write(at("flipped.consign"), &bytes).unwrap();
    bytes[middle] ^= 1;
    fs::write(at("cut.consign"), &bytes[..end / 2]).unwrap();
    fs::write(at("none.consign"), "no bundle").unwrap();
    for (name, verdict, exit, trust, content) in [
        ("flipped.consign", "refused", 10, "passed", "refused"),
        ("cut.consign", "refused", 10, "passed", "refused"),
        ("none.consign", "refused", 10, "refused", "unchecked"),
        ("missing.consign", "unchecked", 1, "unchecked", "unchecked"),
    ] {
        let said = desk.consign(["verify", "--json"]).arg(at(name)).exits(exit);
        let report = said.json();
        assert_eq!(report["verdict"], verdict, "{name}: {report:#}");
        assert_eq!((outcome(&report, "trust"), outcome(&report, "content")), (trust, content), "{name}: {report:#}");
        assert_eq!(report["error"]["exit"], exit, "{name}");
        assert_eq!(said.stderr, "", "{name}: with --json everything is in the one document");
    }
    // A root that is not the bundle's.
    desk.consign(["keys", "new", "--domain", "other"]).option("--trust", at("other")).succeeds();
    let other = desk.consign(["verify"]).option("--root", at("other/1.root.json")).arg(bundle);
    other.fails("root-unknown", 12);
}

#[test]
fn a_number_from_before_a_reset_stands_and_the_refusal_says_what_the_root_says() {
    if !Desk::is_possible() {
        return;
    }
    let (desk, bundle) = Desk::shared();
    let folder = tempfile::tempdir().unwrap();
    fs::copy(desk.trust().join("1.root.json"), folder.path().join("1.root.json")).unwrap();
    let report = desk.consign(["verify", "--json"]).arg(bundle).succeeds().json();
    let (product, sequence) = (report["product"].as_str().unwrap(), report["sequence"].as_u64().unwrap());
    let reset = format!("{product}={sequence}");
    let rotate = desk.consign(["keys", "rotate", "--reset-floor", &reset]).option("--trust", folder.path());
    rotate.option("--key", desk.trust().join("dev.key")).succeeds();
    let least = |root: &Path, number: u64| {
        desk.consign(["verify", "--min-sequence", &number.to_string()]).option("--root", root).arg(bundle)
    };
    least(folder.path(), sequence).succeeds();
    let said = least(folder.path(), sequence + 1).fails("older-release", 13);
    said.says(&format!("the root sets the counter of sites back to {sequence}"));
    least(&desk.trust(), sequence + 1).fails("older-release", 13).says("hint: take the newest bundle");
}
