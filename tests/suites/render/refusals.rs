//! Every way in which a repository or its manifests are refused: code, exit code, message, causes, hint, as
//! people see them.

use std::fmt::Write as _;

use consign_bundler::discover::discover;
use consign_bundler::discover::field::FieldRule;
use consign_bundler::normalise::normalise;
use consign_bundler::secrets::{SecretEntry, settle};
use consign_bundler::source::{ExportLimits, SourceRequest, Verify, open};
use consign_bundler::tool::Environment;
use consign_format::error::Failure;
use consign_tests::tools::Tool;
use serde_json::{Value, json};

use crate::repository::{Repository, tool};

/// Adds one refusal to the page.
fn tell(page: &mut String, case: &str, failure: &Failure) {
    let code = failure.code();
    writeln!(page, "# {case}\nerror[{code}]: {failure}").unwrap();
    for cause in failure.causes() {
        writeln!(page, "caused by: {cause}").unwrap();
    }
    if let Some(hint) = failure.hint() {
        writeln!(page, "hint: {hint}").unwrap();
    }
    writeln!(page, "exit {}\n", code.exit.code()).unwrap();
}

fn environment() -> Environment {
    Environment::new([("PATH".into(), "/usr/bin:/bin".into())])
}

#[test]
fn of_the_source() {
    let repository = Repository::new(&[
        ("a.yaml", "x"),
        ("big.yaml", "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n"),
    ]);
    repository.git(&["branch", "both"]);
    repository.git(&["tag", "both"]);
    repository.git(&["tag", "v1"]);
    let head = repository.git(&["rev-parse", "HEAD"]);
    repository.git(&["update-index", "--add", "--cacheinfo", &format!("160000,{head},vendor")]);
    repository.git(&["-c", "user.name=a", "-c", "user.email=a@example.com", "commit", "-q", "-m", "submodule"]);
    let verify = Verify { ssh: Some("signers".to_owned()), gpg: None };
    std::fs::write(repository.path().join("signers"), "").unwrap();
    let try_open = |location: &str, reference: Option<&str>, verify: Option<&Verify>, environment: &Environment| {
        let request = SourceRequest { location, reference, base: repository.path(), verify };
        open(&request, environment, &ExportLimits::default()).map(drop).map_err(Failure::from).unwrap_err()
    };
    let mut page = String::new();
    let path = environment();
    for (case, failure) in [
        ("a transport that runs commands", try_open("ext::sh -c id", None, None, &path)),
        ("no such folder", try_open("nowhere", None, None, &path)),
        ("an expression", try_open(".", Some("main~1"), None, &path)),
        ("no such name", try_open(".", Some("v9"), None, &path)),
        ("branch and tag", try_open(".", Some("both"), None, &path)),
        ("not signed", try_open(".", Some("v1"), Some(&verify), &path)),
        ("no Git", try_open(".", None, None, &Environment::default())),
    ] {
        tell(&mut page, case, &failure);
    }
    std::os::unix::fs::symlink("/etc/passwd", repository.path().join("link")).unwrap();
    let checkout = repository.open();
    for path in ["none.yaml", "../etc", "vendor/x.yaml", "big.yaml"] {
        tell(&mut page, path, &checkout.find(path).map_err(Failure::from).unwrap_err());
    }
    repository.commit();
    tell(&mut page, "a link out of the tree", &try_open(".", None, None, &path));
    insta::with_settings!({filters => vec![
        (r"/tmp/\.tmp[A-Za-z0-9]+", "[repository]"),
        (r"[0-9a-f]{40}", "[commit]"),
    ]}, { insta::assert_snapshot!("source", page) });
}

