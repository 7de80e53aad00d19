//! What is not ours, and what is no longer as we placed it.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use consign_format::error::codes;
use consign_installer::files::Is;
use consign_installer::install_bundle::Finished;

use crate::ground::{CONF, Machine, TOOL, first, second};
use crate::kit::Draft;

#[test]
fn a_file_of_others_is_refused_and_named() {
    let machine = Machine::new();
    machine.write(TOOL, "of others");
    let before = machine.others();
    let failure = machine.install(&first()).unwrap_err();
    assert_eq!(failure.code(), codes::FILE_FOREIGN);
    assert!(failure.to_string().contains(TOOL), "{failure}");
    assert_eq!(machine.others(), before);
    assert_eq!(machine.site.store().blobs().unwrap().list().unwrap().blobs.len(), 0, "not even loaded");
}

#[test]
fn the_same_bytes_are_taken_over_and_given_back() {
    let machine = Machine::new();
    machine.write(TOOL, "tool 1");
    fs::set_permissions(machine.path(TOOL), PermissionsExt::from_mode(0o744)).unwrap();
    machine.install(&first()).unwrap();
    assert_eq!(machine.at(TOOL), "0755 tool 1");
    machine.install(&second()).unwrap();
    assert_eq!(machine.at(TOOL), "0700 tool 2");
    machine.install(&Draft::new("3.0", 30)).unwrap();
    assert_eq!(machine.at(TOOL), "0744 tool 1", "as it was before us");
}

#[test]
fn a_site_that_adopts_keeps_what_was_there() {
    let mut machine = Machine::new();
    machine.adopt = true;
    machine.write(TOOL, "of others");
    let before = machine.at(TOOL);
    machine.cluster.sick = Some("1.0");
    machine.install(&first()).unwrap_err();
    assert_eq!(machine.seen()[1], "apply tool 1");
    assert_eq!(machine.at(TOOL), before, "taken back to what others had");
}

#[test]
fn what_was_changed_by_hand_is_refused_and_named() {
    let change_content = |machine: &Machine| machine.write(TOOL, "mended by hand");
    let change_mode = |machine: &Machine| {
        fs::set_permissions(machine.path(TOOL), PermissionsExt::from_mode(0o700)).unwrap();
    };
    for change in [&change_content as &dyn Fn(&Machine), &change_mode] {
        let mut machine = Machine::running();
        machine.adopt = true;
        change(&machine);
        assert_eq!(machine.status()[1], (TOOL.to_owned(), Is::Changed));
        let before = machine.others();
        for draft in [first(), Draft::new("2.0", 20).with_file(TOOL, "0755", "tool 2")] {
            let failure = machine.install(&draft).unwrap_err();
            assert_eq!(failure.code(), codes::FILE_CHANGED);
            assert!(failure.to_string().contains(TOOL), "{failure}");
        }
        assert_eq!(machine.others(), before);
    }
}

#[test]
fn what_was_changed_by_hand_and_left_the_release_stays() {
    let machine = Machine::running();
    machine.write(CONF, "mended by hand");
    let Finished::Installed(installed) = machine.install(&second()).unwrap() else { panic!() };
    assert!(machine.at(CONF).ends_with("mended by hand"));
    let warning = format!("{CONF} left the release; it was changed since it was placed, and stays");
    assert!(installed.warnings.contains(&warning), "{:?}", installed.warnings);
}

#[test]
fn two_products_never_have_one_place() {
    let machine = Machine::running();
    let before = machine.others();
    for to in [TOOL, "/etc/tool", "/usr/local/bin/tool/below"] {
        let other = Draft::new("1.0", 10).product("other").with_file(to, "0755", "tool 1");
        let failure = machine.install(&other).unwrap_err();
        assert_eq!(failure.code(), codes::FILE_CLAIMED, "{to}");
        assert!(failure.to_string().contains("product demo"), "{failure}");
    }
    assert_eq!(machine.others(), before);
    machine.install(&Draft::new("1.0", 10).product("other").with_file("/etc/tool/more", "0644", "x")).unwrap();
}
