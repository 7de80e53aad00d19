use super::*;
use crate::receipt::{Action, Clock, ClockQuality, Outcome, TYPE};
use crate::trust::keys::{SecretKey, Signer, sign};

fn key(seed: u8) -> SecretKey {
    SecretKey::from_seed(&[seed; 32])
}

fn site() -> Name {
    "hospital-7".parse().unwrap()
}

/// Receipt `n` of an enrolment, signed by key 1.
fn receipt(enrolment: &str, n: u64, previous: Option<&Vec<u8>>) -> Receipt {
    Receipt {
        kind: TYPE.to_owned(),
        domain: "dev".parse().unwrap(),
        site: site(),
        enrolment: enrolment.to_owned(),
        n,
        previous: previous.map(|bytes| Digest::of(bytes)),
        action: Action::Activate,
        outcome: Outcome::Applied,
        release: None,
        now_current: None,
        root: None,
        handoff: "direct".to_owned(),
        phases: vec![],
        clock: Clock { now: n, quality: ClockQuality::Plausible },
        objects: Default::default(),
        health: Default::default(),
        bytes: Default::default(),
        reasons: vec![],
        warnings: vec![],
        kept: vec![],
        refused: 0,
        installer: "0.1.0".to_owned(),
    }
}

fn signed(receipt: &Receipt, seed: u8) -> Vec<u8> {
    sign(receipt, &[&key(seed) as &dyn Signer]).unwrap()
}

/// `length` receipts of an enrolment; the first one names `before`.
fn chain(enrolment: &str, length: u64, before: Option<&Vec<u8>>) -> Vec<Vec<u8>> {
    let mut files: Vec<Vec<u8>> = Vec::new();
    for n in 1..=length {
        let bytes = signed(&receipt(enrolment, n, files.last().or(before)), 1);
        files.push(bytes);
    }
    files
}

fn look(files: &[(&str, &Vec<u8>)]) -> Report {
    let files: Vec<File<'_>> = files.iter().map(|(name, bytes)| File { name, bytes }).collect();
    check(&site(), &[PublicKey::of(&key(1))], &files)
}

fn verdicts(report: &Report) -> Vec<&Verdict> {
    report.files.iter().map(|checked| &checked.verdict).collect()
}

#[test]
fn a_chain_holds_in_any_order() {
    let files = chain("e", 3, None);
    let report = look(&[("c", &files[2]), ("a", &files[0]), ("b", &files[1])]);
    assert!(verdicts(&report).iter().all(|verdict| **verdict == Verdict::Holds));
    assert_eq!(report.chains, [Chain { enrolment: "e".into(), last: 3, gaps: vec![], continues: None }]);
    assert!(!report.has_gap());
}

#[test]
fn what_is_missing_is_told_and_refuses_nothing() {
    let files = chain("e", 6, None);
    let report = look(&[("b", &files[1]), ("e", &files[4])]);
    assert_eq!(report.refused().count(), 0);
    assert_eq!(report.chains[0].gaps, [(1, 1), (3, 4)]);
    assert!(report.has_gap());
}

#[test]
fn what_no_honest_site_writes_is_refused() {
    let files = chain("e", 3, None);
    let forged = signed(&receipt("e", 4, files.last()), 2);
    let mut elsewhere = receipt("e", 4, files.last());
    elsewhere.site = "hospital-8".parse().unwrap();
    let elsewhere = signed(&elsewhere, 1);
    let mut changed = receipt("e", 2, Some(&files[0]));
    changed.outcome = Outcome::Failed;
    let forked = signed(&changed, 1);
    let unlinked = signed(&receipt("e", 4, Some(&files[0])), 1);
    let none = signed(&receipt("e", 0, None), 1);
    for (bytes, expected) in [
        (&forged, "Forged"),
        (&elsewhere, "OtherSite"),
        (&forked, "Forked"),
        (&unlinked, "Unlinked"),
        (&none, "Forged"),
        (&files[0][..50].to_vec(), "Forged"),
    ] {
        let report = look(&[("1", &files[0]), ("2", &files[1]), ("3", &files[2]), ("x", bytes)]);
        let refused: Vec<&Checked> = report.refused().collect();
        assert_eq!(refused.len(), 1, "{expected}");
        assert_eq!(refused[0].file, "x");
        let said = format!("{:?}", refused[0].verdict);
        assert!(said.starts_with(expected), "{expected}: {said}");
    }
}

#[test]
fn a_replayed_receipt_changes_nothing() {
    let files = chain("e", 2, None);
    let report = look(&[("1", &files[0]), ("2", &files[1]), ("again", &files[0])]);
    assert_eq!(verdicts(&report)[2], &Verdict::Replayed { first: "1".into() });
    assert_eq!(report.refused().count(), 0);
}

#[test]
fn a_recovered_site_goes_on_from_the_receipt_that_was_known() {
    let before = chain("e", 2, None);
    let after = chain("f", 2, before.last());
    let report = look(&[("e1", &before[0]), ("e2", &before[1]), ("f1", &after[0]), ("f2", &after[1])]);
    assert_eq!(report.refused().count(), 0);
    let continues = report.chains[1].continues.as_ref().unwrap();
    assert_eq!(continues.file.as_deref(), Some("e2"));
    let alone = look(&[("f1", &after[0])]);
    assert_eq!(alone.chains[0].continues.as_ref().unwrap().file, None);
}
