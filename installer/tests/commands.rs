//! The program as people meet it: help, a whole journey by commands, exit codes, what stands on which stream.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::disallowed_methods, reason = "a suite")]

mod kit;

use std::path::Path;
use std::process::{Command, Output};

use consign_format::Digest;
use kit::Draft;
use serde_json::Value;

fn program(root: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_consign-site"));
    command.env_clear().env("PATH", "/nonexistent").arg("--root-dir").arg(root);
    command
}

fn run(root: &Path, arguments: &[&str]) -> Output {
    program(root).args(arguments).output().unwrap()
}

fn done(root: &Path, arguments: &[&str]) -> String {
    let output = run(root, arguments);
    let (out, err) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(output.status.success(), "{arguments:?}: {out}{err}");
    out
}

fn json(root: &Path, arguments: &[&str]) -> (Option<i32>, Value) {
    let output = run(root, &[arguments, &["--json"]].concat());
    let text = String::from_utf8(output.stdout).unwrap();
    let document = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{arguments:?}: {e}: {text}"));
    (output.status.code(), document)
}

/// A folder with a root file, a bundle, and a place for a site.
struct Desk {
    dir: tempfile::TempDir,
}

impl Desk {
    fn new() -> Self {
        let desk = Desk { dir: tempfile::tempdir().unwrap() };
        std::fs::write(desk.at("1.root.json"), kit::root("dev")).unwrap();
        desk.write("demo-1.0.consign", &Draft::new("1.0", 10));
        desk
    }

    fn write(&self, file: &str, draft: &Draft) -> String {
        std::fs::write(self.at(file), draft.bundle()).unwrap();
        self.text(file)
    }

    fn at(&self, file: &str) -> std::path::PathBuf {
        self.dir.path().join(file)
    }

    fn text(&self, file: &str) -> String {
        self.at(file).to_str().unwrap().to_owned()
    }

    fn site(&self) -> std::path::PathBuf {
        self.at("site")
    }

    fn enrol(&self) {
        let (root, fingerprint) = (self.text("1.root.json"), Digest::of(&kit::root("dev")).hex());
        let arguments =
            ["enrol", "--root", &root, "--root-sha256", &fingerprint, "--site", "hospital-7", "--handoff", "export"];
        done(&self.site(), &arguments);
    }
}

#[test]
fn help_teaches() {
    let root = tempfile::tempdir().unwrap();
    for words in [
        "--help",
        "enrol --help",
        "stage --help",
        "activate --help",
        "rollback --help",
        "hold set --help",
        "verify --help",
        "install --help",
        "status --help",
        "serve --help",
        "receipts --help",
        "receipts list --help",
        "receipts show --help",
        "receipts export --help",
        "upgrade --help",
        "explain --help",
        "completions --help",
    ] {
        let arguments: Vec<&str> = words.split(' ').collect();
        let text = done(root.path(), &arguments);
        insta::assert_snapshot!(words.replace(" --help", "").replace(' ', "-").trim_start_matches("--"), text);
    }
}

#[test]
fn the_journey() {
    let desk = Desk::new();
    desk.enrol();
    let (site, bundle) = (desk.site(), desk.text("demo-1.0.consign"));
    assert!(done(&site, &["verify", &bundle]).starts_with("demo 1.0 is what was signed for domain dev\n"));
    assert!(done(&site, &["status"]).contains("nothing is installed"));
    let plan = done(&site, &["install", "--dry-run", &bundle]);
    assert!(plan.starts_with("demo 1.0 would be installed; nothing was changed\n"), "{plan}");
    let said = done(&site, &["install", &bundle]);
    assert!(said.starts_with("demo 1.0 is installed\nsequence  10\n"), "{said}");
    assert!(said.contains("\nreceipt   1"), "{said}");
    let exported = site.join("var/lib/consign/export/demo");
    assert!(exported.join("0000-configmap-demo-a.yaml").exists());
    let (exit, status) = json(&site, &["status"]);
    assert_eq!(exit, Some(0));
    assert_eq!(status["products"][0]["current"]["release"]["version"], "1.0");
    assert_eq!(status["products"][0]["current"]["confirmed"], true);
    assert_eq!(status["lastReceipt"]["outcome"], "applied");
    let list = done(&site, &["receipts", "list"]);
    assert!(list.contains("applied  demo 1.0"), "{list}");
    assert!(done(&site, &["receipts", "show"]).starts_with("{\"signatures\":["));
    let back = desk.text("back");
    assert_eq!(done(&site, &["receipts", "export", &back]), format!("1 receipt is in {back}\n"));
    assert_eq!(std::fs::read_dir(&back).unwrap().count(), 1);
}

