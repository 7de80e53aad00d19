//! Signatures and keys that look right to a careless verifier.

use consign_format::trust::keys::Signer as _;
use consign_tests::forge::sheet::{Sheet, digits, id, root, undigits};
use consign_tests::forge::{APPROVER, Forge, ROOT, key};

use super::curve;
use super::ground::{Ground, INSTALLED, Medium, NEXT};
use super::trial::{Row, Trial, refusal};

pub(crate) const ROWS: &[Row] = &[
    Row {
        number: 27,
        lie: "a signature of 63 or 65 bytes, odd or upper-case digits",
        exits: &[12],
        show: digit_tricks,
    },
    Row { number: 28, lie: "a malleable signature: S + L", exits: &[12], show: malleable },
    Row { number: 29, lie: "a key of small order in a role, a zero signature", exits: &[12], show: small_order },
    Row { number: 30, lie: "a key in another encoding, R of mixed order", exits: &[12], show: encodings },
    Row { number: 31, lie: "below the threshold", exits: &[12], show: below },
    Row { number: 32, lie: "the same key id twice", exits: &[11], show: id_twice },
    Row { number: 33, lie: "the same public key under two ids", exits: &[12], show: two_ids },
];

const DOCUMENTS: [&str; 3] = ["timestamp.json", "snapshot.json", "targets.json"];

/// The next release with the one signature of a document changed.
fn resigned(document: &str, change: impl Fn(&Sheet, &str) -> String) -> Vec<u8> {
    let edit = |bytes: &mut Vec<u8>| {
        let mut sheet = Sheet::parse(bytes);
        let changed = change(&sheet, &sheet.signatures[0].1);
        sheet.signatures[0].1 = changed;
        *bytes = sheet.bytes();
    };
    Forge::new(NEXT).tape().edit(&format!("metadata/{document}"), edit).bytes()
}

fn digit_tricks(trial: &mut Trial) {
    for document in DOCUMENTS {
        let expected = refusal(12, "signature-invalid", "not 128 lower-case hexadecimal digits");
        trial.refuses("63 bytes", &resigned(document, |_, sig| sig[..126].to_owned()), expected);
        trial.refuses("65 bytes", &resigned(document, |_, sig| format!("{sig}00")), expected);
        trial.refuses("127 digits", &resigned(document, |_, sig| sig[..127].to_owned()), expected);
        trial.refuses("upper case", &resigned(document, |_, sig| sig.to_uppercase()), expected);
        trial.refuses("no digits", &resigned(document, |_, sig| "zz".repeat(sig.len() / 2)), expected);
        trial.refuses("nothing", &resigned(document, |_, _| String::new()), expected);
    }
}

fn malleable(trial: &mut Trial) {
    for document in DOCUMENTS {
        let bundle = resigned(document, |_, sig| digits(&curve::plus_order(&undigits(sig))));
        trial.refuses(document, &bundle, refusal(12, "signature-invalid", "does not hold"));
    }
    trial.still_takes(&Forge::new(NEXT));
}

/// Root 2, in which `public` is the one approver, and a release under it with a signature that a verifier without
/// `is_weak` and `verify_strict` may take.
fn approved_by(public: &[u8; 32], signature: &[u8; 64]) -> Vec<u8> {
    let mut second = root(2);
    let id = second.key(&id(public), public);
    second.0["roles"]["targets"] = serde_json::json!({"keyids": [id], "threshold": 1});
    let forge = Forge::new(NEXT).with(|forge| {
        forge.roots.push(second.signed_by(&[ROOT]));
        forge.approvers = Vec::new();
    });
    let tape = forge.tape().edit("metadata/targets.json", |bytes| {
        *bytes = Sheet::parse(bytes).with(&id, &digits(signature)).bytes();
    });
    tape.bytes()
}

