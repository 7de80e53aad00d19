//! A site that has lost some of its memory: it refuses everything and is never fresh; what gives it back, and what does not.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::disallowed_methods, reason = "a suite")]

mod kit;
mod site_kit;

use std::collections::BTreeMap;
use std::path::Path;

use consign_format::Digest;
use consign_format::error::{Coded, codes};
use consign_format::receipt::chain::{File, check};
use consign_format::trust::keys::{SecretKey, Signer, sign};
use consign_installer::site::recover::{Again, RecoverError, Source};
use consign_installer::site::{After, Damage, Enrolment, Recovered, Recovery, Site, enrol, recover};
use consign_installer::store::{Store, state_file};
use kit::{Draft, NOW, fingerprint, name, root};
use serde_json::Value;
use site_kit::{TestSite, enrolment};

/// A site that has accepted sequence 20 of `demo`.
fn running() -> TestSite {
    let site = TestSite::enrolled();
    site.install(&Draft::new("1.0", 10)).unwrap();
    site.install(&Draft::new("2.0", 20)).unwrap();
    site
}

/// Every file that a site cannot do without.
const STATE: [&str; 6] = [
    "trust/site",
    "trust/site.key",
    "trust/site.age",
    "trust/domains/dev",
    "products/dev/demo",
    "receipts/000002.json",
];

fn put(path: &Path, bytes: &[u8]) {
    let _ = std::fs::remove_file(path);
    std::fs::write(path, bytes).unwrap();
}

fn code_of(site: &TestSite) -> consign_format::Code {
    Site::open(site.store()).unwrap_err().code()
}

fn copy_of(site: &TestSite) -> Vec<u8> {
    site.site().copy(&name("dev")).unwrap().unwrap()
}

fn other_random(buffer: &mut [u8]) -> std::io::Result<()> {
    buffer.fill(3);
    Ok(())
}

fn attempt(site: &TestSite, copy: Option<&[u8]>, again: Option<Again<'_>>) -> Result<Recovered, RecoverError> {
    let copies = copy.map(|bytes| (name("dev"), Ok(bytes.to_vec()))).into_iter().collect();
    recover(&site.store(), &Recovery { again, copies, now: NOW, random: &other_random })
}

fn tear(site: &TestSite, file: &str) {
    put(&site.store().dir().join(file), b"torn");
}

fn again<'a>(root: &'a [u8], floors: &[(&str, u64)], last_receipt: Option<Digest>) -> Again<'a> {
    let floors = floors.iter().map(|(product, floor)| (name(product), *floor)).collect();
    let after = After { floors, last_receipt };
    Again { root, fingerprint: Some(Digest::of(root).into()), site: name("hospital-7"), production: false, after }
}

#[test]
fn state_torn_at_every_byte_is_never_fresh() {
    let site = running();
    for file in STATE {
        let path = site.store().dir().join(file);
        let good = std::fs::read(&path).unwrap();
        for at in 0..good.len() {
            put(&path, &good[..at]);
            assert_eq!(code_of(&site), codes::STATE_DAMAGED, "{file} cut at {at}");
            let mut bad = good.clone();
            bad[at] ^= 1;
            put(&path, &bad);
            assert_eq!(code_of(&site), codes::STATE_DAMAGED, "{file} flipped at {at}");
        }
        put(&path, &good);
        site.site();
    }
}

#[test]
fn state_that_is_gone_is_never_fresh() {
    for gone in [
        &["trust/site"][..],
        &["trust/site.key"],
        &["trust/domains"],
        &["trust"],
        &["products"],
        &["receipts"],
        &["trust", "products"],
        &["trust", "products", "receipts"],
        &["trust", "products", "receipts", "journal"],
        &["trust/site", "trust/site.key", "trust/domains", "products", "receipts", "enrol-requests"],
    ] {
        let site = running();
        for part in gone {
            let path = site.store().dir().join(part);
            let _ = std::fs::remove_dir_all(&path);
            let _ = std::fs::remove_file(&path);
        }
        assert_eq!(code_of(&site), codes::STATE_DAMAGED, "{gone:?}");
        let failure = site.install(&Draft::new("0.1", 1)).unwrap_err();
        assert_eq!(failure.code(), codes::STATE_DAMAGED, "{gone:?}");
        let enrolled = enrol(&site.store(), &enrolment(&root("dev"), "hospital-7"));
        assert_eq!(enrolled.unwrap_err().code(), codes::STATE_DAMAGED, "{gone:?}: enrolling makes nothing fresh");
    }
}

