//! The installer itself, swapped on the stick.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use consign_format::Digest;
use consign_tests::forge::{Forge, STRANGER};
use consign_tests::images::run;
use consign_tests::programs;
use serde_json::json;

use super::ground::{Medium, NEXT};
use super::trial::{Row, Trial, refusal};

pub(crate) const ROWS: &[Row] =
    &[Row { number: 80, lie: "a swapped installer binary on the stick", exits: &[10, 11, 12], show: swapped }];

fn swapped(trial: &mut Trial) {
    let folder = tempfile::tempdir().unwrap();
    let (program, marker) = (folder.path().join("consign-site"), folder.path().join("was-run"));
    run(Command::new("cp").arg(programs::consign_site()).arg(&program));
    let installed = Digest::of(&fs::read(&program).unwrap());
    let long = "# as long as a program\n".repeat(100);
    let evil = format!("#!/bin/sh\ntouch {}\necho 'consign-site 9.9.9'\n{long}", marker.display());

    // Beside a good bundle, under every name it may be looked for: the stick is installed from, and it is never run.
    let stick = tempfile::tempdir().unwrap();
    for name in ["consign-site", "autorun.sh", "install", "setup"] {
        let path = stick.path().join(name);
        fs::write(&path, &evil).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    fs::write(stick.path().join("lamp.consign"), Forge::new(NEXT).bundle()).unwrap();
    let site = &trial.ground().site;
    site.export(stick.path()).program(&program).in_folder(stick.path()).succeeds();
    trial.at(super::ground::Ground::new());

    let upgrade = |trial: &mut Trial, bytes: &[u8]| {
        let medium = Medium::of(bytes);
        trial.ground().site.invoke(["upgrade"]).arg(medium.path()).program(&program).run()
    };
    let outcome = upgrade(trial, evil.as_bytes());
    trial.refused("named itself", &outcome, refusal(11, "not-a-bundle", "not a Consign bundle"));
    let forge = || {
        Forge::new(NEXT).with(|forge| {
            forge.content.file("/usr/local/bin/consign-site", evil.as_bytes());
            let arch = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
            let files = forge.content.fields["files"].as_array_mut().unwrap();
            files.last_mut().unwrap()["installer"] = json!({"platform": format!("linux/{arch}"), "version": "9.9.9"});
        })
    };
    let stranger = forge().with(|forge| forge.approvers = vec![STRANGER]);
    let outcome = upgrade(trial, &stranger.bundle());
    trial.refused("in a bundle of a stranger", &outcome, refusal(12, "signature-invalid", "targets.json"));
    let tape = forge().tape();
    let member = tape.entries.len() - 1;
    let mut bytes = tape.bytes();
    bytes[tape.offset(member) + 512 + 20] ^= 1;
    let outcome = upgrade(trial, &bytes);
    trial.refused("exchanged inside a bundle", &outcome, refusal(10, "digest-mismatch", "packed/"));

    assert!(!marker.exists(), "a program of the stick was run");
    assert_eq!(Digest::of(&fs::read(&program).unwrap()), installed, "the installer was replaced");
    trial.notes("never run; registry, state, cluster, program untouched");
}
