//! Bundles of metadata alone: a revocation and a grant land from a stick that carries nothing else.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::disallowed_methods, reason = "a suite")]

mod kit;
mod site_kit;

use consign_format::Digest;
use consign_format::archive::plan::metadata_bundle;
use consign_format::error::codes;
use consign_format::trust::keys::{SecretKey, Signer, sign};
use consign_format::trust::statement::DowngradeGrant;
use consign_installer::admit::Ask;
use consign_installer::install_bundle::{Finished, Metadata, Order, Until};
use consign_installer::verify_bundle::{Checked, verify_bundle};
use kit::{Draft, NOW, fingerprint, name, root};
use site_kit::{TestSite, clocks};

fn grant(site: &str, to: &Draft, from: u64) -> DowngradeGrant {
    DowngradeGrant {
        kind: "downgrade-grant".into(),
        domain: name("dev"),
        site: name(site),
        product: name("demo"),
        from,
        to: to.release.sequence,
        release: Digest::of(&to.release.to_bytes().unwrap()),
        expires: "2026-12-01T00:00:00Z".into(),
    }
}

fn bundle(grants: &[DowngradeGrant], by: &SecretKey) -> Vec<u8> {
    let sign = |grant: &DowngradeGrant| sign(grant, &[by as &dyn Signer]).unwrap();
    metadata_bundle(&[root("dev")], &grants.iter().map(sign).collect::<Vec<_>>()).unwrap()
}

fn informed(site: &TestSite, bytes: &[u8]) -> Metadata {
    match site.install_bytes(bytes, Order::default()).unwrap() {
        Finished::Informed(metadata) => metadata,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_grant_takes_a_site_back_once_and_only_the_site_it_names() {
    let site = TestSite::enrolled();
    let (old, new) = (Draft::new("1.0", 10), Draft::new("2.0", 20));
    site.install(&old).unwrap();
    site.install(&new).unwrap();
    assert_eq!(site.install(&old).unwrap_err().code(), codes::OLDER_RELEASE);
    let elsewhere = informed(&site, &bundle(&[grant("tower-1", &old, 20)], &kit::key()));
    assert_eq!((elsewhere.taken.len(), elsewhere.passed_over), (0, 1));
    assert_eq!(site.install(&old).unwrap_err().code(), codes::OLDER_RELEASE);

    let stick = bundle(&[grant("hospital-7", &old, 20)], &kit::key());
    assert_eq!(informed(&site, &stick).taken, ["leave to go back from sequence 20 of demo to 10"]);
    assert_eq!(informed(&site, &stick).passed_over, 1, "it is known by now");
    site.install(&old).unwrap();
    assert_eq!(site.product().current.unwrap().release.version, "1.0");
    site.install(&old).unwrap();
    let between = Draft::new("1.5", 15);
    assert_eq!(site.install(&between).unwrap_err().code(), codes::OLDER_RELEASE, "it opens the way to one release");
    site.install(&new).unwrap();
    assert_eq!(site.product().current.unwrap().release.version, "2.0");
}

#[test]
fn a_grant_that_nobody_signed_lands_nowhere() {
    let site = TestSite::enrolled();
    let old = Draft::new("1.0", 10);
    site.install(&Draft::new("2.0", 20)).unwrap();
    let before = fingerprint(site.root.path());
    let forged = bundle(&[grant("hospital-7", &old, 20)], &SecretKey::from_seed(&[9; 32]));
    assert_eq!(site.install_bytes(&forged, Order::default()).unwrap_err().code(), codes::SIGNATURE_INVALID);
    let dry = Order { until: Until::Planned, ..Order::default() };
    site.install_bytes(&bundle(&[grant("hospital-7", &old, 20)], &kit::key()), dry).unwrap();
    assert_eq!(fingerprint(site.root.path()), before);
}

#[test]
fn a_release_brings_its_statements_with_it() {
    let site = TestSite::enrolled();
    let (old, mut new) = (Draft::new("1.0", 10), Draft::new("2.0", 20));
    new.statements.push(sign(&grant("hospital-7", &old, 20), &[&kit::key() as &dyn Signer]).unwrap());
    site.install(&new).unwrap();
    site.install(&old).unwrap();
}

#[test]
fn verify_tells_metadata_from_a_release_and_keeps_nothing() {
    let site = TestSite::enrolled();
    let before = fingerprint(site.root.path());
    let (_medium, path) = site.medium(&bundle(&[grant("hospital-7", &Draft::new("1.0", 10), 20)], &kit::key()));
    let checked = verify_bundle(&site.site(), &path, Ask::default(), &clocks(NOW), &consign_terminal::Silent).unwrap();
    assert!(matches!(checked, Checked::Metadata { root: 1, statements: 1, .. }), "{checked:?}");
    assert_eq!(fingerprint(site.root.path()), before);
}