#[test]
fn the_copy_gives_the_state_back_and_receipts_go_on_from_the_last_one() {
    let site = running();
    let (copy, before) = (copy_of(&site), site.receipts());
    tear(&site, "trust/domains/dev");
    let recovered = attempt(&site, Some(&copy), None).unwrap();
    assert_eq!(recovered.domains, BTreeMap::from([(name("dev"), Source::Cluster)]));
    assert!(!recovered.new_key);
    assert_eq!(site.install(&Draft::new("1.5", 15)).unwrap_err().code(), codes::OLDER_RELEASE);
    assert_eq!(site.install(&Draft::new("2.1", 20)).unwrap_err().code(), codes::SEQUENCE_REUSED);
    site.install(&Draft::new("3.0", 30)).unwrap();
    let after = site.receipts();
    assert_eq!((after.len(), after[0].receipt.n), (1, 1));
    assert_ne!(after[0].receipt.enrolment, before[0].receipt.enrolment);
    assert_eq!(after[0].receipt.previous, Some(Digest::of(&before[1].bytes)));

    let aside = site.store().receipts_set_aside().unwrap();
    let all = aside.iter().map(|(name, bytes)| File { name, bytes });
    let all: Vec<File<'_>> = all.chain(after.iter().map(|kept| File { name: "new", bytes: &kept.bytes })).collect();
    let report = check(&name("hospital-7"), &[site.site().identity.public_key], &all);
    assert_eq!((report.files.len(), report.refused().count(), report.has_gap()), (3, 0, false));
    let continues = report.chains.iter().find_map(|chain| chain.continues.clone()).unwrap();
    assert_eq!(continues.file.unwrap(), aside[1].0);
}

#[test]
fn a_forged_copy_is_ignored() {
    let site = running();
    let good = copy_of(&site);
    let signed: Value = serde_json::from_slice(&good).unwrap();
    let forged = |change: &dyn Fn(&mut Value), seed: u8| {
        let mut document = signed["signed"].clone();
        change(&mut document);
        sign(&document, &[&SecretKey::from_seed(&[seed; 32]) as &dyn Signer]).unwrap()
    };
    let low = |document: &mut Value| document["state"]["products"]["demo"]["verified"]["sequence"] = 1.into();
    let high = |document: &mut Value| document["state"]["products"]["demo"]["verified"]["sequence"] = 99.into();
    let other_site = TestSite::bare();
    other_site.enrol_root(&root("dev"), "hospital-8").unwrap();
    let text = String::from_utf8(good.clone()).unwrap();
    // The key of this kit's sites is made of nines: what is signed by it and still not of this site must be refused too.
    let copies: Vec<(&str, Vec<u8>)> = vec![
        ("a workload's own key", forged(&low, 8)),
        ("a workload's own key, higher", forged(&high, 8)),
        ("changed, its signature kept", text.replace("\"sequence\":20", "\"sequence\":99").into_bytes()),
        ("another site's", copy_of(&other_site)),
        ("another enrolment's", forged(&|document| document["state"]["enrolment"] = "0".repeat(32).into(), 9)),
        ("another domain's", forged(&|document| document["state"]["domain"] = "other".into(), 9)),
        ("another document of the site", forged(&|document| document["_type"] = "receipt".into(), 9)),
        ("a foreign root", forged(&|document| document["state"]["roots"][0] = text_of(&root("else")), 9)),
        ("no root", forged(&|document| document["state"]["roots"] = Value::Array(vec![]), 9)),
        ("cut", good[..good.len() - 1].to_vec()),
        ("empty", vec![]),
    ];
    tear(&site, "trust/domains/dev");
    let before = fingerprint(site.root.path());
    for (what, copy) in &copies {
        let refused = attempt(&site, Some(copy), None).unwrap_err();
        assert_eq!(refused.code(), codes::STATE_DAMAGED, "{what}: {refused}");
        assert_eq!(fingerprint(site.root.path()), before, "{what}");
        assert_eq!(code_of(&site), codes::STATE_DAMAGED, "{what}");
    }
    attempt(&site, Some(&good), None).unwrap();
}