#[test]
fn refusals_have_codes_and_are_counted_into_the_next_receipt() {
    let desk = Desk::new();
    let (site, bundle) = (desk.site(), desk.text("demo-1.0.consign"));
    let (exit, document) = json(&site, &["install", &bundle]);
    assert_eq!((exit, &document["error"]["code"]), (Some(17), &Value::from("not-enrolled")));
    desk.enrol();
    done(&site, &["install", &bundle]);
    let old = desk.write("old.consign", &Draft::new("0.9", 9));
    let output = run(&site, &["install", &old]);
    assert_eq!(output.status.code(), Some(13));
    assert!(output.stdout.is_empty());
    assert_eq!(
        String::from_utf8(output.stderr).unwrap(),
        "error[older-release]: demo 0.9 has sequence 9, and this site has accepted 10\n\
         hint: bring the newest bundle; going back on purpose needs a signed grant, or a new release\n"
    );
    std::fs::write(desk.at("cut.consign"), &Draft::new("2.0", 20).bundle()[..140_000]).unwrap();
    assert_eq!(run(&site, &["install", &desk.text("cut.consign")]).status.code(), Some(10));
    assert_eq!(
        run(&site, &["install", &desk.dir.path().to_string_lossy()]).status.code(),
        Some(10),
        "the newest of the folder"
    );
    done(&site, &["install", &desk.write("new.consign", &Draft::new("2.0", 20))]);
    let (_, receipt) = json(&site, &["receipts", "show"]);
    assert_eq!((&receipt["n"], &receipt["refused"]), (&Value::from(2), &Value::from(3)));
    assert_eq!(json(&site, &["status"]).1["refused"], 0);
}

#[test]
fn no_cluster_is_never_a_quiet_success() {
    let desk = Desk::new();
    desk.enrol();
    let bundle = desk.text("demo-1.0.consign");
    let (exit, document) = json(&desk.site(), &["install", "--handoff", "direct", &bundle]);
    assert_eq!((exit, &document["error"]["code"]), (Some(21), &Value::from("no-cluster")));
    assert_eq!(json(&desk.site(), &["status"]).1["products"], serde_json::json!([]));
}

#[test]
fn enrolment_checks_the_fingerprint_and_happens_once() {
    let desk = Desk::new();
    let (site, root) = (desk.site(), desk.text("1.root.json"));
    let wrong = Digest::of(b"another").hex();
    let enrol = |fingerprint: &str, name: &str| {
        json(&site, &["enrol", "--root", &root, "--root-sha256", fingerprint, "--site", name]).1["error"]["code"]
            .clone()
    };
    assert_eq!(enrol(&wrong, "s"), "root-unknown");
    assert!(!site.exists(), "nothing was made");
    desk.enrol();
    let right = Digest::of(&kit::root("dev")).hex();
    assert_eq!(enrol(&right, "hospital-7"), "already-enrolled");
    assert_eq!(enrol(&right, "hospital-8"), "already-enrolled");
    let key = std::fs::metadata(site.join("var/lib/consign/trust/site.key")).unwrap();
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&key.permissions()) & 0o777, 0o600);
    std::fs::write(desk.at("2.root.json"), kit::root("other")).unwrap();
    let other = desk.text("2.root.json");
    let unsaid = json(&site, &["enrol", "--root", &other, "--site", "hospital-7"]);
    assert_eq!(
        (unsaid.0, &unsaid.1["error"]["code"]),
        (Some(2), &Value::from("usage")),
        "there is no trust on first use"
    );
    let words = consign_format::trust::fingerprint::words(&Digest::of(&kit::root("other")));
    let request = desk.text("request.json");
    let said =
        done(&site, &["enrol", "--root", &other, "--root-words", &words, "--site", "hospital-7", "--output", &request]);
    let bytes = std::fs::read(&request).unwrap();
    assert!(
        said.ends_with(&format!("  {}\n", consign_format::trust::fingerprint::words(&Digest::of(&bytes)))),
        "{said}"
    );
    let request = consign_format::enrolment::verify(&bytes).unwrap();
    assert_eq!((request.site.as_str(), request.domain.as_str()), ("hospital-7", "other"));
    assert_eq!(request.root, Digest::of(&kit::root("other")));
    assert_eq!(json(&site, &["status"]).1["domains"].as_array().unwrap().len(), 2);
}

