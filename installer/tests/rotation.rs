//! Roots that change: committed at once, even from a bundle that is refused, and on a receipt of their own.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::disallowed_methods, reason = "a suite")]

mod kit;
mod site_kit;

use std::collections::BTreeMap;

use consign_format::error::codes;
use consign_format::receipt::Action;
use consign_format::trust::document::{Floor, Key, ROLES, Role, Root, SPEC_VERSION};
use consign_format::trust::keys::{SecretKey, Signer, key_id, sign};
use consign_installer::install_bundle::{Order, Until};
use kit::{Draft, EXPIRES, name};
use site_kit::TestSite;

/// Root `version` of the domain: `key` holds the root role and approves, `publisher` publishes; signed by all `signers`.
fn root(version: u64, publisher: u8, floor: Option<Floor>, signers: &[&SecretKey]) -> Vec<u8> {
    let (own, other) = (kit::key(), SecretKey::from_seed(&[publisher; 32]));
    let (own, other) = (own.public(), other.public());
    let role = |public: &[u8; 32]| Role { keyids: vec![key_id(public).unwrap()], threshold: 1 };
    let keys = [own, other].iter().map(|public| (key_id(public).unwrap(), Key::ed25519(public))).collect();
    let roles = ROLES.iter().map(|role_name| {
        let holder = if matches!(*role_name, "snapshot" | "timestamp") { &other } else { &own };
        ((*role_name).to_owned(), role(holder))
    });
    let root = Root {
        kind: "root".into(),
        consistent_snapshot: false,
        expires: EXPIRES.into(),
        keys,
        roles: roles.collect(),
        spec_version: SPEC_VERSION.into(),
        version,
        domain: name("dev"),
        development: true,
        scan: None,
        floor: floor.map(|floor| BTreeMap::from([(name("demo"), floor)])).unwrap_or_default(),
    };
    let signers: Vec<&dyn Signer> = signers.iter().map(|signer| *signer as &dyn Signer).collect();
    sign(&root, &signers).unwrap()
}

/// Root 2 gives publishing to key 8; key 7 keeps the rest.
fn rotated(version: &str, sequence: u64, floor: Option<Floor>) -> Draft {
    let mut draft = Draft::new(version, sequence);
    draft.roots.push(root(2, 8, floor, &[&kit::key()]));
    draft.publisher = [8; 32];
    draft
}

fn versions(site: &TestSite) -> usize {
    site.site().domains[&name("dev")].roots.len()
}

#[test]
fn a_new_root_comes_with_a_bundle_and_the_old_publisher_is_out() {
    let site = TestSite::enrolled();
    site.install(&Draft::new("1.0", 10)).unwrap();
    site.install(&rotated("2.0", 20, None)).unwrap();
    assert_eq!(versions(&site), 2);
    let actions: Vec<Action> = site.receipts().iter().map(|kept| kept.receipt.action).collect();
    assert_eq!(actions, [Action::Activate, Action::RootChange, Action::Activate]);
    let mut by_old_publisher = rotated("3.0", 30, None);
    by_old_publisher.publisher = [7; 32];
    assert_eq!(site.install(&by_old_publisher).unwrap_err().code(), codes::SIGNATURE_INVALID);
    assert_eq!(site.install(&Draft::new("3.0", 30)).unwrap_err().code(), codes::SIGNATURE_INVALID, "root 1 alone");
}

#[test]
fn a_revocation_lands_even_from_a_bad_stick() {
    let site = TestSite::enrolled();
    site.install(&Draft::new("1.0", 10)).unwrap();
    let good = rotated("2.0", 20, None).bundle();
    // Everything behind the roots is missing.
    let cut = good.windows(23).position(|window| window == b"metadata/timestamp.json").unwrap() + 512;
    assert_eq!(site.install_bytes(&good[..cut], Order::default()).unwrap_err().code(), codes::TRUNCATED);
    assert_eq!(versions(&site), 2);
    assert_eq!(site.receipts().last().unwrap().receipt.action, Action::RootChange);
    assert_eq!(site.product().current.unwrap().release.version, "1.0");
    assert_eq!(site.install(&Draft::new("2.0", 20)).unwrap_err().code(), codes::SIGNATURE_INVALID);
}

#[test]
fn a_dry_run_follows_a_new_root_and_does_not_keep_it() {
    let site = TestSite::enrolled();
    let order = Order { until: Until::Planned, ..Order::default() };
    site.install_bytes(&rotated("1.0", 10, None).bundle(), order).unwrap();
    assert_eq!(versions(&site), 1);
}

#[test]
fn a_root_that_the_old_one_did_not_sign_is_refused() {
    let site = TestSite::enrolled();
    let stranger = SecretKey::from_seed(&[9; 32]);
    let mut draft = rotated("1.0", 10, None);
    draft.roots[1] = root(2, 8, None, &[&stranger]);
    let failure = site.install(&draft).unwrap_err();
    assert_eq!(failure.code().exit, consign_format::Exit::Untrusted, "{failure}");
    assert_eq!(versions(&site), 1);
}

#[test]
fn a_rotation_does_not_forget_what_was_seen_unless_it_says_so() {
    let site = TestSite::enrolled();
    site.install(&Draft::new("2.0", 20)).unwrap();
    assert_eq!(site.install(&rotated("1.0", 10, None)).unwrap_err().code(), codes::OLDER_RELEASE);
    assert_eq!(versions(&site), 2);
    let mut reset = rotated("1.0", 10, None);
    reset.roots.push(root(3, 8, Some(Floor { sequence: 5, reset: true }), &[&kit::key()]));
    site.install(&reset).unwrap();
    assert_eq!(site.product().current.unwrap().release.version, "1.0");
    let mut below = reset.clone();
    below.release.sequence = 4;
    assert_eq!(site.install(&below).unwrap_err().code(), codes::OLDER_RELEASE);
}

#[test]
fn a_reset_is_done_once_although_later_roots_repeat_it() {
    let site = TestSite::enrolled();
    let floor = || Some(Floor { sequence: 5, reset: true });
    let mut draft = rotated("1.0", 10, None);
    draft.roots.push(root(3, 8, floor(), &[&kit::key()]));
    site.install(&draft).unwrap();
    let later = |version: &str, sequence: u64| {
        let mut later = rotated(version, sequence, None);
        later.roots.push(root(3, 8, floor(), &[&kit::key()]));
        later.roots.push(root(4, 8, floor(), &[&kit::key()]));
        later
    };
    let mut newer = rotated("2.0", 20, None);
    newer.roots.push(root(3, 8, floor(), &[&kit::key()]));
    site.install(&newer).unwrap();
    assert_eq!(site.install(&later("1.5", 15)).unwrap_err().code(), codes::OLDER_RELEASE);
    assert_eq!(versions(&site), 4);
    site.install(&later("3.0", 30)).unwrap();
}