fn text_of(bytes: &[u8]) -> Value {
    String::from_utf8(bytes.to_vec()).unwrap().into()
}

#[test]
fn an_older_copy_is_lifted_by_what_the_site_still_says() {
    for lost in [None, Some("products/dev/demo"), Some("receipts/000002.json")] {
        let site = TestSite::enrolled();
        site.install(&Draft::new("1.0", 10)).unwrap();
        let older = copy_of(&site);
        site.install(&Draft::new("2.0", 20)).unwrap();
        tear(&site, "trust/domains/dev");
        lost.into_iter().for_each(|file| tear(&site, file));
        attempt(&site, Some(&older), None).unwrap();
        assert_eq!(site.install(&Draft::new("1.5", 15)).unwrap_err().code(), codes::OLDER_RELEASE, "without {lost:?}");
        assert_eq!(site.site().domains[&name("dev")].product(&name("demo")).verified.unwrap().sequence, 20);
    }
}

/// A site that has taken root 2 and whose domain is torn since; its copy from before, and root 2.
fn torn_after_a_rotation() -> (TestSite, Vec<u8>, Vec<u8>) {
    let site = running();
    let older = copy_of(&site);
    let mut next: Value = serde_json::from_slice(&root("dev")).unwrap();
    next["signed"]["version"] = 2.into();
    let second = sign(&next["signed"], &[&kit::key() as &dyn Signer]).unwrap();
    let mut draft = Draft::new("3.0", 30);
    draft.roots.push(second.clone());
    site.install(&draft).unwrap();
    tear(&site, "trust/domains/dev");
    (site, older, second)
}

#[test]
fn a_copy_from_before_a_revocation_brings_no_key_back() {
    let (site, older, _) = torn_after_a_rotation();
    let refused = attempt(&site, Some(&older), None).unwrap_err();
    assert_eq!(refused.code(), codes::ROOT_VERSION, "{refused}");
    // One receipt that is torn does not silence the one that speaks of the root.
    tear(&site, "receipts/000001.json");
    let refused = attempt(&site, Some(&older), None).unwrap_err();
    assert_eq!(refused.code(), codes::ROOT_VERSION, "{refused}");
    let root = root("dev");
    let refused = attempt(&site, None, Some(again(&root, &[("demo", 30)], None))).unwrap_err();
    assert_eq!(refused.code(), codes::ROOT_VERSION, "nor does a person: {refused}");
}

#[test]
fn a_root_from_headquarters_outranks_an_older_copy() {
    let (site, older, second) = torn_after_a_rotation();
    // Nothing at the site speaks of root 2 any more.
    std::fs::remove_dir_all(site.store().receipts_dir()).unwrap();
    attempt(&site, Some(&older), Some(again(&second, &[("demo", 30)], None))).unwrap();
    assert_eq!(site.site().domains[&name("dev")].roots, [String::from_utf8(second).unwrap()]);
    assert_eq!(site.install(&Draft::new("1.5", 15)).unwrap_err().code(), codes::ROOT_VERSION, "root 1 alone");
}

