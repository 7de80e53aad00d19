//! The chain of roots: foreign ones, gaps, thresholds that were not met, keys that were taken away, domains.

use consign_tests::forge::sheet::root;
use consign_tests::forge::{APPROVER, Forge, ROOT, STRANGER};
use serde_json::json;

use super::ground::{Ground, INSTALLED, Medium, NEXT, enrolled};
use super::trial::{Row, Trial, refusal};

pub(crate) const ROWS: &[Row] = &[
    Row { number: 6, lie: "a byte flipped in a known root; a foreign `1.root.json`", exits: &[12], show: foreign },
    Row { number: 34, lie: "a signature by a revoked key", exits: &[12], show: revoked },
    Row { number: 35, lie: "a bundle by the retired publisher key after a rotation", exits: &[12], show: retired },
    Row { number: 36, lie: "root N+1 without the old threshold", exits: &[12], show: without_old },
    Row { number: 37, lie: "root N+1 without its own threshold", exits: &[12], show: without_own },
    Row { number: 38, lie: "an old root served as N+1, a gap between versions", exits: &[13], show: gaps },
    Row { number: 46, lie: "another domain: other keys; the same keys", exits: &[12, 14], show: domains },
    Row { number: 78, lie: "a development root at a site set up for production", exits: &[12], show: development },
];

/// The next release under these roots.
fn under(roots: &[Vec<u8>]) -> Forge {
    Forge::new(NEXT).with(|forge| forge.roots = roots.to_vec())
}

fn first() -> Vec<u8> {
    root(1).signed_by(&[ROOT])
}

fn foreign(trial: &mut Trial) {
    let unknown = |version| refusal(12, "root-unknown", version);
    let tape = Forge::new(NEXT).tape();
    let length = tape.content("metadata/1.root.json").len();
    for at in [0, 20, length / 2, length - 1] {
        let flipped = tape.clone().edit("metadata/1.root.json", |bytes| bytes[at] ^= 1);
        let expected = unknown("root 1 in the bundle is not the one this site trusts");
        trial.refuses(&format!("byte {at} of root 1"), &flipped.bytes(), expected);
    }
    let stranger = root(1).role("root", &[STRANGER], 1).signed_by(&[STRANGER]);
    trial.refuses("a foreign root", &under(&[stranger]).bundle(), unknown("root 1"));
    // The same keys and another date: still another root.
    let redated = root(1).set("expires", json!("2040-01-01T00:00:00Z")).signed_by(&[ROOT]);
    trial.refuses("the same keys", &under(&[redated]).bundle(), unknown("root 1"));
    // A second root that is known, and another one by the same keys in its place.
    let second = root(2).signed_by(&[ROOT]);
    trial.prepares(&under(&[first(), second]).bundle());
    let other = root(2).set("expires", json!("2040-01-01T00:00:00Z")).signed_by(&[ROOT]);
    trial.refuses("another root 2", &under(&[first(), other]).bundle(), unknown("root 2"));
}

fn revoked(trial: &mut Trial) {
    let second = root(2).role("targets", &[4], 1).signed_by(&[ROOT]);
    let roots = [first(), second];
    let expected = refusal(12, "signature-invalid", "targets.json carries a signature that does not count");
    trial.refuses("with the root that revokes", &under(&roots).bundle(), expected);
    assert_eq!(trial.ground().roots(), 2, "the revocation lands even from a refused stick");
    trial.refuses("and without it, afterwards", &under(&roots[..1]).bundle(), expected);
    trial.still_takes(&under(&roots).with(|forge| forge.approvers = vec![4]));
    trial.notes("the newer root is kept");
}

fn retired(trial: &mut Trial) {
    let second = root(2).role("snapshot", &[5], 1).role("timestamp", &[5], 1).signed_by(&[ROOT]);
    let roots = [first(), second];
    let expected = refusal(12, "signature-invalid", "timestamp.json carries a signature that does not count");
    trial.refuses("with the rotation", &under(&roots).bundle(), expected);
    assert_eq!(trial.ground().roots(), 2);
    trial.refuses("and without it, afterwards", &under(&roots[..1]).bundle(), expected);
    trial.still_takes(&under(&roots).with(|forge| forge.publisher = 5));
    trial.notes("the newer root is kept");
}

