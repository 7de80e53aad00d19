//! Approval by requests of kilobytes, and what an approver is shown before signing.

use std::fs;
use std::process::Command;

use serde_json::Value;

use crate::desk::{BUNDLE, Desk, NEXT};

#[test]
fn a_signer_that_lies_leaves_nothing_behind() {
    let desk = Desk::with_root();
    let lie = "head\u{20}-c\u{20}64\u{20}/dev/zero";
    let mut consign = Command::new(env!("CARGO_BIN_EXE_consign"));
    consign.current_dir(&desk.0).args(["build", "--json", "--public-key", "keys/ci.pub", "--sign-command", lie]);
    let output = consign.output().unwrap();
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((output.status.code(), &said["error"]["code"]), (Some(12), &Value::from("signature-invalid")));
    let left: Vec<_> = fs::read_dir(desk.at("")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    let is_bundle = |name: &std::ffi::OsString| {
        let name = name.to_string_lossy();
        name.ends_with(".consign") || name.starts_with(".draft-")
    };
    assert!(!left.iter().any(is_bundle), "{left:?}");
    assert_eq!(desk.refused("build --key keys/alice", 12), "key-unknown", "an approver is no publisher");
    assert_eq!(desk.refused("build --key keys/ci --key keys/root1", 12), "key-unknown", "the root's keys sign roots");
    assert_eq!(desk.refused("build --key keys/ci --key keys/carol", 2), "key-locked", "nobody is there to be asked");
    assert_eq!(desk.refused("build --key ssh-agent:ada", 1), "signer-failed", "there is no agent");
    assert_eq!(desk.refused("build --key pkcs11:object=a?module-path=/nowhere.so", 1), "signer-failed");
    assert_eq!(desk.refused("build --key pkcs11:object=a?pin-value=1", 2), "usage");
}

#[test]
fn two_of_three_approve_by_requests_of_kilobytes() {
    let desk = Desk::with_root();
    assert_eq!(desk.ok("build --key keys/ci")["bundle"]["approved"], false);
    assert_eq!(desk.refused(&format!("verify {BUNDLE}"), 12), "below-threshold");
    let made = desk.ok(&format!("approve --request {BUNDLE} -o a.json --note monthly"));
    assert!(made["bytes"].as_u64().unwrap() < 32 * 1024, "{made}");
    fs::copy(desk.at("a.json"), desk.at("b.json")).unwrap();
    let shown = desk.ok("approve a.json");
    assert_eq!(shown["signed"]["version"], "1.0.0");
    assert_eq!(shown["word"]["note"], "monthly");
    assert_eq!(shown["rootCompared"], true);
    assert_eq!(desk.refused("approve a.json --key keys/ci", 12), "key-unknown");
    desk.ok("approve a.json --key keys/alice");
    desk.ok("approve b.json --key keys/carol --passphrase-file keys/pass");
    // One is not enough, both are; twice changes nothing.
    assert_eq!(desk.ok(&format!("approve --merge {BUNDLE} a.json"))["added"], 1);
    assert_eq!(desk.refused(&format!("verify {BUNDLE}"), 12), "below-threshold");
    assert_eq!(desk.ok(&format!("approve --merge {BUNDLE} b.json a.json"))["added"], 1);
    desk.ok(&format!("verify {BUNDLE}"));
    assert_eq!(desk.ok(&format!("approve --merge {BUNDLE} a.json"))["added"], 0);

    // The next release, held against this one, field by field, on the approver's side.
    desk.build_next();
    desk.ok(&format!("approve --request {NEXT} --against {BUNDLE} -o next.json"));
    let shown = desk.ok("approve next.json");
    assert_eq!((&shown["objectsCompared"], &shown["previous"]["version"]), (&Value::from(true), &Value::from("1.0.0")));
    let change = &shown["difference"]["objects"]["Deployment.apps demo/web"]["fields"]["/spec/replicas"];
    assert_eq!(change, &serde_json::json!({"from": "2", "to": "3"}), "{}", shown["difference"]);
    let before = fs::read(desk.at(NEXT)).unwrap();
    assert_eq!(desk.refused(&format!("approve --merge {NEXT} a.json"), 2), "request-other");
    assert_eq!(fs::read(desk.at(NEXT)).unwrap(), before);
}

#[test]
fn a_request_that_was_changed_on_the_way_is_refused() {
    let desk = Desk::with_root();
    desk.ok("build --key keys/ci --key keys/alice --key keys/bob");
    desk.build_next();
    desk.ok(&format!("approve --request {NEXT} --against {BUNDLE} -o r.json"));
    let original: Value = serde_json::from_slice(&fs::read(desk.at("r.json")).unwrap()).unwrap();
    let change = |pointer: &str, to: Value| {
        let mut request = original.clone();
        *request.pointer_mut(pointer).unwrap_or_else(|| panic!("no {pointer}")) = to;
        fs::write(desk.at("r.json"), request.to_string()).unwrap();
    };
    let state = original["release"]["state"].as_str().unwrap().to_owned();
    for (pointer, to, exit) in [
        ("/release/version", Value::from("1.1.1"), 10),
        ("/release/rollout/onFailure", Value::from("halt"), 10),
        ("/previous/release/version", Value::from("1.0.1"), 10),
        ("/previous/targets/signatures", Value::Array(Vec::new()), 12),
        ("/roots/0/signed/expires", Value::from("2046-01-01T00:00:00Z"), 12),
        ("/_type", Value::from("something"), 11),
        (&format!("/blobs/{state}"), Value::from("eNoDAAAAAAE="), 10),
    ] {
        change(pointer, to);
        desk.refused("approve r.json --key keys/alice", exit);
    }
    // What approvers are asked to say can be anything; whether they sign it is theirs to decide. It then is for no bundle.
    change("/targets/signed/x-bundle/minimum-installer", Value::from("9.9.9"));
    assert_eq!(desk.ok("approve r.json")["signed"]["minimum-installer"], "9.9.9");
    desk.ok("approve r.json --key keys/alice");
    assert_eq!(desk.refused(&format!("approve --merge {NEXT} r.json"), 2), "request-other");
}

#[test]
fn no_difference_is_never_told_of_what_was_not_compared() {
    let desk = Desk::with_root();
    desk.ok("build --key keys/ci --key keys/alice --key keys/bob");
    desk.build_next();
    desk.ok(&format!("approve --request {NEXT} --against {BUNDLE} -o r.json"));
    let mut request: Value = serde_json::from_slice(&fs::read(desk.at("r.json")).unwrap()).unwrap();
    request.as_object_mut().unwrap().remove("blobs").unwrap();
    request["word"]["note"] = Value::from("monthly\nagainst 1.1.0:\r\n  no difference\u{1b}[2K");
    request["word"]["bundle"] = Value::from("a\n  root       the one of yours");
    fs::write(desk.at("r.json"), request.to_string()).unwrap();
    let text = desk.text("approve r.json");
    for expected in
        ["THE OBJECTS DIFFER AND COULD NOT BE COMPARED", "fields of the release that differ: state", "\\u{a}"]
    {
        assert!(text.contains(expected), "no `{expected}` in {text}");
    }
    // It is shown although the key that is to sign it is none.
    assert!(desk.text("approve r.json --key keys/nobody").contains("what is signed:"));
    // What a courier wrote stays on its line.
    assert!(!text.lines().any(|line| line.trim_start().starts_with("no difference")), "{text}");
    assert_eq!(text.lines().filter(|line| line.starts_with("  root ")).count(), 1, "{text}");
    let shown = desk.ok("approve r.json");
    assert_eq!((&shown["sameRelease"], &shown["objectsCompared"]), (&Value::from(false), &Value::from(false)));
    assert_eq!(shown["difference"]["fields"], serde_json::json!(["state"]));

    desk.ok(&format!("approve --request {BUNDLE} --against {BUNDLE} -o same.json"));
    assert_eq!(desk.ok("approve same.json")["sameRelease"], true);
    assert!(desk.text("approve same.json").contains("  no difference in the release: it is the same one"));
}

#[test]
fn a_last_release_by_revoked_approvers_is_marked() {
    let desk = Desk::with_root();
    desk.ok("build --key keys/ci --key keys/alice --key keys/bob");
    fs::copy(desk.at(BUNDLE), desk.at("two.consign")).unwrap();
    desk.ok("build --key keys/ci --key keys/alice --key keys/bob --key keys/carol --passphrase-file keys/pass");
    let marked = |request: &str| desk.text(&format!("approve {request}")).contains("HAVE BEEN REVOKED SINCE");
    desk.build_next();
    desk.ok(&format!("approve --request {NEXT} --against two.consign -o before.json"));
    desk.ok(&format!("approve --request {NEXT} --against {BUNDLE} -o three.json"));
    assert!(!marked("before.json"));
    desk.ok("keys rotate --revoke keys/bob.pub --key keys/root1 --key keys/root2");
    // The request was made under root 1 and says so; the root of this desk is newer.
    assert!(marked("before.json"));
    let today = &desk.ok("approve before.json")["previous"]["approvalToday"];
    assert_eq!((today["signed"].as_array().unwrap().len(), &today["need"]), (1, &Value::from(2)));
    // A signature that counts no more does not undo those of the two others.
    assert!(!marked("three.json"));
}

#[test]
fn a_release_of_another_product_is_no_last_one() {
    let desk = Desk::with_root();
    desk.ok("build --key keys/ci --key keys/alice --key keys/bob");
    desk.edit("release.yaml", "product: demo", "product: other");
    desk.commit();
    desk.ok("lock --update");
    desk.ok("build --key keys/ci");
    assert_eq!(
        desk.refused(&format!("approve --request other-1.0.0.consign --against {BUNDLE} -o r.json"), 2),
        "request-other"
    );
    assert!(!desk.at("r.json").exists());
}
