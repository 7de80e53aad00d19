//! Releases and machines that mean harm: nothing is followed, nothing is written where it must not be.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

use consign_format::error::{Coded, codes};
use consign_installer::files::{Is, carry_out, plan};

use crate::ground::{CONF, Machine, TOOL, first, second};
use crate::kit::{Draft, name};

#[test]
fn places_that_cannot_be_meant_are_refused() {
    let machine = Machine::new();
    let before = machine.others();
    for (to, mode) in [
        ("/opt/../etc/passwd", "0644"),
        ("/opt/./x", "0644"),
        ("opt/x", "0644"),
        ("/", "0644"),
        ("/opt//x", "0644"),
        ("/opt/x/", "0644"),
        ("/opt/x", "4755"),
        ("/opt/x", "0999"),
    ] {
        let failure = machine.install(&Draft::new("1.0", 10).with_file(to, mode, "x")).unwrap_err();
        assert_eq!(failure.code(), codes::RELEASE_MALFORMED, "{to} {mode}");
    }
    let twice = Draft::new("1.0", 10).with_file("/opt/x", "0644", "a").with_file("/opt/x", "0644", "b");
    assert_eq!(machine.install(&twice).unwrap_err().code(), codes::RELEASE_MALFORMED);
    let within = Draft::new("1.0", 10).with_file("/opt/x", "0644", "a").with_file("/opt/x/y", "0644", "b");
    assert_eq!(machine.install(&within).unwrap_err().code(), codes::RELEASE_MALFORMED);
    assert_eq!(machine.others(), before);
}

#[test]
fn our_own_folders_and_what_is_no_disk_are_out_of_reach() {
    let mut machine = Machine::new();
    machine.adopt = true;
    let before = machine.others();
    for to in ["/var/lib/consign/trust/site", "/etc/consign/site.toml", "/proc/sys/x", "/sys/x", "/dev/sda"] {
        let failure = machine.install(&Draft::new("1.0", 10).with_file(to, "0644", "x")).unwrap_err();
        assert_eq!(failure.code(), codes::NOT_ALLOWED, "{to}");
    }
    assert_eq!(machine.others(), before);
}

#[test]
fn no_link_is_followed_on_the_way_or_at_the_end() {
    let elsewhere = tempfile::tempdir().unwrap();
    for link in ["/etc/tool", "/etc", CONF] {
        let machine = Machine::new();
        let target = if link == CONF { elsewhere.path().join("target") } else { elsewhere.path().to_owned() };
        fs::create_dir_all(machine.path(link).parent().unwrap()).unwrap();
        let _ = fs::remove_dir_all(machine.path(link));
        symlink(&target, machine.path(link)).unwrap();
        assert_eq!(machine.install(&first()).unwrap_err().code(), codes::UNSAFE_FILE, "{link}");
        assert!(!machine.path(TOOL).exists(), "nothing was placed at all");
    }
    assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 0);
}

#[test]
fn a_folder_or_a_pipe_in_the_place_is_refused() {
    for make in ["mkdir", "mkfifo"] {
        let machine = Machine::new();
        assert!(Command::new(make).arg(machine.path(TOOL)).status().unwrap().success());
        assert_eq!(machine.install(&first()).unwrap_err().code(), codes::UNSAFE_FILE, "{make}");
        assert!(!machine.path(CONF).exists());
    }
}

#[test]
fn what_is_swapped_between_the_look_and_the_write_is_left_alone() {
    let elsewhere = tempfile::tempdir().unwrap();
    let outside = elsewhere.path().join("tool");
    fs::write(&outside, "outside").unwrap();
    let machine = Machine::running();
    let draft = Draft::new("2.0", 20).with_file(TOOL, "0700", "tool 2").with_file(CONF, "0640", "conf 1");
    let site = machine.open();
    draft.content.iter().for_each(|(digest, bytes)| {
        site.store.blobs().unwrap().put(digest, bytes.len() as u64, &bytes[..]).unwrap();
    });
    let plan = plan(&site, &name("dev"), &draft.release, 0).unwrap();
    let bin = machine.path("/usr/local/bin");
    // The file for another, for a link; its folder for a link.
    machine.write(TOOL, "quickly written");
    assert_eq!(carry_out(&site, &plan).unwrap_err().code(), codes::FILE_CHANGED);
    assert!(machine.at(TOOL).ends_with("quickly written"));
    fs::remove_file(machine.path(TOOL)).unwrap();
    symlink(&outside, machine.path(TOOL)).unwrap();
    assert_eq!(carry_out(&site, &plan).unwrap_err().code(), codes::UNSAFE_FILE);
    fs::remove_dir_all(&bin).unwrap();
    symlink(elsewhere.path(), &bin).unwrap();
    assert_eq!(carry_out(&site, &plan).unwrap_err().code(), codes::UNSAFE_FILE);
    assert_eq!(fs::read_to_string(&outside).unwrap(), "outside");
    assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 1);
}

#[test]
fn a_link_in_place_of_a_file_that_left_stays_and_nothing_behind_it_is_touched() {
    let machine = Machine::running();
    let elsewhere = tempfile::tempdir().unwrap();
    fs::write(elsewhere.path().join("tool.conf"), "conf 1").unwrap();
    fs::remove_dir_all(machine.path("/etc/tool")).unwrap();
    symlink(elsewhere.path(), machine.path("/etc/tool")).unwrap();
    assert_eq!(machine.status()[0], (CONF.to_owned(), Is::Unsafe));
    machine.install(&second()).unwrap();
    assert_eq!(fs::read_to_string(elsewhere.path().join("tool.conf")).unwrap(), "conf 1");
}

#[test]
fn content_that_rotted_in_the_store_is_never_placed() {
    let machine = Machine::running();
    let site = machine.open();
    let draft = second();
    let digest = draft.release.files[0].digest;
    let blobs = site.store.blobs().unwrap();
    draft.content.iter().for_each(|(digest, bytes)| blobs.put(digest, bytes.len() as u64, &bytes[..]).unwrap());
    fs::remove_file(blobs.path(&digest)).unwrap();
    fs::write(blobs.path(&digest), "tool X").unwrap();
    let plan = plan(&site, &name("dev"), &draft.release, 0).unwrap();
    assert_eq!(carry_out(&site, &plan).unwrap_err().code(), codes::DIGEST_MISMATCH);
    assert_eq!(machine.at(TOOL), "0755 tool 1");
    assert_eq!(fs::read_dir(machine.path("/usr/local/bin")).unwrap().count(), 1, "no draft stays");
}
