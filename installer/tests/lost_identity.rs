//! A site whose identity is lost, and whose other files are not: what they still say is demanded, and never less.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::disallowed_methods, reason = "a suite")]

mod kit;
mod site_kit;

use std::collections::BTreeMap;

use consign_format::archive::plan::metadata_bundle;
use consign_format::error::codes;
use consign_format::trust::keys::{SecretKey, Signer, sign};
use consign_installer::install_bundle::Order;
use consign_installer::site::recover::{Again, RecoverError, Source};
use consign_installer::site::{After, Recovered, Recovery, recover};
use consign_installer::store::state_file;
use kit::{Draft, NOW, name, root};
use serde_json::Value;
use site_kit::{TestSite, root_after, secrets_by};

/// Recovers with a root of `dev`, without a floor.
fn attempt(site: &TestSite, root: &[u8], named: &str) -> Result<Recovered, RecoverError> {
    let after = After { floors: BTreeMap::new(), last_receipt: None };
    let again = Again { root, fingerprint: None, site: name(named), production: false, after };
    let random = |buffer: &mut [u8]| {
        buffer.fill(3);
        Ok(())
    };
    recover(&site.store(), &Recovery { again: Some(again), copies: BTreeMap::new(), now: NOW, random: &random })
}

fn tear(site: &TestSite, file: &str) {
    let path = site.store().dir().join(file);
    std::fs::remove_file(&path).unwrap();
    std::fs::write(path, b"torn").unwrap();
}

fn lose(site: &TestSite, folder: &str) {
    std::fs::remove_dir_all(site.store().dir().join(folder)).unwrap();
}

/// Who approves from root 2 on.
fn second_approver() -> SecretKey {
    SecretKey::from_seed(&[8; 32])
}

/// A site that has accepted sequence 20 of `demo` and taken root 2; everything is lost but the domain's file, which
/// `change` may change first.
fn nothing_but_the_domain(change: impl FnOnce(&mut Value)) -> (TestSite, Vec<u8>) {
    let site = TestSite::enrolled();
    site.install(&Draft::new("2.0", 20)).unwrap();
    let second = root_after(&root("dev"), &second_approver());
    site.install_bytes(&metadata_bundle(&[root("dev"), second.clone()], &[]).unwrap(), Order::default()).unwrap();
    for file in ["trust/site", "trust/site.key"] {
        tear(&site, file);
    }
    for folder in ["products", "receipts"] {
        lose(&site, folder);
    }
    let path = site.store().dir().join("trust/domains/dev");
    let mut state: Value = state_file::read(&path).unwrap().unwrap();
    change(&mut state);
    state_file::write(&path, &state, 0o600).unwrap();
    (site, second)
}

fn newest_root(site: &TestSite) -> usize {
    site.site().domains[&name("dev")].roots.len()
}

fn accepted(site: &TestSite) -> u64 {
    site.site().domains[&name("dev")].product(&name("demo")).verified.map_or(0, |verified| verified.sequence)
}

#[test]
fn a_revocation_and_a_counter_that_lie_in_the_domains_file_are_not_forgotten() {
    let (site, _) = nothing_but_the_domain(|_| ());
    let recovered = attempt(&site, &root("dev"), "hospital-7").unwrap();
    assert_eq!(recovered.domains, BTreeMap::from([(name("dev"), Source::Headquarters)]));
    assert_eq!(recovered.used, ["domain dev: its file still holds and counts: root 2, sequence 20 of demo"]);
    assert_eq!((newest_root(&site), accepted(&site)), (2, 20));
    let old = site.install(&Draft::new("1.0", 10)).unwrap_err();
    assert_eq!(old.code(), codes::SIGNATURE_INVALID, "the approver of root 1 is out: {old}");
    let revoked = secrets_by(&kit::key(), "hospital-7", &site.site().identity.recipient.unwrap(), 1, "stolen");
    let bundle = metadata_bundle(&[root("dev")], &[revoked]).unwrap();
    assert_eq!(site.install_bytes(&bundle, Order::default()).unwrap_err().code(), codes::SIGNATURE_INVALID);
}

#[test]
fn a_newer_root_that_a_person_brings_keeps_the_counters() {
    let (site, second) = nothing_but_the_domain(|_| ());
    attempt(&site, &root_after(&second, &kit::key()), "hospital-7").unwrap();
    assert_eq!((newest_root(&site), accepted(&site)), (1, 20));
    let (site, second) = nothing_but_the_domain(|_| ());
    attempt(&site, &second, "hospital-7").unwrap();
    assert_eq!((newest_root(&site), accepted(&site)), (1, 20));
}

