//! Power cuts and file systems that say no, as states on the disk: whatever was reached, running again ends the same.

use std::fs;
use std::process::Command;

use consign_format::error::codes;
use consign_installer::files::{Is, carry_out, plan};
use consign_installer::store::placed::Placed;

use crate::ground::{CONF, Machine, TOOL, first, second};
use crate::kit::{Draft, name};

/// Puts the blobs of a release into the store and carries its files out until it fails at a place that cannot be had.
fn cut_off(machine: &Machine, draft: &Draft) -> Placed {
    let site = machine.open();
    let blobs = site.store.blobs().unwrap();
    draft.content.iter().for_each(|(digest, bytes)| blobs.put(digest, bytes.len() as u64, &bytes[..]).unwrap());
    let plan = plan(&site, &name("dev"), &draft.release, 0).unwrap();
    // The tool comes second; what stands there now was not planned for.
    let kept = fs::read(machine.path(TOOL)).unwrap();
    fs::remove_file(machine.path(TOOL)).unwrap();
    carry_out(&site, &plan).unwrap_err();
    fs::write(machine.path(TOOL), kept).unwrap();
    fs::set_permissions(machine.path(TOOL), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    site.store.read_placed(&name("dev"), &name("demo")).unwrap()
}

#[test]
fn a_run_that_was_cut_off_is_taken_up_or_taken_back() {
    let machine = Machine::running();
    let before = machine.others();
    let placed = cut_off(&machine, &second());
    assert!(placed.places[TOOL].unsettled && machine.path("/opt/new/deep/file").exists());
    assert_eq!(machine.status()[2].1, Is::Unsettled);
    // Drafts that a cut left, also of places that change no more.
    for to in [TOOL, CONF, "/opt/new/deep/file"] {
        let draft = format!(".draft-consign-{}", &consign_format::Digest::of(to.as_bytes()).hex()[..16]);
        fs::write(machine.path(to).with_file_name(draft), "half").unwrap();
    }
    machine.install(&first()).unwrap();
    assert_eq!(machine.others(), before, "back to the first, drafts and all");

    cut_off(&machine, &second());
    machine.install(&second()).unwrap();
    assert_eq!((machine.at(TOOL), machine.at(CONF)), ("0700 tool 2".into(), "-".into()));
    assert!(machine.status().iter().all(|(_, is)| *is == Is::AsPlaced));
    machine.install(&Draft::new("3.0", 30)).unwrap();
    assert!(!machine.path("/opt").exists(), "folders of a run that was cut off are known too");
}

#[test]
fn a_record_that_is_damaged_is_no_fresh_start() {
    let machine = Machine::running();
    let record = machine.path("/var/lib/consign/files/placed/dev/demo");
    let mut bytes = fs::read(&record).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&record, bytes).unwrap();
    assert_eq!(machine.install(&second()).unwrap_err().code(), codes::STATE_DAMAGED);
    assert_eq!(machine.at(TOOL), "0755 tool 1");
}

#[test]
fn a_folder_that_takes_no_files_is_found_out_beforehand() {
    let machine = Machine::running();
    let bin = machine.path("/usr/local/bin");
    let chattr = |flag: &str| Command::new("chattr").arg(flag).arg(&bin).output().is_ok_and(|o| o.status.success());
    if !chattr("+i") {
        // Root passes by modes, so without immutable folders there is nothing to see here.
        if rustix::process::geteuid().is_root() {
            use std::io::Write;
            let _ =
                writeln!(std::io::stderr().lock(), "SKIPPED: chattr +i is not possible here (file system or rights)");
            return;
        }
        fs::set_permissions(&bin, std::os::unix::fs::PermissionsExt::from_mode(0o555)).unwrap();
    }
    let before = machine.others();
    let failure = machine.install(&second());
    chattr("-i");
    let failure = failure.unwrap_err();
    assert_eq!(failure.code(), codes::IO);
    assert!(failure.to_string().contains("/usr/local/bin"), "{failure}");
    assert_eq!(machine.others(), before);
}
