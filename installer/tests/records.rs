//! The site record: which one counts, and what it opens; kits that a depot has made.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::disallowed_methods, reason = "a suite")]

mod kit;
mod site_kit;

use std::collections::BTreeMap;

use consign_format::archive::plan::metadata_bundle;
use consign_format::error::{Coded, codes};
use consign_format::trust::Audience;
use consign_format::trust::keys::{PublicKey, SecretKey, Signer, sign};
use consign_format::trust::statement::SiteRecord;
use consign_installer::install_bundle::{Order, Until};
use consign_installer::site::enrol::Kit;
use consign_installer::site::record::RecordError;
use consign_installer::site::{Enrolment, Site, enrol};
use consign_sealed::SiteKey;
use kit::{Draft, NOW, name, root};
use site_kit::{TestSite, enrolment, root_after};

fn record(site: &str, serial: u64, environment: &str) -> SiteRecord {
    SiteRecord {
        kind: "site-record".into(),
        domain: name("dev"),
        site: name(site),
        serial,
        issued: NOW,
        environments: vec![name(environment)],
        labels: vec!["region=north".into()],
        variants: BTreeMap::new(),
        receipt_key: PublicKey::of(&SecretKey::from_seed(&[9; 32]) as &dyn Signer),
        recipient: None,
    }
}

/// A record of this site's name for another key.
fn for_key(key: &SecretKey, serial: u64) -> SiteRecord {
    SiteRecord { receipt_key: PublicKey::of(key as &dyn Signer), ..record("hospital-7", serial, "production") }
}

fn signed(record: &SiteRecord, by: &SecretKey) -> Vec<u8> {
    sign(record, &[by as &dyn Signer]).unwrap()
}

fn take(site: &TestSite, bytes: &[u8]) -> Result<Option<String>, RecordError> {
    let taken = Site::open_exclusive(site.store()).unwrap().take_record(&name("dev"), bytes);
    // What was taken is there after a restart.
    site.site();
    taken
}

fn kept(site: &TestSite) -> Option<SiteRecord> {
    site.site().domains[&name("dev")].record().cloned()
}

#[test]
fn the_highest_serial_counts() {
    let site = TestSite::enrolled();
    let by = kit::key();
    assert_eq!(kept(&site), None);
    let second = record("hospital-7", 2, "production");
    assert_eq!(take(&site, &signed(&second, &by)).unwrap().unwrap(), "site record 2");
    for lower in [signed(&record("hospital-7", 1, "test"), &by), signed(&second, &by)] {
        assert_eq!(take(&site, &lower).unwrap(), None);
        assert_eq!(kept(&site), Some(second.clone()));
    }
    for (bytes, code) in [
        (signed(&record("hospital-7", 2, "test"), &by), codes::SEQUENCE_REUSED),
        (signed(&record("hospital-8", 3, "test"), &by), codes::OTHER_SITE),
        (signed(&record("hospital-7", 3, "test"), &SecretKey::from_seed(&[8; 32])), codes::SIGNATURE_INVALID),
        (signed(&SiteRecord { domain: name("other"), ..record("hospital-7", 3, "test") }, &by), codes::OTHER_DOMAIN),
        (
            signed(&SiteRecord { kind: "receipt".into(), ..record("hospital-7", 3, "test") }, &by),
            codes::DOCUMENT_MALFORMED,
        ),
        (signed(&for_key(&SecretKey::from_seed(&[6; 32]), 3), &by), codes::OTHER_SITE),
    ] {
        assert_eq!(take(&site, &bytes).unwrap_err().code(), code);
        assert_eq!(kept(&site), Some(second.clone()));
    }
    assert!(take(&site, &signed(&record("hospital-7", 3, "test"), &by)).unwrap().is_some());
}

