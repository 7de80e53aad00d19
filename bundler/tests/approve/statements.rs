//! Statements: signed by approvers as releases are, and what is encrypted by them.

use std::fs;

use serde_json::Value;

use crate::desk::{BUNDLE, Desk};

#[test]
fn of_each_site_the_newest_record_is_encrypted_to() {
    let desk = Desk::with_root();
    desk.ok("build --key keys/ci --key keys/alice --key keys/bob");
    fs::create_dir(desk.at("records")).unwrap();
    let record = |file: &str, serial: u64, recipient: &consign_sealed::SiteKey| {
        let recipient = recipient.recipient();
        let receipt = "1".repeat(64);
        desk.ok(&format!(
            "site record --site ward-7 --serial {serial} --receipt-key {receipt} --recipient {recipient} \
             --key keys/alice -o records/{file}"
        ));
        desk.ok(&format!("approve records/{file} --key keys/bob"));
    };
    let encrypt = format!("encrypt {BUNDLE} --to records -o encrypted");
    let [old, new, other] = [0; 3].map(|_| consign_sealed::SiteKey::generate());
    record("b-old.json", 1, &old);
    record("a-new.json", 2, &new);
    assert_eq!(desk.ok(&encrypt)["recipients"], 1);
    let readable = |key: &consign_sealed::SiteKey| {
        let silent = consign_terminal::Silent;
        consign_bundler::medium::Medium::open(&desk.at("encrypted"), Some(key), &silent).is_ok()
    };
    assert!(readable(&new) && !readable(&old));
    fs::copy(desk.at("records/a-new.json"), desk.at("records/c-again.json")).unwrap();
    assert_eq!(desk.ok(&encrypt)["recipients"], 1, "the same twice is one");
    record("d-other.json", 2, &other);
    assert_eq!(desk.refused(&encrypt, 2), "usage");
    record("e-newest.json", 3, &other);
    assert_eq!(desk.ok(&encrypt)["recipients"], 1);
    assert!(readable(&other) && !readable(&new));
}

#[test]
fn approvers_sign_statements_too() {
    let desk = Desk::with_root();
    desk.ok("build --key keys/ci --key keys/alice --key keys/bob");
    desk.ok(&format!("grant {BUNDLE} --site clinic --from 9999999999 --key keys/alice -o grant.json"));
    assert_eq!(desk.refused("carry grant.json", 12), "below-threshold");
    assert_eq!(desk.ok("approve grant.json")["statement"]["site"], "clinic");
    assert_eq!(desk.refused("approve grant.json --key keys/ci", 12), "key-unknown");
    desk.ok("approve grant.json --key keys/bob");
    assert_eq!(desk.ok("carry grant.json")["statements"], 1);
    assert_eq!(desk.refused("approve trust/1.root.json --key keys/alice", 11), "document-malformed");
}

#[test]
fn a_statement_is_shown_before_it_is_signed_and_has_the_fields_of_its_kind() {
    let desk = Desk::with_root();
    let secrets = serde_json::json!({
        "_type": "site-secrets", "domain": "demo", "site": "clinic", "serial": 3, "recipient": "age1x",
        "secrets": [{"namespace": "demo", "name": "db", "keys": ["password"]}], "message": "YWdlLWVuY3J5cHRpb24ub3JnL3Yx",
    });
    let write = |statement: &Value| {
        let bytes = consign_format::trust::envelope::seal(statement, &[]).unwrap();
        fs::write(desk.at("s.json"), &bytes).unwrap();
        bytes
    };
    let before = write(&secrets);
    // Shown, although the key that is to sign it is none.
    for arguments in ["approve s.json", "approve s.json --key keys/nobody"] {
        let text = desk.text(arguments);
        for expected in ["what is signed:", "\"site\": \"clinic\"", "\"password\"", "(28 characters, encrypted"] {
            assert!(text.contains(expected), "no `{expected}` in {text}");
        }
        assert_eq!(fs::read(desk.at("s.json")).unwrap(), before);
    }
    desk.ok("approve s.json --key keys/alice");
    desk.ok("approve s.json --key keys/bob");
    assert_eq!(desk.ok("carry s.json")["statements"], 1);

    for (field, to) in [("extra", Value::from(1)), ("serial", Value::from("3")), ("domain", Value::from("other"))] {
        let mut statement = secrets.clone();
        statement[field] = to;
        let before = write(&statement);
        assert_eq!(desk.refused("approve s.json --key keys/alice", 11), "document-malformed", "{field}");
        assert_eq!(fs::read(desk.at("s.json")).unwrap(), before, "{field}");
    }
}
