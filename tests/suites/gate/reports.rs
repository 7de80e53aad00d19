//! Reports that other programs read: parsed here by readers that are not ours, good ones and bad ones.

use std::fs;
use std::path::Path;
use std::process::Command;

use consign_tests::command::Outcome;
use consign_tests::desk::Desk;
use consign_tests::images::run;
use quick_xml::Reader;
use quick_xml::events::Event;
use serde_json::Value;

use crate::workshop::fingerprint;

/// Elements of an XML text by name, with their attributes as one text; not well formed is a failure.
pub(crate) fn elements(xml: &str) -> Vec<(String, String)> {
    let mut reader = Reader::from_str(xml);
    reader.config_mut().check_end_names = true;
    let mut found = Vec::new();
    loop {
        match reader.read_event().unwrap_or_else(|error| panic!("{error}\n{xml}")) {
            Event::Start(start) | Event::Empty(start) => {
                let name = start.name().as_ref().to_owned();
                let attributes = start.attributes().map(|attribute| {
                    let attribute = attribute.unwrap();
                    format!("{}={}", attribute.key.as_ref(), attribute.value)
                });
                let attributes = attributes.collect::<Vec<_>>().join(" ");
                found.push((name, attributes));
            }
            Event::Eof => return found,
            _ => {}
        }
    }
}

pub(crate) fn count(elements: &[(String, String)], name: &str) -> usize {
    elements.iter().filter(|(found, _)| found == name).count()
}

fn report(desk: &Desk, bundle: &Path, format: &str, into: &Path) -> (Outcome, String) {
    let outcome = desk.consign(["verify", "--format", format]).option("--output", into).arg(bundle).run();
    (outcome, fs::read_to_string(into).unwrap())
}

#[test]
fn junit_has_a_case_for_every_check() {
    if !Desk::is_possible() {
        return;
    }
    let (desk, bundle) = Desk::shared();
    let folder = tempfile::tempdir().unwrap();
    let into = folder.path().join("verify.xml");
    let (outcome, xml) = report(desk, bundle, "junit", &into);
    assert_eq!(outcome.exit, Some(0), "{outcome}");
    outcome.says("is whole and signed");
    let found = elements(&xml);
    assert_eq!((count(&found, "testsuite"), count(&found, "testcase")), (1, 5), "{xml}");
    assert_eq!(count(&found, "failure") + count(&found, "error") + count(&found, "skipped"), 0, "{xml}");

    // A name that would break out of an attribute, were it not escaped, and one that no XML can hold.
    let odd = folder.path().join("a\"<&>\u{1b}\u{202e}b.consign");
    fs::write(&odd, &fs::read(bundle).unwrap()[..2_000_000]).unwrap();
    let (outcome, xml) = report(desk, &odd, "junit", &into);
    assert_eq!(outcome.exit, Some(10), "{outcome}");
    let found = elements(&xml);
    let suite = &found.iter().find(|(name, _)| name == "testsuite").unwrap().1;
    for part in ["tests=5", "failures=1", "errors=0", "skipped=1"] {
        assert!(suite.contains(part), "{part} in {suite}");
    }
    assert_eq!((count(&found, "failure"), count(&found, "skipped")), (1, 1), "{xml}");
    // Another reader: Python's expat knows nothing of ours.
    let program = "import sys, xml.etree.ElementTree as t; print(len(list(t.parse(sys.argv[1]).iter('testcase'))))";
    assert_eq!(run(Command::new("python3").args(["-c", program]).arg(&into)).trim(), "5");

    let (outcome, xml) = report(desk, &folder.path().join("missing.consign"), "junit", &into);
    assert_eq!(outcome.exit, Some(1), "{outcome}");
    let found = elements(&xml);
    assert_eq!((count(&found, "error"), count(&found, "failure"), count(&found, "skipped")), (1, 0, 2), "{xml}");
}