#[test]
fn a_record_comes_by_a_stick_and_opens_what_is_addressed_to_it() {
    let site = TestSite::enrolled();
    let mut draft = Draft::new("1.0", 10);
    draft.audience = Audience { environments: vec![name("production")], ..Audience::default() };
    assert_eq!(site.install(&draft).unwrap_err().code(), codes::OTHER_SITE);
    let statements = ["hospital-8", "hospital-7"].map(|site| signed(&record(site, 1, "production"), &kit::key()));
    let stick = metadata_bundle(&[root("dev")], &statements).unwrap();
    site.install_bytes(&stick, Order { until: Until::Planned, ..Order::default() }).unwrap();
    assert_eq!(kept(&site), None, "a dry run keeps nothing");
    site.install_bytes(&stick, Order::default()).unwrap();
    assert_eq!(kept(&site).unwrap().site, name("hospital-7"));
    site.install(&draft).unwrap();
}

#[test]
fn a_record_for_another_machine_of_the_same_name_is_refused_and_changes_nothing() {
    let (site, stranger) = (TestSite::enrolled(), SecretKey::from_seed(&[6; 32]));
    let refused = take(&site, &signed(&for_key(&stranger, 1), &kit::key())).unwrap_err();
    assert_eq!(refused.code(), codes::OTHER_SITE);
    assert!(refused.to_string().contains(&PublicKey::of(&stranger as &dyn Signer).0), "{refused}");
    assert!(refused.hint().unwrap().contains("enrol-request"), "{:?}", refused.hint());
    assert_eq!(kept(&site), None);
    let stick = metadata_bundle(&[root("dev")], &[signed(&for_key(&stranger, 1), &kit::key())]).unwrap();
    assert_eq!(site.install_bytes(&stick, Order::default()).unwrap_err().code(), codes::OTHER_SITE);
    assert_eq!(kept(&site), None);
}

#[test]
fn a_revoked_approver_has_not_had_the_last_word() {
    let site = TestSite::enrolled();
    let stolen = record("hospital-7", 1 << 50, "production");
    take(&site, &signed(&stolen, &kit::key())).unwrap();
    let new = SecretKey::from_seed(&[8; 32]);
    let second = root_after(&root("dev"), &new);
    let lower = record("hospital-7", 2, "test");
    let roots = [root("dev"), second];
    site.install_bytes(&metadata_bundle(&roots, &[]).unwrap(), Order::default()).unwrap();
    assert_eq!(kept(&site), Some(stolen), "until another comes it goes on to count");
    site.install_bytes(&metadata_bundle(&roots, &[signed(&lower, &new)]).unwrap(), Order::default()).unwrap();
    assert_eq!(kept(&site), Some(lower));
}

#[test]
fn a_kit_brings_keys_and_record_and_all_must_fit() {
    let (root, depot, age) = (root("dev"), SecretKey::from_seed(&[5; 32]), SiteKey::generate());
    let (receipt_key, recipient) = (PublicKey::of(&depot), Some(age.recipient().to_string()));
    let of_depot = SiteRecord { receipt_key, recipient, ..record("hospital-7", 1, "production") };
    let fresh = || TestSite::bare();
    let by = |record: &SiteRecord, seed: u8| {
        let record = signed(record, &SecretKey::from_seed(&[seed; 32]));
        let age_key = SiteKey::from_text(&age.to_text()).unwrap();
        Enrolment {
            kit: Some(Kit { key: SecretKey::from_seed(&[5; 32]), age_key, record }),
            ..enrolment(&root, "hospital-7")
        }
    };
    let site = fresh();
    let enrolled = enrol(&site.store(), &by(&of_depot, 7)).unwrap();
    assert_eq!((enrolled.record, &enrolled.public_key), (Some(1), &of_depot.receipt_key));
    assert_eq!(enrolled.recipient, of_depot.recipient);
    assert_eq!(kept(&site), Some(of_depot.clone()));
    site.install(&Draft::new("1.0", 10)).unwrap();
    for (enrolment, code) in [
        (by(&of_depot, 8), codes::SIGNATURE_INVALID),
        (by(&record("hospital-7", 1, "production"), 7), codes::DOCUMENT_MALFORMED),
        (by(&SiteRecord { recipient: None, ..of_depot.clone() }, 7), codes::DOCUMENT_MALFORMED),
        (by(&SiteRecord { site: name("hospital-8"), ..of_depot.clone() }, 7), codes::OTHER_SITE),
    ] {
        let site = fresh();
        assert_eq!(enrol(&site.store(), &enrolment).unwrap_err().code(), code);
        assert!(kit::fingerprint(site.root.path()).is_empty());
    }
}
