//! From a root on paper to a site record and back.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use consign_tests::command::Invocation;
use consign_tests::site::Site;
use consign_tests::skip;

use crate::workshop::{FOR_PRODUCTION, Workshop, words_of};

/// Enrols by words and leaves the enrol-request in a file.
fn enrol(workshop: &Workshop, site: &Site, file: &str) -> PathBuf {
    let request = workshop.at(file);
    let enrol = site.invoke(["enrol", "--site", "ward-7"]).option("--root", workshop.root());
    enrol.option("--root-words", workshop.root_words()).option("--output", &request).succeeds();
    request
}

#[test]
fn a_site_asks_and_headquarters_answers_with_a_record() {
    let workshop = Workshop::new();
    let (site, thief) = (Site::bare(), Site::bare());
    let bundle = workshop.build("1.0.0", FOR_PRODUCTION);
    let request = enrol(&workshop, &site, "request.json");
    site.export(&bundle).fails("other-site", 14);

    // On its way the request is exchanged for one of the same site, made elsewhere.
    let swapped = enrol(&workshop, &thief, "swapped.json");
    let record = workshop.at("record.json");
    let make = |request: &Path, words: &str| {
        let make = workshop.consign(["site", "record", "--environment", "production", "--label", "region=north"]);
        make.arg(request).option("--fingerprint", words).option("--output", &record)
    };
    make(&swapped, &words_of(&request)).fails("request-swapped", 12);
    let unsaid = workshop.consign(["site", "record"]).arg(&request);
    unsaid.fails("usage", 2).says("the request's fingerprint was not given");
    assert!(!record.exists());
    make(&request, &words_of(&request)).succeeds().says("signed        1 of 1");

    let stick = workshop.carry("stick.consign", &[&record]);
    thief.export(&stick).fails("other-site", 14).says("is for receipt key");
    site.export(&stick).succeeds().says("site record 1");
    assert_eq!(site.status()["domains"][0]["record"]["environments"][0], "production");
    site.export(&bundle).succeeds();

    // A change keeps what is not said anew, and the lower serial comes too late.
    let second = workshop.at("second.json");
    let change = workshop.consign(["site", "record", "--environment", "test"]);
    change.option("--previous", &record).option("--output", &second).succeeds();
    site.export(&workshop.carry("second.consign", &[&second])).succeeds();
    site.export(&stick).succeeds();
    let kept = &site.status()["domains"][0]["record"];
    assert_eq!((kept["serial"].as_u64(), kept["labels"][0].as_str()), (Some(2), Some("region=north")));
}

#[test]
fn nobody_is_trusted_at_first_sight() {
    let workshop = Workshop::new();
    let site = Site::bare();
    let enrol = || site.invoke(["enrol", "--site", "ward-7"]).option("--root", workshop.root());
    enrol().fails("usage", 2).says("the root's fingerprint was not given");
    enrol().option("--root-sha256", "0".repeat(64)).fails("root-unknown", 12);
    let misheard = workshop.root_words().replacen(|c: char| c.is_ascii_lowercase(), "x", 1);
    enrol().option("--root-words", misheard).fails("usage", 2);
    assert!(!site.kept().exists());
}

/// Runs a command on a terminal of its own, and types a line.
fn typed(invocation: &Invocation, line: &str) -> (bool, String) {
    let command = invocation.command();
    let quote = |word: &std::ffi::OsStr| format!("'{}'", word.to_str().unwrap());
    let words: Vec<String> = std::iter::once(command.get_program()).chain(command.get_args()).map(quote).collect();
    let mut script = std::process::Command::new("script");
    script.args(["--quiet", "--return", "--command", &words.join(" "), "/dev/null"]);
    let mut child = script.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    writeln!(child.stdin.take().unwrap(), "{line}").unwrap();
    let said = child.wait_with_output().unwrap();
    (said.status.success(), String::from_utf8_lossy(&said.stdout).into_owned())
}

#[test]
fn a_person_types_the_words_from_paper() {
    if !skip::unless(Path::new("/usr/bin/script").exists(), "script is not installed", "apt-get install bsdutils") {
        return;
    }
    let workshop = Workshop::new();
    let site = Site::bare();
    let enrol = site.invoke(["enrol", "--site", "ward-7"]).option("--root", workshop.root());
    let (done, said) = typed(&enrol, "yes");
    assert!(!done && said.contains("`yes` is no fingerprint"), "{said}");
    let (done, said) = typed(&enrol, &words_of(&workshop.at("repository/deploy/settings.yaml")));
    assert!(!done && said.contains("error[root-unknown]"), "{said}");
    let (done, said) = typed(&enrol, &workshop.root_words());
    assert!(done && said.contains("Type the root's fingerprint"), "{said}");
    site.status();
}

#[test]
fn kits_for_many_sites() {
    let workshop = Workshop::new();
    fs::write(workshop.at("sites.csv"), "site,environments,labels\nward-1,production,region=north\nward-2,test\n")
        .unwrap();
    let kits = workshop.at("kits");
    let prepare = || workshop.consign(["site", "kit", "sites.csv", "--output", "kits"]);
    prepare().succeeds().says("2 kits in kits, 2 of them written now");
    prepare().succeeds().says("2 kits in kits, 0 of them written now");
    assert_eq!(fs::metadata(kits.join("ward-1/site.key")).unwrap().permissions().mode() & 0o777, 0o600);

    let bundle = workshop.build("1.0.0", FOR_PRODUCTION);
    let site = Site::bare();
    let enrol = |words: &str| site.invoke(["enrol"]).option("--kit", kits.join("ward-1")).option("--root-words", words);
    enrol(&words_of(&workshop.at("sites.csv"))).fails("root-unknown", 12);
    assert!(!site.kept().exists());
    enrol(&workshop.root_words()).succeeds().says("site record       1");
    site.export(&bundle).succeeds();
    let other = Site::bare();
    let enrol = other.invoke(["enrol"]).option("--kit", kits.join("ward-2"));
    enrol.option("--root-words", workshop.root_words()).succeeds();
    other.export(&bundle).fails("other-site", 14);

    // Keys made on first boot: no secret leaves the depot, and the request comes back.
    prepare().arg("--keys-on-first-boot").fails("already-exists", 1);
    let first_boot = workshop.consign(["site", "kit", "sites.csv", "--output", "bare", "--keys-on-first-boot"]);
    first_boot.succeeds();
    assert!(!workshop.at("bare/ward-1/site.key").exists());
    let third = Site::bare();
    let request = workshop.at("request.json");
    let enrol = third.invoke(["enrol"]).option("--kit", workshop.at("bare/ward-1")).option("--output", &request);
    enrol.option("--root-words", workshop.root_words()).succeeds();
    let record = workshop.consign(["site", "record"]).arg(&request).option("--fingerprint", words_of(&request));
    record.succeeds().says("ward-1, record 1");
}
