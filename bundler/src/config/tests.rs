use consign_format::error::Coded;

use super::*;

const SMALL: &str = "apiVersion: consign.dev/v1\nproduct: radiology\nversion: 2026.11.0\n\
                     kubernetes: {version: \"1.33\"}\nrender: [{path: deploy}]\n";

/// DESIGN §7, word for word but for what one file cannot have.
const WHOLE: &str = r#"
apiVersion: consign.dev/v1
product: radiology
version: 2026.11.0
line: "2026"
source: {git: ".", ref: v2026.11.0, verify: {ssh: keys/allowed_signers}}
kubernetes: {version: "1.33", apis: [monitoring.coreos.com/v1]}
namespace: radiology
render:
  - path: deploy/base
  - path: charts/viewer
    helm: {release: viewer, values: [values/site.yaml]}
images: {platforms: [linux/amd64], include: [], fields: ["MyKind.spec.image"], mirrors: {docker.io: registry.corp/docker}}
files: [{path: k3s/k3s, to: /usr/local/bin/k3s, mode: "0755"}]
secrets: [{name: db, mode: generate}, {name: tls, mode: existing}]
requires: [{product: platform, versions: ">=2026.9"}]
upgradeFrom: ">=2026.6"
rollout: {onFailure: rollback, healthTimeout: 10m}
"#;

#[test]
fn the_design_example_is_read() {
    let config = parse("release.yaml", WHOLE).unwrap();
    assert_eq!(config.health_timeout, 600);
    assert_eq!(config.files[0].mode, "0755");
    assert_eq!(config.platforms[0].to_string(), "linux/amd64");
    assert_eq!(config.file.line.unwrap().as_str(), "2026");
    assert!(config.audience.is_any());
}

#[test]
fn what_is_left_out_has_its_documented_default() {
    let config = parse("release.yaml", SMALL).unwrap();
    assert_eq!(config.file.version, "2026.11.0");
    assert_eq!(config.file.source, SourceEntry::default());
    assert_eq!(config.file.rollout, RolloutEntry::default());
    assert_eq!(config.platforms.len(), 1);
}

#[test]
fn the_form_is_told_by_line() {
    for (text, line, part) in [
        (format!("{SMALL}prodcut: x\n"), 6, "prodcut"),
        (SMALL.replace("[{path: deploy}]", "[{path: deploy, helmm: {}}]"), 5, "helmm"),
        (SMALL.replace("product: radiology", "product: Radiology"), 2, "Radiology"),
        (SMALL.replace("product: radiology", "product: [a"), 2, ""),
    ] {
        let error = parse("release.yaml", &text).unwrap_err();
        let ConfigError::Form { line: found, reason, .. } = &error else { panic!("{error}") };
        assert!(*found >= line, "{error}");
        assert!(reason.contains(part), "{error}");
        assert_eq!(error.code(), codes::CONFIG_MALFORMED);
    }
}

#[test]
fn the_meaning_is_told_by_field() {
    let with = |line: &str| format!("{SMALL}{line}\n");
    for (text, field) in [
        (SMALL.replace("consign.dev/v1", "consign.dev/v2"), "apiVersion"),
        (SMALL.replace("version: 2026.11.0", "version: a/b"), "version"),
        (SMALL.replace("\"1.33\"", "\"1.33.1\""), "kubernetes.version"),
        (SMALL.replace("render: [{path: deploy}]", ""), "render"),
        (with("namespace: Not_A_Label"), "namespace"),
        (with("images: {platforms: [amd64]}"), "images.platforms[0]"),
        (with("images: {platforms: []}"), "images.platforms"),
        (with("images: {include: [\"a:b:c\"]}"), "images.include[0]"),
        (with("images: {fields: [spec.image]}"), "images.fields[0]"),
        (with("images: {from: [{path: x, references: {\"A B\": x}}]}"), "images.from[0].references"),
        (with("files: [{path: a, to: relative}]"), "files[0].to"),
        (with("files: [{path: a, to: /a/../b}]"), "files[0].to"),
        (with("files: [{path: a, to: /a, mode: \"4755\"}]"), "files[0].mode"),
        (with("files: [{local: a, to: /a}]"), "files[0].sha256"),
        (with("files: [{to: /a}]"), "files[0]"),
        (with("files: [{path: a, to: /a}, {path: b, to: /a}]"), "files"),
        (with("files: [{path: a, to: /a, owner: \"a b\"}]"), "files[0].owner"),
        (with("services: [{unit: \"-H.service\"}]"), "services[0].unit"),
        (with("services: [{unit: a.service}, {unit: a.service}]"), "services[1].unit"),
        (with("services: [{unit: a.service, files: [/a]}]"), "services[0].files"),
        (with("requires: [{product: x, versions: new}]"), "requires[0].versions"),
        (with("requires: [{product: radiology, versions: \"1\"}]"), "requires[0].product"),
        (with("upgradeFrom: later"), "upgradeFrom"),
        (with("rollout: {healthTimeout: soon}"), "rollout.healthTimeout"),
        (with("rollout: {healthTimeout: 100h}"), "rollout.healthTimeout"),
        (with("rollout: {allowPrune: [ConfigMap]}"), "rollout.allowPrune[0]"),
        (with("rollout: {onFailure: rollback, irreversible: true}"), "rollout.onFailure"),
        (with("audience: {}"), "audience"),
    ] {
        let error = parse("release.yaml", &text).unwrap_err();
        let ConfigError::Field { field: found, .. } = &error else { panic!("{field}: {error}") };
        assert_eq!(found, field, "{error}");
    }
}

#[test]
fn a_field_that_cannot_bear_a_digest_is_said_so() {
    let text = format!("{SMALL}images: {{fields: [A.spec.image, {{path: B.spec.image, pin: false}}]}}\n");
    let config = parse("release.yaml", &text).unwrap();
    assert_eq!(config.fields.iter().map(|rule| rule.pin).collect::<Vec<_>>(), [true, false]);
}
