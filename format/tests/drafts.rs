//! Documents that several people sign one after another: roots on their way, and a head that waits for approvers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::disallowed_methods)]

mod kit;

use std::io::Cursor;

use consign_format::archive::head::OpenedBundle;
use consign_format::error::{Coded, codes};
use consign_format::trust::chain::Awaiting;
use consign_format::trust::document::{Floor, Root};
use consign_format::trust::keys::{Progress, SecretKey, Signer, add_signature, key_id, sign};
use consign_format::trust::root_author::{Change, FirstRoot, Part, Team, first, next};
use consign_format::trust::roots::{RootChain, RootDraft};
use consign_format::trust::{TrustError, envelope};
use consign_format::{Limits, trust};
use kit::key;

fn team(keys: &[&SecretKey], threshold: u64) -> Team {
    Team { keys: keys.iter().map(|key| key.public()).collect(), threshold }
}

fn id(key: &SecretKey) -> String {
    key_id(&key.public()).unwrap()
}

/// Two of three for the root, two of three approvers, a publisher.
fn plan(keys: &[&SecretKey; 4]) -> FirstRoot {
    let [a, b, c, publisher] = keys;
    FirstRoot {
        domain: "clinic".parse().unwrap(),
        development: false,
        expires: kit::EXPIRES.into(),
        teams: vec![
            (Part::Root, team(&[a, b, c], 2)),
            (Part::Approver, team(&[a, b, c], 2)),
            (Part::Publisher, team(&[publisher], 1)),
        ],
    }
}

fn unsigned(root: &Root) -> Vec<u8> {
    envelope::seal(root, &[]).unwrap()
}

fn counts(progress: &Progress) -> (usize, usize, u64) {
    (progress.signed.len(), progress.waiting.len(), progress.need)
}

#[test]
fn a_root_is_signed_one_key_after_another() {
    let [a, b, c, publisher, d] = [1, 2, 3, 4, 5].map(key);
    let draft = unsigned(&first(&plan(&[&a, &b, &c, &publisher])).unwrap());
    assert_eq!(counts(&RootDraft::read(&draft, None).unwrap().own), (0, 3, 2));
    let once = add_signature("1.root.json", &draft, &a).unwrap();
    assert_eq!(add_signature("1.root.json", &once, &a).unwrap(), once, "a key signs once");
    assert!(!RootDraft::read(&once, None).unwrap().is_complete());
    assert!(RootChain::enrol(&once, None).is_err(), "a half-signed root is none");
    let twice = add_signature("1.root.json", &once, &c).unwrap();
    assert!(RootDraft::read(&twice, None).unwrap().is_complete());
    let chain = RootChain::enrol(&twice, None).unwrap();

    // Away with c, d instead; the old threshold and the new one.
    let changes = [
        Change::Remove(Part::Root, id(&c)),
        Change::Add(Part::Root, d.public()),
        Change::Remove(Part::Approver, id(&c)),
        Change::Threshold(Part::Approver, 1),
        Change::Floor("radiology".parse().unwrap(), Floor { sequence: 40, reset: false }),
    ];
    let second = next(chain.root(), &changes, kit::EXPIRES).unwrap();
    assert!(!second.keys.contains_key(&id(&c)), "a key without a say is left out");
    let draft = unsigned(&second);
    let read = |bytes: &[u8]| RootDraft::read(bytes, Some(&chain)).unwrap();
    assert!(read(&draft).has_say(&id(&c)) && read(&draft).has_say(&id(&d)) && !read(&draft).has_say(&id(&publisher)));
    let by = |bytes: &[u8], key: &SecretKey| add_signature("2.root.json", bytes, key).unwrap();
    let signed = by(&by(&draft, &a), &d);
    let progress = read(&signed);
    assert_eq!(counts(&progress.own), (2, 1, 2));
    assert_eq!(progress.old.as_ref().map(counts), Some((1, 2, 2)));
    assert!(!progress.is_complete());
    let signed = by(&signed, &c);
    assert!(read(&signed).is_complete());
    assert_eq!(chain.follow(&[twice.clone(), signed]).unwrap().root().version, 2);

    // A stranger's signature is idle, a draft for another version or domain is refused.
    let idle = RootDraft::read(&by(&draft, &publisher), Some(&chain)).unwrap_err();
    assert_eq!(idle.code(), codes::SIGNATURE_INVALID);
    assert_eq!(RootDraft::read(&draft, None).unwrap_err().code(), codes::ROOT_VERSION);
    let other = Root { domain: "lab".parse().unwrap(), ..second };
    assert!(matches!(RootDraft::read(&unsigned(&other), Some(&chain)), Err(TrustError::OtherDomain { .. })));
}

