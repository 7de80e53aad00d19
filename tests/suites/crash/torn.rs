//! State that is torn: 17, whatever the byte, and never a fresh start.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use consign_format::error::{Coded, Exit};
use consign_installer::site::{Site as Enrolled, SiteError};
use consign_installer::store::Store;
use consign_tests::desk::Desk;
use consign_tests::site::Site;

use crate::ground::ground;

/// The files under `trust/` of a site that has installed something.
fn trusted(site: &Site) -> Vec<PathBuf> {
    let below = |path: &PathBuf| path.starts_with("var/lib/consign/trust");
    let files = site.snapshot().into_iter().filter(|(_, what)| what.contains("sha256:")).map(|(path, _)| path);
    let files: Vec<PathBuf> = files.filter(below).map(|path| site.root().join(path)).collect();
    assert!(files.len() >= 3, "identity, key and one domain: {files:?}");
    files
}

/// Opens a site as a run does that changes it. A program that another test starts has, for an instant before it is
/// that program, a copy of all that is open here, the lock on the site too; so "busy" is asked again.
fn open(root: &Path) -> Result<(), SiteError> {
    for _ in 0..100 {
        match Enrolled::open_exclusive(Store::at(root)).map(drop) {
            Err(error) if error.code().exit == Exit::Busy => std::thread::sleep(Duration::from_millis(20)),
            opened => return opened,
        }
    }
    panic!("{} stays busy", root.display());
}

/// Every byte changed, every length but the whole; a file that still says the very same may pass.
#[test]
fn state_torn_at_any_byte_is_refused() {
    if !Desk::is_possible() {
        return;
    }
    let site = ground().upgrade.after().copy();
    open(site.root()).unwrap();
    for file in trusted(&site) {
        let whole = fs::read(&file).unwrap();
        let name = file.strip_prefix(site.root()).unwrap().display().to_string();
        // A key in PEM ends in a line break that says nothing, and may be spelled with another.
        let says_nothing = |at: usize| name.ends_with("site.key") && whole[at..].iter().all(u8::is_ascii_whitespace);
        let mut refused = 0;
        for at in 0..whole.len() {
            let mut flipped = whole.clone();
            flipped[at] ^= 1;
            for (how, torn) in [("cut", whole[..at].to_vec()), ("changed", flipped)] {
                fs::write(&file, torn).unwrap();
                match open(site.root()) {
                    Err(error) => {
                        assert_eq!(error.code().exit, Exit::NotEnrolled, "{name} {how} at {at}: {error}");
                        assert!(!matches!(error, SiteError::NotEnrolled { .. }), "{name} {how} at {at}: as if fresh");
                        refused += 1;
                    }
                    Ok(()) => assert!(says_nothing(at) || whole[at] == b'\n', "{name} {how} at {at} passed"),
                }
            }
        }
        assert!(refused + 16 > 2 * whole.len(), "{name}: {refused} of {} refused", 2 * whole.len());
        fs::write(&file, whole).unwrap();
    }
    open(site.root()).unwrap();
}

/// The same through the program, at a few places, and with each file gone.
#[test]
fn both_commands_refuse_torn_state() {
    if !Desk::is_possible() {
        return;
    }
    let scenario = &ground().upgrade;
    let site = scenario.after().copy();
    for file in trusted(&site) {
        let whole = fs::read(&file).unwrap();
        let middle = whole.len() / 2;
        let flip = |at: usize| {
            let mut flipped = whole.clone();
            flipped[at] ^= 1;
            Some(flipped)
        };
        let cut = |at: usize| Some(whole[..at].to_vec());
        for torn in [cut(0), cut(1), cut(middle), flip(0), flip(middle), None] {
            match &torn {
                Some(bytes) => fs::write(&file, bytes).unwrap(),
                None => fs::remove_file(&file).unwrap(),
            }
            let before = site.snapshot();
            scenario.install(&site).exits(17);
            if !file.ends_with("site.key") {
                site.invoke(["status"]).exits(17);
            }
            assert_eq!(site.snapshot(), before, "a refused run changed something");
        }
        fs::write(&file, whole).unwrap();
    }
    scenario.install(&site).succeeds();
}

/// All of it gone is a site that was never enrolled only where nothing else is left of it.
#[test]
fn a_site_that_lost_its_trust_cannot_be_enrolled_as_if_new() {
    if !Desk::is_possible() {
        return;
    }
    let site = ground().upgrade.after().copy();
    fs::remove_dir_all(site.kept().join("trust")).unwrap();
    let root = ground().trust().join("1.root.json");
    let fingerprint = consign_format::Digest::of(&fs::read(&root).unwrap()).hex();
    let enrol = site.invoke(["enrol", "--site", "ward-7", "--root-sha256", &fingerprint]).option("--root", &root);
    enrol.exits(17);
    site.invoke(["status"]).exits(17);
}