#[test]
fn a_valid_file_is_never_compared_with_the_copy() {
    let site = running();
    let refused = attempt(&site, Some(&copy_of(&site)), None).unwrap_err();
    assert!(matches!(refused, RecoverError::Sound { .. }), "{refused}");
    // Only the product is lost: the domain's own file holds and is what counts.
    tear(&site, "products/dev/demo");
    let recovered = attempt(&site, Some(b"junk"), None).unwrap();
    assert_eq!(recovered.domains, BTreeMap::from([(name("dev"), Source::File)]));
    assert_eq!(site.install(&Draft::new("1.5", 15)).unwrap_err().code(), codes::OLDER_RELEASE);
    site.install(&Draft::new("2.0", 20)).unwrap();
}

#[test]
fn headquarters_gives_root_floor_and_last_receipt_to_a_site_that_lost_all() {
    let site = running();
    let last = Digest::of(&site.receipts()[1].bytes);
    let old_key = site.site().identity.public_key;
    for part in ["trust", "products", "receipts"] {
        std::fs::remove_dir_all(site.store().dir().join(part)).unwrap();
    }
    assert_eq!(attempt(&site, None, None).unwrap_err().code(), codes::STATE_DAMAGED);
    let root = root("dev");
    let other = Again { fingerprint: Some(Digest::of(b"other").into()), ..again(&root, &[("demo", 20)], Some(last)) };
    assert_eq!(attempt(&site, None, Some(other)).unwrap_err().code(), codes::ROOT_UNKNOWN);
    let recovered = attempt(&site, None, Some(again(&root, &[("demo", 20)], Some(last)))).unwrap();
    assert!(recovered.new_key && recovered.public_key != old_key);
    assert_eq!(site.install(&Draft::new("1.9", 19)).unwrap_err().code(), codes::OLDER_RELEASE);
    site.install(&Draft::new("2.0", 20)).unwrap();
    assert_eq!(site.receipts()[0].receipt.previous, Some(last));
    let further = enrol(&site.store(), &enrolment(&kit::root("second"), "hospital-7")).unwrap_err();
    assert_eq!(further.code(), codes::USAGE, "it may have forgotten what it accepted there: {further}");
}

#[test]
fn what_a_person_says_never_lowers_what_the_site_still_knows() {
    let site = running();
    tear(&site, "trust/domains/dev");
    let root = root("dev");
    let recovered = attempt(&site, None, Some(again(&root, &[("demo", 5), ("tool", 7)], None))).unwrap();
    assert_eq!(recovered.domains[&name("dev")], Source::Headquarters);
    assert_eq!(site.install(&Draft::new("1.5", 15)).unwrap_err().code(), codes::OLDER_RELEASE);
    assert_eq!(site.site().domains[&name("dev")].product(&name("tool")).floor, Some(7));
}

#[test]
fn a_new_disk_takes_the_place_of_the_old_one() {
    let (site, root) = (TestSite::bare(), root("dev"));
    let last = Digest::of(b"the last receipt");
    let after = Some(After { floors: BTreeMap::from([(name("demo"), 20)]), last_receipt: Some(last) });
    let replace = || Enrolment { replace: true, after: after.clone(), ..enrolment(&root, "hospital-7") };
    enrol(&site.store(), &replace()).unwrap();
    assert_eq!(site.install(&Draft::new("1.9", 19)).unwrap_err().code(), codes::OLDER_RELEASE);
    site.install(&Draft::new("2.0", 20)).unwrap();
    assert_eq!(site.receipts()[0].receipt.previous, Some(last));
    assert_eq!(enrol(&site.store(), &replace()).unwrap_err().code(), codes::ALREADY_ENROLLED);
}