fn without_old(trial: &mut Trial) {
    for (what, signers) in [("by its own key alone", vec![6]), ("by its own and the approver", vec![6, APPROVER])] {
        let second = root(2).role("root", &[6], 1).signed_by(&signers);
        let name = if signers.len() == 1 { "below-threshold" } else { "signature-invalid" };
        trial.refuses(what, &under(&[first(), second]).bundle(), refusal(12, name, "2.root.json"));
    }
    let nobody = root(2).signed_by(&[]);
    trial.refuses("by nobody", &under(&[first(), nobody]).bundle(), refusal(12, "below-threshold", "2.root.json"));
    assert_eq!(trial.ground().roots(), 1, "the trusted root stays");
    trial.still_takes(&Forge::new(NEXT));
}

fn without_own(trial: &mut Trial) {
    let expected = refusal(12, "below-threshold", "2.root.json needs signatures by");
    let other = root(2).role("root", &[6], 1).signed_by(&[ROOT]);
    trial.refuses("by the old key alone", &under(&[first(), other]).bundle(), expected);
    let two = root(2).role("root", &[ROOT, 6], 2).signed_by(&[ROOT]);
    trial.refuses("by one of two", &under(&[first(), two]).bundle(), expected);
    assert_eq!(trial.ground().roots(), 1, "the trusted root stays");
    trial.still_takes(&Forge::new(NEXT));
}

fn gaps(trial: &mut Trial) {
    let expected = refusal(13, "root-version", "a version is missing or repeated");
    trial.refuses("root 1 as root 2", &under(&[first(), first()]).bundle(), expected);
    let third = root(3).signed_by(&[ROOT]);
    trial.refuses("root 3 behind root 1", &under(&[first(), third]).bundle(), expected);
    let second = root(2).signed_by(&[ROOT]);
    let back = [first(), second.clone(), second];
    trial.refuses("root 2 as root 3", &under(&back).bundle(), expected);
    trial.refuses("no root at all", &under(&[]).bundle(), expected);
    trial.still_takes(&Forge::new(NEXT));
}

fn domains(trial: &mut Trial) {
    let icu = |version| root(version).set("x-domain", json!("icu"));
    let others = icu(1).role("root", &[STRANGER], 1).signed_by(&[STRANGER]);
    trial.refuses("other keys", &under(&[others]).bundle(), refusal(12, "root-unknown", "root 1"));
    let other = refusal(14, "other-domain", "domain `icu`");
    let same = icu(1).signed_by(&[ROOT]);
    trial.refuses("the same keys", &under(&[same]).bundle(), other);
    let moved = icu(2).signed_by(&[ROOT]);
    trial.refuses("a root that moves the domain", &under(&[first(), moved]).bundle(), other);
    // A release that the same approvers approved for another domain, under this domain's root.
    let elsewhere = Forge::new(NEXT).lie("targets.json", |targets| targets["x-domain"] = json!("icu"));
    trial.refuses("approved for another domain", &elsewhere.bundle(), other);
    assert_eq!(trial.ground().roots(), 1, "the trusted root stays");
    trial.still_takes(&Forge::new(NEXT));
}

fn development(trial: &mut Trial) {
    let marked = |version| root(version).set("x-development", json!(true)).signed_by(&[ROOT]);
    let expected = refusal(12, "development-root", "set up for production");
    let bare = consign_tests::site::Site::bare();
    let outcome = bare.enrol(Medium::of(&marked(1)).path()).arg("--production").run();
    trial.ends("enrolment", &outcome, expected);
    assert!(bare.snapshot().is_empty(), "a refused enrolment leaves something: {:?}", bare.snapshot());

    let site = consign_tests::site::Site::bare();
    site.enrol(Medium::of(&first()).path()).arg("--production").succeeds();
    site.export(Medium::of(&Forge::new(INSTALLED).bundle()).path()).succeeds();
    trial.at(Ground::of(site));
    trial.refuses("a later root", &under(&[first(), marked(2)]).bundle(), expected);
    assert_eq!(trial.ground().roots(), 1, "the trusted root stays");
    trial.still_takes(&Forge::new(NEXT));
    // A site that is not for production takes it.
    let lenient = enrolled(&marked(1));
    lenient.export(Medium::of(&under(&[marked(1)]).bundle()).path()).succeeds();
}
