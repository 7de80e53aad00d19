//! Roots of several people: published when enough have signed, followed when one of them is revoked.

use std::fs;

use serde_json::Value;

use crate::desk::{BUNDLE, Desk, NEW_ROOT};

#[test]
fn a_root_is_published_when_enough_people_have_signed_it() {
    let desk = Desk::new();
    let begun = desk.ok(&format!("{NEW_ROOT} --key keys/root1"));
    assert_eq!(begun["published"], false);
    assert_eq!(begun["own"]["signed"].as_array().unwrap().len(), 1);
    assert_eq!(desk.refused("build --key keys/ci", 2), "root-missing", "a half-signed root is none");
    assert_eq!(desk.refused("keys sign-root trust/1.root.draft.json --key keys/alice", 12), "key-unknown");
    let before = fs::read(desk.at("trust/1.root.draft.json")).unwrap();
    let shown = desk.ok("keys sign-root trust/1.root.draft.json");
    assert_eq!((&shown["published"], &shown["changes"]["after"]), (&Value::from(false), &Value::Null));
    assert_eq!(shown["changes"]["roles"][1]["added"].as_array().unwrap().len(), 3, "{shown}");
    assert_eq!(fs::read(desk.at("trust/1.root.draft.json")).unwrap(), before, "without a key nothing is signed");
    let done = desk.ok("keys sign-root trust/1.root.draft.json --key keys/root2");
    assert_eq!(done["published"], true);
    assert!(!desk.at("trust/1.root.draft.json").exists());
    let frozen = fs::read(desk.at("trust/1.root.json")).unwrap();
    assert_eq!(desk.refused("keys sign-root trust/1.root.json --key keys/root1", 1), "root-published");
    assert_eq!(desk.refused(NEW_ROOT, 1), "already-exists");
    assert_eq!(fs::read(desk.at("trust/1.root.json")).unwrap(), frozen);
    let shown = desk.ok("keys show --key keys/ci");
    assert_eq!(shown["yours"][0]["roles"], serde_json::json!(["publisher"]));
    assert_eq!(shown["roles"][1]["threshold"], 2);
    assert_eq!(shown["words"].as_str().unwrap().split(' ').count(), 12);
}

#[test]
fn a_rotation_needs_the_old_threshold_and_revokes() {
    let desk = Desk::with_root();
    assert_eq!(desk.refused("keys rotate --threshold approver=4 --key keys/root1", 11), "document-malformed");
    assert_eq!(desk.refused("keys rotate", 2), "usage");
    assert_eq!(desk.refused("keys rotate --revoke keys/nobody.pub", 11), "key-malformed");
    let begun = desk.ok("keys rotate --revoke keys/bob.pub --floor demo=7 --key keys/root1");
    assert_eq!((begun["version"].as_u64(), begun["published"].as_bool()), (Some(2), Some(false)));
    assert_eq!(desk.refused("keys rotate --threshold approver=1", 1), "already-exists", "one draft at a time");
    // Until it is complete, the old root is the one that counts.
    desk.ok("build --key keys/ci --key keys/alice --key keys/bob");
    assert_eq!(desk.ok(&format!("verify {BUNDLE}"))["root"]["version"], 1);
    let text = desk.text("keys sign-root trust/2.root.draft.json");
    let bob = fs::read_to_string(desk.at("keys/bob.pub")).unwrap();
    for expected in ["against root 1 of domain demo", "floor of demo: sequence 7", bob.trim(), "  by its own   1 of 2"]
    {
        assert!(text.contains(expected), "no `{expected}` in {text}");
    }
    // What is signed is shown although the key that is to sign it is none.
    assert!(desk.text("keys sign-root trust/2.root.draft.json --key keys/nobody").contains(bob.trim()));
    desk.ok("keys sign-root trust/2.root.draft.json --key keys/root2");
    assert_eq!(desk.refused("build --key keys/ci --key keys/bob", 12), "key-unknown", "bob is revoked");
    desk.ok("build --key keys/ci --key keys/alice --key keys/carol --passphrase-file keys/pass");
    assert_eq!(desk.ok(&format!("verify {BUNDLE}"))["root"]["version"], 2);
}

/// The bundle carries root 1 alone; root 2, which revokes one of its approvers, lies at the desk.
#[test]
fn a_revocation_reaches_the_desk_though_the_bundle_does_not_carry_it() {
    let desk = Desk::with_root();
    desk.ok("build --key keys/ci --key keys/alice --key keys/bob");
    let recipient = "age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj";
    fs::create_dir(desk.at("out")).unwrap();
    let verify = format!("verify {BUNDLE}");
    desk.ok(&verify);
    desk.ok("keys rotate --revoke keys/bob.pub --key keys/root1");
    desk.ok("keys sign-root trust/2.root.draft.json --key keys/root2");
    fs::write(desk.at("report"), "clean").unwrap();
    for command in [
        verify.clone(),
        format!("verify {BUNDLE} --root trust/1.root.json --root trust/2.root.json"),
        format!("unpack --for-scan {BUNDLE} out/laid"),
        format!("export --oci out/oci {BUNDLE}"),
        format!("encrypt {BUNDLE} --to {recipient} -o out/encrypted"),
        format!("attest-scan {BUNDLE} --report report --key keys/alice"),
        format!("grant {BUNDLE} --site clinic --from 9999999999 --key keys/alice -o out/grant.json"),
    ] {
        let code = desk.refused(&command, 12);
        assert!(["below-threshold", "signature-invalid"].contains(&code.as_str()), "{command}: {code}");
    }
    assert_eq!(fs::read_dir(desk.at("out")).unwrap().count(), 0);
    // Who is asked to believe root 1 alone knows of no revocation; and roots are named in their order.
    desk.ok(&format!("{verify} --root trust/1.root.json"));
    desk.refused(&format!("{verify} --root trust/2.root.json --root trust/1.root.json"), 2);
    // A bundle that carries both is fine.
    desk.ok("build --key keys/ci --key keys/alice --key keys/carol --passphrase-file keys/pass");
    assert_eq!(desk.ok(&verify)["root"]["version"], 2);
}