#[test]
fn of_entries_and_manifests() {
    let object = |kind: &str, body: &str| format!("apiVersion: v1\nkind: {kind}\nmetadata: {{name: x}}\n{body}");
    let pod = object("Pod", "spec: {containers: [{name: c, image: 'Not An Image'}]}");
    let secret = object("Secret", "stringData: {password: hunter2}");
    let twice = format!("{}---\n{}", object("Service", ""), object("Service", ""));
    let files = [
        ("both/Chart.yaml", "name: x"),
        ("both/kustomization.yaml", ""),
        ("empty/README", "x"),
        ("remote/kustomization.yaml", "resources: ['https://example.com/x.yaml']"),
        ("lacking/Chart.yaml", "name: x\nversion: 1.0.0\ndependencies: [{name: redis}]"),
        ("chart/Chart.yaml", "name: x\nversion: 1.0.0"),
        ("kustom/kustomization.yaml", "resources: [x.yaml]"),
        ("twice/key.yaml", "kind: a\nkind: b\n"),
        ("values/values.yaml", "replicas: 1\n"),
        ("generated/x.yaml", "apiVersion: v1\nkind: Pod\nmetadata: {generateName: x-}\n"),
        ("pod/x.yaml", &pod),
        ("secret/x.yaml", &secret),
        ("objects/x.yaml", &twice),
    ];
    let repository = Repository::new(&files);
    let mut page = String::new();
    for path in ["both", "empty", "missing", "remote", "lacking", "chart", "twice", "values", "generated"] {
        let failure = repository.render(json!([{"path": path}]), &[]).map(drop).map_err(Failure::from).unwrap_err();
        tell(&mut page, path, &failure);
    }
    let objects = |path: &str| repository.render(json!([{"path": path}]), &[]).unwrap().objects;
    let rule = |text: &str| text.parse::<FieldRule>().map_err(Failure::from);
    let settled = |entries: Value| {
        let entries: Vec<SecretEntry> = serde_json::from_value(entries).unwrap();
        let objects = normalise(objects("secret"), Some("app")).unwrap();
        settle(objects, &entries, Some("app")).map(drop).map_err(Failure::from).unwrap_err()
    };
    let normal =
        |path: &str, namespace| normalise(objects(path), namespace).map(drop).map_err(Failure::from).unwrap_err();
    let found =
        |path: &str, rules: &[FieldRule]| discover(&objects(path), rules).map(drop).map_err(Failure::from).unwrap_err();
    for (case, failure) in [
        ("an object twice", normal("objects", Some("app"))),
        ("no namespace", normal("pod", None)),
        ("not an image", found("pod", &[])),
        ("a field that is not there", found("secret", &[rule("Pod.spec.image").unwrap_or_else(|_| unreachable!())])),
        ("a field that cannot be read", rule("spec.image").unwrap_err()),
        ("a Secret with data", settled(json!([]))),
        ("shared without a reason", settled(json!([{"name": "x", "mode": "shared"}]))),
        (
            "generated from nothing",
            settled(json!([{"name": "x", "mode": "existing"}, {"name": "y", "mode": "generate"}])),
        ),
        (
            "shared with keys",
            settled(json!([{"name": "x", "mode": "shared", "reason": "a demo", "keys": ["password"]}])),
        ),
    ] {
        tell(&mut page, case, &failure);
    }
    assert!(!page.contains("hunter2"), "a value of a Secret in a message");
    insta::assert_snapshot!("manifests", page);
}

#[test]
fn of_charts() {
    let Some(helm) = tool(Tool::Helm) else { return };
    let made_up = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\ndata: {key: '{{ uuidv4 }}'}\n";
    let repository = Repository::new(&[
        ("dice/Chart.yaml", "apiVersion: v2\nname: dice\nversion: 1.0.0"),
        ("dice/templates/x.yaml", made_up),
        ("broken/Chart.yaml", "apiVersion: v2\nname: broken\nversion: 1.0.0"),
        ("broken/templates/x.yaml", "{{ required \"set .Values.url\" .Values.url }}"),
    ]);
    let mut page = String::new();
    for path in ["dice", "broken"] {
        let failure = repository.render(json!([{"path": path}]), &[&helm]).map(drop).map_err(Failure::from);
        tell(&mut page, path, &failure.unwrap_err());
    }
    insta::assert_snapshot!("charts", page);
}
