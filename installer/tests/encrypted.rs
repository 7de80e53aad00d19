//! A bundle that is encrypted to this site is installed like a plain one; any other leaves no trace (TRUST §5, 68–70).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::disallowed_methods, reason = "a suite")]

mod kit;
mod site_kit;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Cursor, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use consign_format::Digest;
use consign_format::error::{Coded, codes};
use consign_format::trust::Audience;
use consign_installer::admit::Ask;
use consign_installer::install_bundle::{Finished, Order, Until};
use consign_installer::site::Site;
use consign_installer::verify_bundle::verify_bundle;
use consign_sealed::{Recipient, SiteKey, seal};
use consign_terminal::Silent;
use kit::{Draft, NOW, fingerprint, name};
use site_kit::{TestSite, clocks};

fn recipient(site: &TestSite) -> Recipient {
    site.site().identity.recipient.unwrap().parse().unwrap()
}

/// Encrypts a bundle as `consign encrypt` does: head and payload apart.
fn encrypted(plain: &[u8], to: &[Recipient]) -> Vec<u8> {
    let is_layout = |at: &usize| plain[*at..].starts_with(b"oci-layout\0");
    let boundary = (0..plain.len()).step_by(512).find(is_layout).unwrap();
    let to: BTreeSet<Recipient> = to.iter().cloned().collect();
    let mut sealing = seal(Cursor::new(Vec::new()), &to, &plain[..boundary]).unwrap();
    sealing.write_all(&plain[boundary..]).unwrap();
    sealing.finish().unwrap().into_inner()
}

/// Three layers of which the carriage packs one.
fn draft(version: &str, sequence: u64) -> Draft {
    let layer = |n: u32| (0..40_000_u32).map(|i| char::from(33 + (i.wrapping_mul(n) % 90) as u8)).collect::<String>();
    let mut draft = Draft::new(version, sequence)
        .with_image("registry.example/big:1", &layer(31))
        .with_image("registry.example/more:1", &(layer(37) + version));
    draft.packed = vec![Digest::of(layer(31).as_bytes())];
    draft
}

/// All that a site keeps, but for the count of refusals.
fn kept(site: &TestSite) -> BTreeMap<PathBuf, (u32, Digest)> {
    let mut all = fingerprint(site.root.path());
    let journal = site.store().journal_dir();
    all.retain(|path, _| !path.starts_with(&journal));
    all
}

#[test]
fn enrolment_makes_a_key_that_only_the_site_reads() {
    let site = TestSite::enrolled();
    let file = site.store().trust_dir().join("site.age");
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let key = SiteKey::from_text(&std::fs::read_to_string(&file).unwrap()).unwrap();
    assert_eq!(key.recipient(), recipient(&site));
    assert_eq!(site.site().age_key().unwrap().unwrap().recipient(), recipient(&site));
    std::fs::write(&file, SiteKey::generate().to_text()).unwrap();
    assert_eq!(Site::open(site.store()).unwrap_err().code(), codes::STATE_DAMAGED);
    std::fs::remove_file(&file).unwrap();
    assert_eq!(Site::open(site.store()).unwrap_err().code(), codes::STATE_DAMAGED);
}

#[test]
fn a_bundle_for_this_site_is_verified_and_installed() {
    let site = TestSite::enrolled();
    let bytes = encrypted(&draft("1.0", 10).bundle(), &[recipient(&site), SiteKey::generate().recipient()]);
    let (_medium, path) = site.medium(&bytes);
    let ask = Ask::default();
    verify_bundle(&site.site(), &path, ask, &clocks(NOW), &Silent).unwrap();
    let before = kept(&site);
    assert!(matches!(
        site.install_bytes(&bytes, Order { until: Until::Planned, ..Order::default() }).unwrap(),
        Finished::Planned(_)
    ));
    assert_eq!(kept(&site), before);
    let Finished::Installed(installed) = site.install_bytes(&bytes, Order::default()).unwrap() else { panic!() };
    let blobs = site.store().blobs().unwrap();
    for blob in &draft("1.0", 10).release.blobs {
        assert_eq!(blobs.rehash(&blob.digest).unwrap(), blob.size);
    }
    // The same release, plain: nothing is loaded again.
    let Finished::Installed(again) = site.install(&draft("1.0", 10)).unwrap() else { panic!() };
    assert_eq!((again.release, again.loaded.written), (installed.release, 0));
    // The next one, encrypted: only what is new is loaded, the rest is passed by.
    let next = encrypted(&draft("1.1", 11).bundle(), &[recipient(&site)]);
    let Finished::Installed(next) = site.install_bytes(&next, Order::default()).unwrap() else { panic!() };
    assert!(next.loaded.written > 40_000 && next.loaded.written < 60_000, "{:?}", next.loaded);
}

#[test]
fn another_site_cannot_read_it_and_keeps_nothing() {
    let site = TestSite::enrolled();
    site.install(&Draft::new("0.9", 9)).unwrap();
    let before = kept(&site);
    let bytes = encrypted(&draft("1.0", 10).bundle(), &[SiteKey::generate().recipient()]);
    let failure = site.install_bytes(&bytes, Order::default()).unwrap_err();
    assert_eq!(failure.code(), codes::CANNOT_DECRYPT, "{failure}");
    assert!(failure.causes().concat().contains(recipient(&site).as_str()), "{:?}", failure.causes());
    assert_eq!(kept(&site), before);
}

#[test]
fn whatever_was_cut_or_changed_leaves_nothing() {
    let site = TestSite::enrolled();
    site.install(&Draft::new("0.9", 9)).unwrap();
    let before = kept(&site);
    let bytes = encrypted(&draft("1.0", 10).bundle(), &[recipient(&site)]);
    let refused = |bytes: &[u8], what: &str| {
        let failure = site.install_bytes(bytes, Order::default()).expect_err(what);
        assert_eq!(failure.code(), codes::CANNOT_DECRYPT, "{what}: {failure}");
        assert!(kept(&site) == before, "{what}: something was kept");
    };
    for part in 1..24 {
        let at = bytes.len() * part / 24;
        refused(&bytes[..at], &format!("the first {at} bytes"));
        let mut flipped = bytes.clone();
        flipped[at] ^= 1;
        refused(&flipped, &format!("byte {at}"));
    }
    refused(&bytes[..bytes.len() - 1], "all but a byte");
    refused(&[&bytes[..], &[0]].concat(), "a byte more");
    // In the last chunk, after everything else was decrypted and loaded.
    let mut flipped = bytes.clone();
    flipped[bytes.len() - 2048] ^= 1;
    refused(&flipped, "the last chunk");
    site.install_bytes(&bytes, Order::default()).unwrap();
}

/// Somebody who may read it encrypts it again, to a site it is not addressed to.
#[test]
fn what_is_encrypted_to_the_wrong_site_on_purpose_is_still_addressed_to_another() {
    let site = TestSite::enrolled();
    let before = kept(&site);
    let mut draft = draft("1.0", 10);
    draft.audience = Audience { sites: vec![name("hospital-8")], ..Audience::default() };
    let failure = site.install_bytes(&encrypted(&draft.bundle(), &[recipient(&site)]), Order::default()).unwrap_err();
    assert_eq!(failure.code(), codes::OTHER_SITE, "{failure}");
    assert_eq!(kept(&site), before);
}