#[test]
fn the_damage_of_one_domain_makes_no_other_one_fresh() {
    let site = running();
    site.enrol_root(&root("second"), "hospital-7").unwrap();
    let mut draft = Draft::new("1.0", 500);
    draft.roots = vec![root("second")];
    site.install(&draft).unwrap();
    let copy = site.site().copy(&name("second")).unwrap().unwrap();
    tear(&site, "trust/domains/second");
    assert_eq!(Damage::look(&site.store()).lost().collect::<Vec<_>>(), [&name("second")]);
    let old = |draft: Draft| site.install(&draft).unwrap_err().code();
    assert_eq!(old(Draft::new("1.0", 10)), codes::STATE_DAMAGED, "the other domain waits as well");
    let copies = BTreeMap::from([(name("second"), Ok(copy))]);
    let recovered = recover(&site.store(), &Recovery { again: None, copies, now: NOW, random: &other_random }).unwrap();
    let sources = BTreeMap::from([(name("dev"), Source::File), (name("second"), Source::Cluster)]);
    assert_eq!(recovered.domains, sources);
    assert_eq!(old(Draft::new("1.0", 10)), codes::OLDER_RELEASE);
    let mut older = Draft::new("0.9", 499);
    older.roots = vec![root("second")];
    assert_eq!(old(older), codes::OLDER_RELEASE);
}

/// What `trust/pending` holds in the moment of a power cut: the recovery as a whole, and none of it carried out.
#[test]
fn a_recovery_that_was_cut_off_is_finished_by_running_it_again() {
    let site = running();
    let (copy, good) = (copy_of(&site), site.site());
    tear(&site, "trust/domains/dev");
    let pending = serde_json::json!({
        "identity": {
            "site": "hospital-7", "enrolment": "3".repeat(32), "production": false, "recovered": true,
            "publicKey": good.identity.public_key, "recipient": good.identity.recipient, "domains": good.identity.domains,
        },
        "key": null, "ageKey": null, "products": [], "requests": {}, "endsChain": true,
        "domains": [domain_with(&good, &"3".repeat(32))],
    });
    let path = site.store().dir().join("trust/pending");
    state_file::write(&path, &pending, 0o600).unwrap();
    assert_eq!(code_of(&site), codes::STATE_DAMAGED);
    let finished = attempt(&site, Some(&copy), None).unwrap();
    assert_eq!(finished.enrolment, "3".repeat(32));
    assert!(!path.exists());
    assert_eq!(site.install(&Draft::new("1.5", 15)).unwrap_err().code(), codes::OLDER_RELEASE);
    // Torn before it was whole, it is damage like any other, and nothing of it is carried out.
    put(&path, b"torn");
    assert_eq!(code_of(&site), codes::STATE_DAMAGED);
    attempt(&site, None, None).unwrap();
    assert_eq!(site.install(&Draft::new("1.5", 15)).unwrap_err().code(), codes::OLDER_RELEASE);
}

fn domain_with(site: &Site, enrolment: &str) -> Value {
    let mut state = serde_json::to_value(&site.domains[&name("dev")]).unwrap();
    state["enrolment"] = enrolment.into();
    state
}

/// Signed times lift the time floor; no clock moves it or decides anything.
#[test]
fn the_clock_decides_nothing() {
    let story = |now: u64| {
        let site = TestSite { now, ..TestSite::enrolled() };
        let drafts = [("1.0", 10), ("2.0", 20), ("1.5", 15), ("2.0", 20), ("2.1", 20), ("3.0", 30)];
        let codes =
            drafts.map(|(version, sequence)| site.install(&Draft::new(version, sequence)).err().map(|f| f.code()));
        let state = site.site().domains[&name("dev")].clone();
        (codes, state.time_floor, state.products)
    };
    let usual = story(NOW);
    // 1970, and 2099.
    for now in [0, 1, 4_070_908_800] {
        assert_eq!(story(now), usual, "at {now}");
    }
}

#[test]
fn a_site_that_was_never_enrolled_is_not_damaged() {
    let root = tempfile::tempdir().unwrap();
    let store = Store::at(root.path());
    assert_eq!(Site::open(store.clone()).unwrap_err().code(), codes::NOT_ENROLLED);
    let recovery = Recovery { again: None, copies: BTreeMap::new(), now: NOW, random: &other_random };
    assert_eq!(recover(&store, &recovery).unwrap_err().code(), codes::NOT_ENROLLED);
    assert!(fingerprint(root.path()).is_empty());
}