#[test]
fn of_a_folder_everything_is_installed_that_is_for_this_site_in_the_order_it_needs() {
    let desk = Desk::new();
    desk.enrol();
    let stick = desk.at("stick");
    std::fs::create_dir(&stick).unwrap();
    let mut third = Draft::new("3.0", 30);
    third.release.upgrade_from = Some(">=2.0".into());
    let mut theirs = Draft::new("9.0", 90);
    theirs.audience = consign_format::trust::Audience { sites: vec![kit::name("elsewhere")], ..Default::default() };
    for (file, draft) in [
        ("a-viewer.consign", Draft::new("1.0", 1).product("a-viewer").requires("demo", ">=3")),
        ("demo-1.consign", Draft::new("1.0", 10)),
        ("demo-2.consign", Draft::new("2.0", 20)),
        ("demo-3.consign", third),
        ("theirs.consign", theirs),
    ] {
        std::fs::write(stick.join(file), draft.bundle()).unwrap();
    }
    done(&desk.site(), &["install", &desk.text("demo-1.0.consign")]);
    let stick = stick.to_str().unwrap();
    let (exit, told) = json(&desk.site(), &["install", stick]);
    let files = |list: &Value| -> Vec<String> {
        list.as_array().unwrap().iter().map(|one| one["file"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(exit, Some(0), "{told}");
    assert_eq!(files(&told["bundles"]), ["demo-2.consign", "demo-3.consign", "a-viewer.consign"]);
    assert_eq!(files(&told["leftAlone"]), ["demo-1.consign", "theirs.consign"]);
    assert_eq!(told["leftAlone"][1]["code"], "other-site");

    std::fs::remove_file(desk.at("stick/a-viewer.consign")).unwrap();
    std::fs::remove_file(desk.at("stick/demo-3.consign")).unwrap();
    let (exit, told) = json(&desk.site(), &["install", stick]);
    assert_eq!((exit, &told["error"]["code"]), (Some(2), &Value::from("which-bundle")), "{told}");
}

#[test]
fn staged_held_lifted_activated_and_taken_back() {
    let desk = Desk::new();
    desk.enrol();
    let site = desk.site();
    let said = done(&site, &["stage", &desk.text("demo-1.0.consign")]);
    assert!(said.starts_with("demo 1.0 is staged; nothing that runs was touched\n"), "{said}");
    assert!(said.ends_with("\nnext      consign-site activate\n"), "{said}");
    let held = done(&site, &["hold", "set", "--reason", "audit", "--for", "2h"]);
    assert!(held.starts_with("everything: held since "), "{held}");
    let (exit, document) = json(&site, &["activate"]);
    assert_eq!((exit, &document["error"]["code"]), (Some(24), &Value::from("held")));
    let (_, status) = json(&site, &["status"]);
    assert_eq!(status["products"][0]["staged"]["release"]["version"], "1.0");
    assert_eq!(status["next"], "wait until the hold on everything ends, or lift it: consign-site hold lift");
    assert_eq!(done(&site, &["hold", "lift"]), "nothing is held\n");
    assert!(done(&site, &["status"]).ends_with("\nnext      consign-site activate\n"));
    assert!(done(&site, &["activate"]).starts_with("demo 1.0 is installed\n"));
    assert_eq!(json(&site, &["activate"]).1["error"]["code"], "nothing-staged");
    assert_eq!(json(&site, &["rollback", "demo", "--reason", "x"]).1["error"]["code"], "no-way-back");
    done(&site, &["install", &desk.write("new.consign", &Draft::new("2.0", 20))]);
    let said = done(&site, &["rollback", "demo", "--reason", "it smokes"]);
    assert_eq!(said, "demo 1.0 runs again; 2.0 is not tried again without --retry\nreceipt   3\n");
    assert_eq!(json(&site, &["install", &desk.text("new.consign")]).1["error"]["code"], "failed-before");
}