#[test]
fn a_root_that_cannot_be_fulfilled_is_refused_as_a_draft() {
    let [a, b, c, publisher] = [1, 2, 3, 4].map(key);
    let mut too_many = plan(&[&a, &b, &c, &publisher]);
    too_many.teams[1].1.threshold = 4;
    let mut nobody = plan(&[&a, &b, &c, &publisher]);
    nobody.teams.remove(2);
    for plan in [too_many, nobody] {
        let error = RootDraft::read(&unsigned(&first(&plan).unwrap()), None).unwrap_err();
        assert!(matches!(error, TrustError::Form { .. }), "{error}");
    }
    let mut weak = plan(&[&a, &b, &c, &publisher]);
    weak.teams[1].1.keys.push([0; 32]);
    let error = RootDraft::read(&unsigned(&first(&weak).unwrap()), None).unwrap_err();
    assert_eq!(error.code(), codes::WEAK_KEY);
}

#[test]
fn a_scan_role_comes_and_goes() {
    let [a, scanner] = [1, 9].map(key);
    let plan = FirstRoot {
        domain: "clinic".parse().unwrap(),
        development: true,
        expires: kit::EXPIRES.into(),
        teams: [Part::Root, Part::Approver, Part::Publisher].map(|part| (part, team(&[&a], 1))).to_vec(),
    };
    let root = first(&plan).unwrap();
    let with = next(&root, &[Change::Add(Part::Scanner, scanner.public()), Change::Production], kit::EXPIRES).unwrap();
    assert_eq!(with.scan.as_ref().map(|role| role.keyids.clone()), Some(vec![id(&scanner)]));
    assert!(!with.development);
    let without = next(&with, &[Change::Remove(Part::Scanner, id(&scanner))], kit::EXPIRES).unwrap();
    assert_eq!((without.scan, without.keys.len(), without.version), (None, 1, 3));
}

/// What [`trust::chain`] says of a bundle's head whose approvers are not asked for their threshold.
fn awaiting(bundle: &[u8], roots: &RootChain) -> Result<Awaiting, TrustError> {
    let opened = OpenedBundle::open(Cursor::new(bundle), Limits::DEFAULT).unwrap();
    let head = opened.read_statements().unwrap().read_head().unwrap().unwrap();
    let [timestamp, snapshot, targets, carriage, release] = head.documents();
    roots.timestamp(timestamp)?.snapshot(snapshot)?.awaiting(targets, carriage, release)
}

#[test]
fn a_head_waits_for_its_approvers_and_nothing_else() {
    let mut parts = kit::parts();
    let [second, stranger] = [7, 8].map(key);
    let changes = [Change::Add(Part::Approver, second.public()), Change::Threshold(Part::Approver, 2)];
    let old = RootChain::enrol(&parts.roots[0], None).unwrap();
    let root = next(old.root(), &changes, kit::EXPIRES).unwrap();
    parts.roots.push(sign(&root, &[&parts.key]).unwrap());
    let chain = old.follow(&parts.roots).unwrap();
    let bundle = parts.pack();
    let opened = || OpenedBundle::open(Cursor::new(&bundle), Limits::DEFAULT).unwrap().read_statements().unwrap();
    let head = opened().read_head().unwrap().unwrap();
    let refused = head.verify(&chain).err().unwrap();
    assert!(matches!(refused, trust::TrustError::BelowThreshold { need: 2, have: 1, .. }), "{refused}");
    let waiting = awaiting(&bundle, &chain).unwrap();
    assert_eq!(counts(&waiting.progress), (1, 1, 2));
    assert_eq!(waiting.progress.waiting, [id(&second)]);

    // Documents of another cut, a stranger's signature, a release that is another: all refused.
    let head = opened().read_head().unwrap().unwrap();
    let [timestamp, snapshot, targets, carriage, release] = head.documents();
    let trusted = || chain.timestamp(timestamp).unwrap().snapshot(snapshot).unwrap();
    let strange = add_signature("targets.json", targets, &stranger).unwrap();
    assert_eq!(trusted().awaiting(&strange, carriage, release).unwrap_err().code(), codes::SIGNATURE_INVALID);
    let changed = [release.as_slice(), b" "].concat();
    assert_eq!(trusted().awaiting(targets, carriage, &changed).unwrap_err().code(), codes::DIGEST_MISMATCH);
    let full = add_signature("targets.json", targets, &second).unwrap();
    assert!(trusted().awaiting(&full, carriage, release).unwrap().progress.is_complete());
}
