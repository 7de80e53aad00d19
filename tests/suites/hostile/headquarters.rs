//! Lies on the way back, and inside headquarters: receipts, enrol-requests, signers.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use consign_format::Digest;
use consign_format::trust::fingerprint;
use consign_tests::command::Invocation;
use consign_tests::site::Site;

use super::trial::{Row, Trial, refusal};
use super::workshop::Workshop;

pub(crate) const ROWS: &[Row] = &[
    Row { number: 71, lie: "a receipt forged, of another site, replayed, missing", exits: &[0, 12], show: receipts },
    Row { number: 72, lie: "an enrol-request swapped on the way", exits: &[12], show: requests },
    Row { number: 73, lie: "a signer that returns a wrong signature", exits: &[12], show: signers },
];

/// The twelve words of a file, as they are read over the telephone.
fn words_of(file: &Path) -> String {
    fingerprint::words(&Digest::of(&fs::read(file).unwrap()))
}

/// Enrols a site and leaves its request in a file.
fn enrol(workshop: &Workshop, site: &Site, name: &str) -> PathBuf {
    let (root, request) = (workshop.path("tree/trust/1.root.json"), workshop.path(&format!("{name}.request.json")));
    let enrol = site.invoke(["enrol", "--site", name]).option("--root", &root).option("--root-words", words_of(&root));
    enrol.option("--output", &request).succeeds();
    request
}

/// `consign site record` for a request whose words are these.
fn record(workshop: &Workshop, request: &Path, words: &str, output: &Path) -> Invocation {
    let make = workshop.consign(&["site", "record"]).arg(request).option("--fingerprint", words);
    make.option("--output", output)
}

fn receipts(trial: &mut Trial) {
    let workshop = Workshop::new();
    let bundle = {
        assert_eq!(workshop.build().exit, Some(0));
        workshop.bundle()
    };
    let (site, other) = (Site::bare(), Site::bare());
    let mut records = Vec::new();
    for (site, name) in [(&site, "ward-7"), (&other, "ward-8")] {
        let request = enrol(&workshop, site, name);
        let output = workshop.path(&format!("{name}.record.json"));
        record(&workshop, &request, &words_of(&request), &output).succeeds();
        records.push(output);
        for _ in 0..3 {
            site.export(&bundle).succeeds();
        }
    }
    let (back, theirs) = (workshop.path("back"), workshop.path("theirs"));
    site.invoke(["receipts", "export"]).arg(&back).succeeds();
    other.invoke(["receipts", "export"]).arg(&theirs).succeeds();
    let check = || workshop.consign(&["site", "receipts"]).arg(&back).option("--record", &records[0]);
    let numbered = |folder: &Path| {
        let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        files.into_iter().find(|path| path.to_string_lossy().ends_with("000002.json")).unwrap()
    };
    trial.succeeds("as they came", &check()).says("3 receipts of site ward-7 hold");
    let second = numbered(&back);
    let good = fs::read(&second).unwrap();
    let refused = |subject| refusal(12, "receipts-refused", subject);

    fs::remove_file(&second).unwrap();
    trial.succeeds("one is missing", &check()).says("receipt 2 is missing");
    let forged = String::from_utf8(good.clone()).unwrap().replace("\"applied\"", "\"halted\"");
    assert_ne!(forged.as_bytes(), good);
    fs::write(&second, forged).unwrap();
    trial.ends("forged", &check().run(), refused("000002.json"));
    fs::write(&second, &good).unwrap();
    fs::copy(numbered(&theirs), back.join("stray.json")).unwrap();
    trial.ends("another site's", &check().run(), refused("stray.json"));
    fs::copy(&second, back.join("stray.json")).unwrap();
    trial.succeeds("replayed", &check()).says("once more");
    trial.notes("a gap and a replay are said");
}

fn requests(trial: &mut Trial) {
    let workshop = Workshop::new();
    let (site, thief) = (Site::bare(), Site::bare());
    let request = enrol(&workshop, &site, "ward-7");
    let words = words_of(&request);
    let swapped = workshop.path("swapped.json");
    fs::rename(&request, workshop.path("true.json")).unwrap();
    fs::rename(enrol(&workshop, &thief, "ward-7"), &swapped).unwrap();
    let output = workshop.path("record.json");
    let outcome = record(&workshop, &swapped, &words, &output).run();
    trial.ends("swapped", &outcome, refusal(12, "request-swapped", "fingerprint"));
    assert!(!output.exists(), "a record was written");
    record(&workshop, &workshop.path("true.json"), &words, &output).succeeds();
    // Nor does a site take a root at first sight.
    let stranger = Workshop::new();
    let bare = Site::bare();
    let root = stranger.path("tree/trust/1.root.json");
    let enrol = bare.invoke(["enrol", "--site", "ward-9"]).option("--root", root);
    let words = words_of(&workshop.path("tree/trust/1.root.json"));
    let outcome = enrol.option("--root-words", words).run();
    trial.ends("a swapped root", &outcome, refusal(12, "root-unknown", "fingerprint"));
    assert!(bare.snapshot().is_empty(), "a refused enrolment leaves something");
    trial.notes("no record written; no trust on first use");
}

fn signers(trial: &mut Trial) {
    let workshop = Workshop::new();
    let root = fs::read(workshop.path("tree/trust/1.root.json")).unwrap();
    let root: serde_json::Value = serde_json::from_slice(&root).unwrap();
    let (_, key) = root["signed"]["keys"].as_object().unwrap().iter().next().unwrap();
    let public = key["keyval"]["public"].as_str().unwrap();
    for (what, line) in [("zeros", "head -c 64 /dev/zero"), ("noise", "head -c 64 /dev/urandom")] {
        let command = workshop.path("sign.sh");
        fs::write(&command, format!("#!/bin/sh\ncat > /dev/null\n{line}\n")).unwrap();
        fs::set_permissions(&command, fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(workshop.build().exit, Some(0));
        fs::remove_file(workshop.bundle()).unwrap();
        let build = workshop.consign(&["build", "--public-key", public]).option("--sign-command", &command);
        let outcome = build.run();
        trial.ends(what, &outcome, refusal(12, "signature-invalid", "does not hold"));
        assert!(!workshop.bundle().exists(), "{what}: a bundle was written");
    }
    trial.notes("no bundle written");
}
