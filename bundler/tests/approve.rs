//! Roots of several people, approval by requests, and heads rewritten in place, by the program itself.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::disallowed_methods)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// The demo's repository, and a folder of keys beside it.
struct Desk(tempfile::TempDir);

const BUNDLE: &str = "demo-1.0.0.consign";
const NEXT: &str = "demo-1.1.0.consign";

impl Desk {
    /// A root by two people, two of three approvers, a publisher; not signed yet.
    fn new() -> Self {
        let desk = Desk(tempfile::tempdir().unwrap());
        consign_bundler::demo::write(&desk.at("")).unwrap();
        desk.git(&["init", "--quiet", "--initial-branch=main"]);
        desk.commit();
        desk.ok("init --product demo --release 1.0.0 --images-from images");
        fs::remove_dir_all(desk.at("trust")).unwrap();
        fs::create_dir(desk.at("keys")).unwrap();
        fs::write(desk.at("keys/pass"), "correct horse\n").unwrap();
        for name in ["root1", "root2", "alice", "bob", "ci"] {
            desk.ok(&format!("keys new --key-only keys/{name}"));
        }
        desk.ok("keys new --key-only keys/carol --passphrase-file keys/pass");
        desk
    }

    /// The same with its root published.
    fn with_root() -> Self {
        let desk = Desk::new();
        desk.ok(&format!("{NEW_ROOT} --key keys/root1"));
        assert_eq!(desk.ok("keys sign-root trust/1.root.draft.json --key keys/root2")["published"], true);
        desk
    }

    fn at(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    fn git(&self, arguments: &[&str]) {
        let author = ["-c", "user.name=A", "-c", "user.email=a@example.invalid", "-c", "commit.gpgsign=false"];
        let mut git = Command::new("git");
        git.args(author).args(arguments).current_dir(&self.0).env("GIT_CONFIG_GLOBAL", "/dev/null");
        assert!(git.status().unwrap().success());
    }

    fn commit(&self) {
        fs::write(self.at(".gitignore"), "keys\ntrust\n*.consign\n*.json\n").unwrap();
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--allow-empty", "--message=x"]);
    }

    fn run(&self, arguments: &str) -> (i32, Value) {
        let mut consign = Command::new(env!("CARGO_BIN_EXE_consign"));
        consign.current_dir(&self.0).args(arguments.split(' ')).args(["--json", "--quiet"]);
        consign.env_remove("CONSIGN_KEY_FILE").env_remove("CONSIGN_KEY_PASSPHRASE_FILE").env_remove("SSH_AUTH_SOCK");
        let output = consign.stdin(std::process::Stdio::null()).output().unwrap();
        let said = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|_| panic!("{arguments}: {}", String::from_utf8_lossy(&output.stderr)));
        (output.status.code().unwrap(), said)
    }

    /// What a person reads on standard output.
    fn text(&self, arguments: &str) -> String {
        let mut consign = Command::new(env!("CARGO_BIN_EXE_consign"));
        consign.current_dir(&self.0).args(arguments.split(' ')).arg("--quiet");
        consign.env_remove("CONSIGN_KEY_FILE").env_remove("CONSIGN_KEY_PASSPHRASE_FILE").env_remove("SSH_AUTH_SOCK");
        let output = consign.stdin(std::process::Stdio::null()).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    }

    fn ok(&self, arguments: &str) -> Value {
        let (code, said) = self.run(arguments);
        assert_eq!(code, 0, "{arguments}: {said}");
        said
    }

    /// The code of a refusal.
    fn refused(&self, arguments: &str, exit: i32) -> String {
        let (code, said) = self.run(arguments);
        assert_eq!(code, exit, "{arguments}: {said}");
        said["error"]["code"].as_str().unwrap().to_owned()
    }

    fn edit(&self, path: &str, from: &str, to: &str) {
        let text = fs::read_to_string(self.at(path)).unwrap();
        assert!(text.contains(from), "no `{from}` in {path}");
        fs::write(self.at(path), text.replace(from, to)).unwrap();
    }

    /// A next release, built by the publisher.
    fn build_next(&self) {
        self.edit("release.yaml", "1.0.0", "1.1.0");
        self.edit("deploy/web.yaml", "replicas: 2", "replicas: 3");
        self.commit();
        self.ok("lock --update");
        self.ok("build --key keys/ci");
    }
}