fn small_order(trial: &mut Trial) {
    let mut identity_and_zero = [0; 64];
    identity_and_zero[0] = 1;
    for (n, point) in curve::small_order().iter().enumerate() {
        for signature in [[0; 64], identity_and_zero] {
            let expected = refusal(12, "weak-key", "small order");
            trial.refuses(&format!("torsion point {n}"), &approved_by(point, &signature), expected);
        }
    }
    assert_eq!(trial.ground().roots(), 1, "the trusted root stays");
    // Nor by enrolment.
    let mut first = root(1);
    let identity = first.key("identity", &curve::small_order()[0]);
    first.0["roles"]["targets"]["keyids"] = serde_json::json!([identity]);
    let site = consign_tests::site::Site::bare();
    let outcome = site.enrol(Medium::of(&first.signed_by(&[ROOT])).path()).run();
    trial.ends("enrolled with the identity", &outcome, refusal(12, "weak-key", "small order"));
    trial.still_takes(&Forge::new(NEXT));
}

fn encodings(trial: &mut Trial) {
    for (n, public) in curve::non_canonical().iter().enumerate() {
        trial.refuses(&format!("encoding {n}"), &approved_by(public, &[0; 64]), refusal(12, "weak-key", "usable"));
    }
    for document in DOCUMENTS {
        let seed = if document == "targets.json" { APPROVER } else { consign_tests::forge::PUBLISHER };
        for torsion in 1..8 {
            let bundle = resigned(document, |sheet, _| digits(&curve::mixed_order(seed, &sheet.signed, torsion)));
            let expected = refusal(12, "signature-invalid", "does not hold");
            trial.refuses(&format!("R with torsion {torsion} on {document}"), &bundle, expected);
        }
    }
    trial.still_takes(&Forge::new(NEXT));
}

/// A release under a root that asks two of `approvers` for their signature, by these.
fn two_of(sequence: u64, roots: &[Vec<u8>], approvers: &[u8]) -> Forge {
    Forge::new(sequence).with(|forge| {
        forge.roots = roots.to_vec();
        forge.approvers = approvers.to_vec();
    })
}

fn below(trial: &mut Trial) {
    let roots = [root(1).role("targets", &[APPROVER, 4], 2).signed_by(&[ROOT])];
    trial.at(Ground::with(&two_of(INSTALLED, &roots, &[APPROVER, 4])));
    for approvers in [&[APPROVER][..], &[4]] {
        let expected = refusal(12, "below-threshold", "by 2 distinct keys of role targets, it has 1");
        trial.refuses("one of two", &two_of(NEXT, &roots, approvers).bundle(), expected);
    }
    let expected = refusal(12, "below-threshold", "by 2 distinct keys of role targets, it has 0");
    trial.refuses("none of two", &two_of(NEXT, &roots, &[]).bundle(), expected);
    trial.still_takes(&two_of(NEXT, &roots, &[APPROVER, 4]));
}

fn id_twice(trial: &mut Trial) {
    for document in DOCUMENTS {
        let tape = Forge::new(NEXT).tape().edit(&format!("metadata/{document}"), |bytes| {
            let mut sheet = Sheet::parse(bytes);
            let again = sheet.signatures[0].clone();
            sheet.signatures.push(again);
            *bytes = sheet.bytes();
        });
        trial.refuses(document, &tape.bytes(), refusal(11, "document-malformed", "two signatures under key"));
    }
}

fn two_ids(trial: &mut Trial) {
    let mut first = root(1).role("targets", &[APPROVER, 4], 2);
    let alias = first.key(&"a".repeat(64), &key(APPROVER).public());
    first.0["roles"]["targets"]["keyids"].as_array_mut().unwrap().push(alias.as_str().into());
    let roots = [first.signed_by(&[ROOT])];
    trial.at(Ground::with(&two_of(INSTALLED, &roots, &[APPROVER, 4])));
    let tape = two_of(NEXT, &roots, &[APPROVER]).tape().edit("metadata/targets.json", |bytes| {
        let sheet = Sheet::parse(bytes);
        let signature = sheet.signatures[0].1.clone();
        *bytes = sheet.with(&alias, &signature).bytes();
    });
    let expected = refusal(12, "below-threshold", "by 2 distinct keys of role targets, it has 1");
    trial.refuses("one key, two ids", &tape.bytes(), expected);
    trial.still_takes(&two_of(NEXT, &roots, &[APPROVER, 4]));
}
