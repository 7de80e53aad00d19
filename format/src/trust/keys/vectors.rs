//! Vectors by others for Ed25519 verifiers, through the very functions that every bundle's keys and signatures go through.
//! Where the files come from: `fixtures/ed25519/README.md`.
//!
//! Verifiers disagree about signatures that nobody makes by accident; what we promise is the strictest of the known
//! answers (TRUST §5, rows 27 to 30): keys and R canonical and without any part of small order, S below the order, no
//! cofactor.

use serde_json::Value;

use super::{parse_public, verify};
use crate::trust::document::{Key, KeyValue};

/// The files, read when this is compiled: the format itself touches no file system.
macro_rules! fixture {
    ($name:literal) => {
        serde_json::from_str::<Value>(include_str!(concat!("../../../../fixtures/ed25519/", $name))).unwrap()
    };
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_else(|| panic!("no `{field}` in {value}"))
}

/// What is said of a key of a root and of a signature by it, as if both stood in a bundle.
fn judge(public: &str, message: &[u8], signature: &str) -> Result<(), String> {
    let key = Key {
        keytype: "ed25519".to_owned(),
        scheme: "ed25519".to_owned(),
        keyval: KeyValue { public: public.to_owned() },
    };
    let key = parse_public("a root", "a key", &key).map_err(|error| error.to_string())?;
    verify(&key, message, signature).map_err(str::to_owned)
}

/// Of 768 ways to place points of small order and other encodings, one is an ordinary signature.
#[test]
fn low_order_and_non_canonical_points_are_refused() {
    let vectors = fixture!("ed25519vectors.json");
    let vectors = vectors.as_array().unwrap();
    assert_eq!(vectors.len(), 768);
    let mut accepted = 0;
    for (n, vector) in vectors.iter().enumerate() {
        let signature = format!("{}{}", text(vector, "R"), text(vector, "S"));
        let said = judge(text(vector, "A"), text(vector, "M").as_bytes(), &signature);
        assert_eq!(said.is_ok(), vector["Flags"].is_null(), "vector {n}: {said:?} {vector}");
        accepted += usize::from(said.is_ok());
    }
    assert_eq!(accepted, 1);
}

/// The twelve cases of "Taming the many EdDSAs"; why each is refused shows that it is the reason it was made for.
#[test]
fn speccheck_cases_are_refused() {
    const KEY: &str = "a point of small order";
    const MIXED: &str = "a point with a part of small order";
    const FORM: &str = "not the canonical encoding";
    let reasons = [
        KEY,                // 0: small order A, small order R
        KEY,                // 1: small order A, mixed order R
        MIXED,              // 2: mixed order A, small order R
        MIXED,              // 3: mixed order A, mixed order R
        MIXED,              // 4: holds with the cofactor alone
        MIXED,              // 5: holds with the cofactor alone, if it is multiplied in before the reduction
        "it does not hold", // 6: S above the order
        "it does not hold", // 7: S far above the order
        MIXED,              // 8: mixed order A, non-canonical R of small order
        MIXED,              // 9: the same, R hashed as it stands
        FORM,               // 10: non-canonical A of small order
        FORM,               // 11: the same, A hashed as it stands
    ];
    let cases = fixture!("speccheck_cases.json");
    let cases = cases.as_array().unwrap();
    assert_eq!(cases.len(), reasons.len());
    for (n, (case, reason)) in cases.iter().zip(reasons).enumerate() {
        let message = hex::decode(text(case, "message")).unwrap();
        let said = judge(text(case, "pub_key"), &message, text(case, "signature")).unwrap_err();
        assert!(said.ends_with(reason), "case {n}: {said}");
    }
}

/// The nineteen values of y that have two encodings, with both signs of x: no key, whatever the order of the point.
#[test]
fn other_encodings_of_a_key_are_refused() {
    let (mut points, mut refused) = (0, 0);
    for y in 0..19u8 {
        for sign in [0x7f, 0xff] {
            let bytes = [&[0xed + y], [0xff; 30].as_slice(), &[sign]].concat();
            let said = judge(&hex::encode(bytes), b"", &"0".repeat(128)).unwrap_err();
            refused += usize::from(said.ends_with("not a point of the curve"));
            points += usize::from(said.ends_with("not the canonical encoding"));
        }
    }
    assert!(points > 4 && points + refused == 38, "{points} {refused}");
}

/// Project Wycheproof: ordinary signatures, accepted, and what goes wrong in practice, refused.
#[test]
fn wycheproof_is_followed() {
    let file = fixture!("eddsa_test.json");
    let (mut valid, mut invalid) = (0, 0);
    for group in file["testGroups"].as_array().unwrap() {
        for test in group["tests"].as_array().unwrap() {
            let message = hex::decode(text(test, "msg")).unwrap();
            let said = judge(text(&group["key"], "pk"), &message, text(test, "sig"));
            let expected = text(test, "result") == "valid";
            assert_eq!(said.is_ok(), expected, "{said:?} {test}");
            *(if expected { &mut valid } else { &mut invalid }) += 1;
        }
    }
    assert_eq!((valid, invalid), (84, 61));
}