const NEW_ROOT: &str = "keys new --domain demo --root keys/root1.pub --root keys/root2.pub --root-threshold 2 \
                        --approver keys/alice.pub --approver keys/bob.pub --approver keys/carol.pub \
                        --approvers-threshold 2 --publisher keys/ci.pub";

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
fn a_head_that_waits_does_not_outlive_a_new_bundle() {
    let desk = Desk::with_root();
    let (old, new) = rewritten(&desk);
    let (boundary, head) = (boundary(&desk), desk.at(&format!("{BUNDLE}.head")));
    let build = "build --key keys/ci --key keys/carol --key keys/alice --passphrase-file keys/pass";
    let heads = [&new[..boundary], &new[..boundary / 2], b"hello"];
    for waiting in heads {
        for before in [Some(&old), None] {
            match before {
                Some(before) => fs::write(desk.at(BUNDLE), before).unwrap(),
                None => fs::remove_file(desk.at(BUNDLE)).unwrap(),
            }
            fs::write(&head, waiting).unwrap();
            desk.ok(build);
            assert!(!head.exists());
            let built = fs::read(desk.at(BUNDLE)).unwrap();
            assert!(built != new && built != old);
            desk.ok(&format!("verify {BUNDLE}"));
        }
    }
}

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

/// The bundle before and after a merge, and the request that was merged.
fn rewritten(desk: &Desk) -> (Vec<u8>, Vec<u8>) {
    desk.ok("build --key keys/ci --key keys/alice");
    desk.ok(&format!("approve --request {BUNDLE} -o r.json"));
    desk.ok("approve r.json --key keys/bob");
    let old = fs::read(desk.at(BUNDLE)).unwrap();
    desk.ok(&format!("approve --merge {BUNDLE} r.json"));
    let new = fs::read(desk.at(BUNDLE)).unwrap();
    assert_ne!(old, new);
    (old, new)
}

fn boundary(desk: &Desk) -> usize {
    use consign_bundler::{approval, medium};
    approval::read_head(medium::file(&desk.at(BUNDLE)).unwrap()).unwrap().boundary as usize
}

#[test]
fn a_rewriting_that_is_cut_anywhere_is_read_as_done_and_finished_by_the_next_run() {
    let desk = Desk::with_root();
    let (old, new) = rewritten(&desk);
    let boundary = boundary(&desk);
    assert_eq!(old[boundary..], new[boundary..], "the payload is not touched");
    let (bundle, head) = (desk.at(BUNDLE), desk.at(&format!("{BUNDLE}.head")));
    let differing: Vec<usize> = (0..boundary).filter(|at| old[*at] != new[*at]).collect();
    let (first, last) = (differing[0], differing[differing.len() - 1]);
    let cuts = [0, 1, first, first + 1, 4096, (first + last) / 2, last, last + 1, boundary - 1, boundary];
    for cut in cuts {
        fs::write(&bundle, [&new[..cut], &old[cut..]].concat()).unwrap();
        fs::write(&head, &new[..boundary]).unwrap();
        desk.ok(&format!("verify {BUNDLE}"));
        assert!(head.exists(), "who only reads leaves it to others");
        desk.ok(&format!("approve --merge {BUNDLE} r.json"));
        assert!(!head.exists(), "{cut}");
        assert!(fs::read(&bundle).unwrap() == new, "{cut}");
    }
    // Cut before the head was whole: there is a draft of another name, and the old bundle.
    fs::write(&bundle, &old).unwrap();
    fs::write(desk.at(".draft-1-0"), &new[..boundary / 2]).unwrap();
    assert_eq!(desk.refused(&format!("verify {BUNDLE}"), 12), "below-threshold");
}

#[test]
fn a_torn_or_foreign_head_is_never_written() {
    let desk = Desk::with_root();
    let (old, new) = rewritten(&desk);
    let boundary = boundary(&desk);
    let (bundle, head) = (desk.at(BUNDLE), desk.at(&format!("{BUNDLE}.head")));
    desk.build_next();
    let foreign = fs::read(desk.at(NEXT)).unwrap();
    for (name, bytes) in [
        ("empty", &new[..0]),
        ("torn", &new[..boundary / 2]),
        ("a byte short", &new[..boundary - 1]),
        ("longer", &new[..boundary + 512]),
        ("another bundle's", &foreign[..boundary]),
        ("no head", b"hello"),
    ] {
        fs::write(&bundle, &old).unwrap();
        fs::write(&head, bytes).unwrap();
        assert_eq!(desk.refused(&format!("approve --merge {BUNDLE} r.json"), 11), "head-foreign", "{name}");
        assert!(fs::read(&bundle).unwrap() == old && fs::read(&head).unwrap() == bytes, "{name}");
    }
    fs::write(&bundle, &new).unwrap();
    fs::write(&head, &new[..boundary / 2]).unwrap();
    desk.ok(&format!("verify {BUNDLE}"));
    fs::remove_file(&head).unwrap();
    std::os::unix::fs::symlink("/dev/zero", &head).unwrap();
    assert!(Path::exists(&head));
    assert_ne!(desk.run(&format!("approve --merge {BUNDLE} r.json")).0, 0);
    assert!(fs::read(&bundle).unwrap() == new);
}
