//! Files of a release at their places: there before the cluster is asked, gone with their release, back with the one
//! before, and never over something that is not ours.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::disallowed_methods, reason = "a suite")]
#![allow(unreachable_pub, missing_docs, reason = "a suite in several files")]

mod kit;
mod site_kit;

#[path = "files/cut.rs"]
mod cut;
#[path = "files/ground.rs"]
mod ground;
#[path = "files/hostile.rs"]
mod hostile;
#[path = "files/others.rs"]
mod others;
#[path = "files/services.rs"]
mod services;

use std::fs;

use consign_format::error::codes;
use consign_installer::files::Is;
use consign_installer::install_bundle::Finished;
use ground::{CONF, Machine, TOOL, first, second};
use kit::Draft;

#[test]
fn files_are_there_before_the_objects_and_as_they_are_declared() {
    let machine = Machine::new();
    machine.install(&first()).unwrap();
    assert_eq!(machine.seen(), ["plan -", "apply tool 1"]);
    assert_eq!((machine.at(TOOL), machine.at(CONF)), ("0755 tool 1".into(), "0640 conf 1".into()));
    assert_eq!(machine.status(), [(CONF.to_owned(), Is::AsPlaced), (TOOL.to_owned(), Is::AsPlaced)]);
    let phases = &machine.site.receipts()[0].receipt.phases;
    let phases: Vec<&str> = phases.iter().map(|phase| phase.name.as_str()).collect();
    assert_eq!(phases, ["verify", "load", "files", "apply", "health"]);
}

#[test]
fn what_left_the_release_is_removed_and_so_are_its_folders() {
    let machine = Machine::running();
    let Finished::Installed(installed) = machine.install(&second()).unwrap() else { panic!() };
    let changes: Vec<String> = installed.files.iter().map(ToString::to_string).collect();
    assert_eq!(
        changes,
        ["file /opt/new/deep/file: placed", "file /usr/local/bin/tool: replaced", "file /etc/tool/tool.conf: removed"]
    );
    assert_eq!((machine.at(TOOL), machine.at(CONF)), ("0700 tool 2".into(), "-".into()));
    assert!(!machine.path("/etc/tool").exists(), "a folder of ours that is empty goes");
    assert_eq!(machine.at("/opt/new"), "0755 no file");
    machine.install(&Draft::new("3.0", 30)).unwrap();
    assert!(!machine.path("/opt").exists() && machine.path("/usr/local/bin").exists());
    assert!(machine.status().is_empty());
}

#[test]
fn a_folder_that_others_use_stays() {
    let machine = Machine::running();
    machine.write("/etc/tool/mine", "x");
    machine.install(&second()).unwrap();
    assert_eq!((machine.at(CONF), machine.path("/etc/tool/mine").exists()), ("-".into(), true));
}

#[test]
fn a_release_that_fails_takes_its_files_with_it() {
    let mut machine = Machine::running();
    let before = machine.others();
    machine.cluster.sick = Some("2.0");
    assert_eq!(machine.install(&second()).unwrap_err().code(), codes::UNHEALTHY);
    assert_eq!(machine.seen(), ["plan tool 1", "apply tool 2", "rollback tool 1"]);
    assert_eq!(machine.others(), before, "all as it was");
    assert!(machine.status().iter().all(|(_, is)| *is == Is::AsPlaced));
}

#[test]
fn a_first_release_that_fails_leaves_nothing() {
    let mut machine = Machine::new();
    let before = machine.others();
    machine.cluster.sick = Some("1.0");
    assert_eq!(machine.install(&first()).unwrap_err().code(), codes::UNHEALTHY);
    assert_eq!((machine.others(), machine.status().len()), (before, 0));
}

#[test]
fn an_apply_that_wrote_nothing_leaves_no_files() {
    let mut machine = Machine::running();
    let before = machine.others();
    machine.cluster.refuses = true;
    assert_eq!(machine.install(&second()).unwrap_err().code(), codes::APPLY_REFUSED);
    assert_eq!((machine.others(), machine.site.product().current.unwrap().release.version), (before, "1.0".into()));
}

#[test]
fn a_rehearsal_names_what_would_be_and_changes_nothing() {
    let machine = Machine::running();
    let before = kit::fingerprint(machine.site.root.path());
    let Finished::Planned(planned) = machine.rehearse(&second()).unwrap() else { panic!() };
    assert_eq!(planned.files.len(), 3);
    assert_eq!(kit::fingerprint(machine.site.root.path()), before);
}

#[test]
fn installing_again_repairs_what_was_taken_away_and_says_so() {
    let machine = Machine::running();
    fs::remove_file(machine.path(TOOL)).unwrap();
    assert_eq!(machine.status()[1], (TOOL.to_owned(), Is::Gone));
    let Finished::Installed(installed) = machine.install(&first()).unwrap() else { panic!() };
    assert_eq!(machine.at(TOOL), "0755 tool 1");
    assert!(installed.warnings.contains(&format!("{TOOL} was taken away since it was placed, and is placed again")));
}

#[test]
fn the_installer_itself_is_not_placed() {
    let machine = Machine::new();
    machine.install(&first().with_program("9.9.9", b"program")).unwrap();
    assert!(!machine.path("/usr/local/bin/consign-site").exists());
}

#[test]
fn owners_are_given_by_root_alone_and_must_be_known() {
    let machine = Machine::new();
    let mut draft = first();
    draft.release.files[0].owner = Some("no-such-user".into());
    let before = machine.others();
    assert_eq!(machine.install(&draft).unwrap_err().code(), codes::FILE_OWNER);
    assert_eq!(machine.others(), before);
    draft.release.files[0].owner = Some("12345:54321".into());
    let installed = machine.install(&draft);
    if rustix::process::geteuid().is_root() {
        installed.unwrap();
        use std::os::unix::fs::MetadataExt;
        let metadata = fs::metadata(machine.path(TOOL)).unwrap();
        assert_eq!((metadata.uid(), metadata.gid(), metadata.mode() & 0o7777), (12345, 54321, 0o755));
    } else {
        assert_eq!(installed.unwrap_err().code(), codes::FILE_OWNER);
    }
}