#[test]
fn nothing_in_the_file_lowers_what_is_demanded() {
    let (site, _) = nothing_but_the_domain(|state| {
        let release = state["products"]["demo"]["verified"]["release"].clone();
        state["products"]["demo"]["granted"] = serde_json::json!({"sequence": 5, "release": release});
        state["products"]["tool"] = serde_json::json!({"floor": 7, "versions": [0, 0, 0]});
        state["grants"] = serde_json::json!(["leave"]);
    });
    attempt(&site, &root("dev"), "hospital-7").unwrap();
    let state = &site.site().domains[&name("dev")];
    assert_eq!((state.product(&name("demo")).granted, state.product(&name("tool")).floor), (None, Some(7)));
    assert!(state.grants.is_empty());
}

#[test]
fn a_file_that_does_not_hold_by_itself_gives_nothing() {
    let unsigned = {
        let mut next: Value = serde_json::from_slice(&root_after(&root("dev"), &second_approver())).unwrap();
        next["signed"]["version"] = 2.into();
        String::from_utf8(sign(&next["signed"], &[&second_approver() as &dyn Signer]).unwrap()).unwrap()
    };
    type Change<'a> = Box<dyn FnOnce(&mut Value) + 'a>;
    let changes: [(&str, Change<'_>); 4] = [
        ("another site's", Box::new(|state| state["site"] = "hospital-8".into())),
        ("another domain's", Box::new(|state| state["domain"] = "other".into())),
        ("a root that root 1 has not signed", Box::new(|state| state["roots"][1] = unsigned.as_str().into())),
        (
            "another first root",
            Box::new(|state| {
                state["roots"] = serde_json::json!([String::from_utf8(root("else")).unwrap()]);
            }),
        ),
    ];
    for (what, change) in changes {
        let (site, _) = nothing_but_the_domain(change);
        let recovered = attempt(&site, &root("dev"), "hospital-7").unwrap();
        assert_eq!((newest_root(&site), accepted(&site)), (1, 0), "{what}");
        assert!(!recovered.used.iter().any(|words| words.contains("still holds")), "{what}: {:?}", recovered.used);
    }
    let (site, _) = nothing_but_the_domain(|_| ());
    tear(&site, "trust/domains/dev");
    assert!(attempt(&site, &root("dev"), "hospital-7").unwrap().used.is_empty());
    assert_eq!(accepted(&site), 0);
}

#[test]
fn receipts_are_heard_although_the_identity_is_lost() {
    let lost = || {
        let site = TestSite::enrolled();
        site.install(&Draft::new("2.0", 20)).unwrap();
        tear(&site, "trust/site");
        tear(&site, "trust/domains/dev");
        lose(&site, "products");
        site
    };
    let site = lost();
    attempt(&site, &root("dev"), "hospital-7").unwrap();
    assert_eq!(accepted(&site), 20);
    // Another site's receipts say nothing of this one.
    let site = lost();
    attempt(&site, &root("dev"), "hospital-8").unwrap();
    assert_eq!(accepted(&site), 0);
    // Nor do receipts that another key has signed.
    let site = lost();
    tear(&site, "trust/site.key");
    attempt(&site, &root("dev"), "hospital-7").unwrap();
    assert_eq!(accepted(&site), 0);
}

#[test]
fn receipts_that_an_earlier_recovery_set_aside_are_heard_as_well_even_by_a_key_that_was_lost() {
    for lost_first in ["products/dev/demo", "trust/site.key"] {
        let site = TestSite::enrolled();
        site.install(&Draft::new("2.0", 20)).unwrap();
        tear(&site, lost_first);
        let random = |buffer: &mut [u8]| {
            buffer.fill(4);
            Ok(())
        };
        recover(&site.store(), &Recovery { again: None, copies: BTreeMap::new(), now: NOW, random: &random }).unwrap();
        assert_eq!((site.receipts().len(), site.store().receipts_set_aside().unwrap().len()), (0, 1));
        tear(&site, "trust/domains/dev");
        lose(&site, "products");
        attempt(&site, &root("dev"), "hospital-7").unwrap();
        assert_eq!(accepted(&site), 20, "{lost_first}");
        assert_eq!(site.install(&Draft::new("1.0", 10)).unwrap_err().code(), codes::OLDER_RELEASE);
    }
}

#[test]
fn a_domain_whose_root_is_not_brought_is_said_to_be_left_out() {
    let site = TestSite::enrolled();
    site.enrol_root(&root("second"), "hospital-7").unwrap();
    tear(&site, "trust/site");
    let recovered = attempt(&site, &root("dev"), "hospital-7").unwrap();
    assert_eq!(recovered.used.len(), 2, "{:?}", recovered.used);
    assert!(recovered.used[1].starts_with("domain second: left out"), "{:?}", recovered.used);
}
