//! The main path through the library: enrol, verify, install, install again, the next release.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::disallowed_methods, reason = "a suite")]

mod kit;
mod site_kit;

use consign_format::receipt::Outcome;
use consign_installer::install_bundle::Finished;
use kit::Draft;
use site_kit::TestSite;

#[test]
fn a_release_is_installed_and_the_next_one_follows() {
    let site = TestSite::enrolled();
    let first = site.install(&Draft::new("1.0", 10)).unwrap();
    let Finished::Installed(first) = first else { panic!("{first:?}") };
    assert_eq!((first.outcome, first.receipt, first.already_current), (Outcome::Applied, 1, false));
    assert_eq!(first.changes.counts().created, 2);
    let product = site.product();
    assert_eq!(product.current.as_ref().unwrap().release.version, "1.0");
    assert!(product.current.unwrap().confirmed);

    let Finished::Installed(again) = site.install(&Draft::new("1.0", 10)).unwrap() else { panic!() };
    assert!(again.already_current && again.changes.is_unchanged());
    assert_eq!(again.loaded.written, 0);

    let Finished::Installed(second) = site.install(&Draft::new("2.0", 20)).unwrap() else { panic!() };
    assert_eq!((second.changes.counts().configured, second.changes.counts().unchanged), (1, 1));
    let product = site.product();
    assert_eq!(product.current.unwrap().release.version, "2.0");
    assert_eq!(product.previous.unwrap().version, "1.0");
    assert_eq!(site.receipts().len(), 3);
}

/// A raw stick: the bundle from its first block on, and old rubbish behind. Needs a loop device, so root.
#[test]
fn a_block_device_ends_where_the_bundle_does() {
    use std::io::Write;
    use std::process::Command;
    let site = TestSite::enrolled();
    let mut stick = Draft::new("1.0", 10).bundle();
    stick.extend([0x55; 4096]);
    stick.resize(stick.len().next_multiple_of(4096), 0x55);
    let (_medium, path) = site.medium(&stick);
    let attached = Command::new("losetup").args(["--find", "--show", "--read-only"]).arg(&path).output();
    let Some(attached) = attached.ok().filter(|output| output.status.success()) else {
        // Past the harness, which shows the words of passing tests to nobody. What decides is tested beside `open` too.
        let words = "SKIPPED a_block_device_ends_where_the_bundle_does: no loop device can be attached (run as root)";
        let _ = writeln!(std::io::stderr().lock(), "{words}");
        return;
    };
    let device = String::from_utf8(attached.stdout).unwrap().trim().to_owned();
    let installed = site.install_path(std::path::Path::new(&device));
    assert!(Command::new("losetup").args(["--detach", &device]).status().unwrap().success());
    installed.unwrap();
    let failure = site.install_bytes(&stick, Default::default()).unwrap_err();
    assert_eq!(failure.code(), consign_format::error::codes::ARCHIVE_MALFORMED, "a file must end exactly");
}
