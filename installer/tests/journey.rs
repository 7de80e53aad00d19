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