#[test]
fn sarif_keeps_results_and_failures_of_the_tool_apart() {
    if !Desk::is_possible() {
        return;
    }
    let (desk, bundle) = Desk::shared();
    let folder = tempfile::tempdir().unwrap();
    let into = folder.path().join("verify.sarif");
    let parse = |text: &str| serde_json::from_str::<Value>(text).unwrap()["runs"][0].clone();
    let (_, text) = report(desk, bundle, "sarif", &into);
    let good = parse(&text);
    assert_eq!(good["results"].as_array().map(Vec::len), Some(0), "{good:#}");
    assert_eq!(good["invocations"][0]["executionSuccessful"], true);

    let odd = folder.path().join("a b%.consign");
    fs::write(&odd, &fs::read(bundle).unwrap()[..2_000_000]).unwrap();
    let (outcome, text) = report(desk, &odd, "sarif", &into);
    assert_eq!(outcome.exit, Some(10), "{outcome}");
    let bad = parse(&text);
    let result = &bad["results"][0];
    assert_eq!((&result["ruleId"], &result["level"]), (&"truncated".into(), &"error".into()), "{bad:#}");
    let uri = result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"].as_str().unwrap();
    assert!(uri.ends_with("/a%20b%25.consign"), "{uri}");
    let rule = &bad["tool"]["driver"]["rules"][0];
    assert_eq!(rule["id"], "truncated");
    assert!(rule["helpUri"].as_str().unwrap().ends_with("errors.html#truncated"), "{rule:#}");
    assert!(rule["help"]["text"].as_str().unwrap().contains("copy that was cut short"), "{rule:#}");

    let (outcome, text) = report(desk, &folder.path().join("missing.consign"), "sarif", &into);
    assert_eq!(outcome.exit, Some(1), "{outcome}");
    let unchecked = parse(&text);
    assert_eq!(unchecked["results"].as_array().map(Vec::len), Some(0), "{unchecked:#}");
    let invocation = &unchecked["invocations"][0];
    assert_eq!(invocation["executionSuccessful"], false);
    assert_eq!(invocation["toolExecutionNotifications"][0]["associatedRule"]["id"], "io");
}

#[test]
fn every_form_warns_of_what_a_fingerprint_alone_cannot_see() {
    if !Desk::is_possible() {
        return;
    }
    let (desk, bundle) = Desk::shared();
    let pin = fingerprint(desk.repository.folder());
    let verify = |more: &[&str]| desk.consign(["verify", "--root-sha256", &pin]).args(more).arg(bundle).succeeds();
    verify(&[]).says("warning    trust: the fingerprint alone knows no root later").says("--root trust");
    let checks = verify(&["--json"]).json()["checks"].clone();
    assert_eq!((&checks[0]["check"], &checks[0]["outcome"]), (&"trust".into(), &"passed".into()), "{checks:#}");
    assert_eq!(checks[0]["warnings"].as_array().map(Vec::len), Some(1), "{checks:#}");
    let xml = verify(&["--format", "junit"]).stdout;
    assert_eq!(count(&elements(&xml), "system-err"), 1, "{xml}");
    let run = verify(&["--format", "sarif"]).json()["runs"][0]["invocations"][0].clone();
    assert_eq!((&run["toolConfigurationNotifications"][0]["level"]), "warning", "{run:#}");
    assert_eq!(run["executionSuccessful"], true, "{run:#}");

    // With the roots beside it there is nothing to warn of; with others, or not from the first on, no trust.
    assert!(!verify(&["--root", "trust"]).stdout.contains("warning"));
    assert!(!verify(&["--root", "trust/1.root.json"]).stdout.contains("warning"));
    let wrong = "0".repeat(64);
    let pinned = |root: &Path| desk.consign(["verify", "--root-sha256", &wrong, "--root"]).arg(root).arg(bundle);
    pinned(Path::new("trust")).fails("root-unknown", 12);
    let folder = tempfile::tempdir().unwrap();
    pinned(folder.path()).fails("root-missing", 2);
    desk.consign(["keys", "new", "--domain", "lumen"]).option("--trust", folder.path()).succeeds();
    add_root(desk, folder.path());
    let later = folder.path().join("2.root.json");
    pinned(&later).fails("usage", 2).says("--root begins with root 2");
}

/// Makes root 2 of other roots than the desk's.
fn add_root(desk: &Desk, trust: &Path) {
    let key = trust.join("more");
    desk.consign(["keys", "new", "--key-only"]).arg(&key).succeeds();
    let add = format!("approver={}.pub", key.display());
    let rotate = desk.consign(["keys", "rotate", "--add", &add]).option("--trust", trust);
    rotate.option("--key", trust.join("dev.key")).succeeds();
}

#[test]
fn a_report_goes_where_it_is_sent() {
    if !Desk::is_possible() {
        return;
    }
    let (desk, bundle) = Desk::shared();
    let plain = desk.consign(["verify", "--format", "junit"]).arg(bundle).succeeds();
    assert!(plain.stdout.starts_with("<?xml") && elements(&plain.stdout).len() > 5, "{plain}");
    let json = desk.consign(["verify", "--format", "json"]).arg(bundle).succeeds().json();
    assert_eq!(json["verdict"], "accepted");
    desk.consign(["verify", "--json", "--format", "sarif"]).arg(bundle).exits(2);
    let folder = tempfile::tempdir().unwrap();
    let into = folder.path().join("report.txt");
    let both = desk.consign(["verify", "--json", "--output"]).arg(&into).arg(bundle).succeeds();
    assert_eq!(both.json()["verdict"], "accepted");
    assert!(fs::read_to_string(into).unwrap().contains("is whole and signed"));
}
