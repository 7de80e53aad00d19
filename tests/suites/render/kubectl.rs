//! Our reading of YAML held against `kubectl`'s own.

use std::fs;
use std::path::Path;
use std::process::Command;

use consign_bundler::yaml::{YamlLimits, parse_documents};
use consign_tests::skip;
use serde_json::Value;

use crate::inputs::input;

/// Left out: whole numbers beyond 64 bits with sign, which `kubectl` rounds and we keep, and `1_`, which is a text here.
const SCALARS: &str = r#"
apiVersion: v1
kind: ConfigMap
metadata: {name: scalars}
scalars:
  numbers: [0755, 0644, -0755, 0o17, 0b11, 0x1F, 1_000, 0_7, 0b1_0, 089, +12, 12e3, 1.0, 1.10, .5, -0, 1e21, 1e20, _1]
  large: [9223372036854775807, 9007199254740993, -9223372036854775808]
  truths: [yes, Yes, YES, on, y, Y, true, True, no, n, N, off, Off, false]
  texts: ["0755", 'yes', 1:30, 2001-01-01, 0x, 1.2.3, v1, "\u00e9", !!str 12, !foo bar]
  nothing: [~, null, Null, NULL, '']
  tagged: [!!binary aGVsbG8=, !!float 3, !!int "7"]
  keys: {1: a, 0755: b, 1.5: c, "y": d, yes: e}
  base: &base {a: 1, b: 2}
  merged: {<<: *base, b: 3}
  alias: *base
  literal: |
    one
      two
  folded: >-
    one
    two
"#;

/// What `kubectl` makes of a file, without any cluster; nothing after saying that it cannot be asked.
fn kubectl(text: &str) -> Option<Vec<Value>> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("x.yaml");
    fs::write(&file, text).unwrap();
    let mut command = Command::new("kubectl");
    command.env("KUBECONFIG", "/dev/null").env("HOME", folder.path());
    command.args(["patch", "--local", "--type=merge", "--patch={}", "--output=json", "--filename"]).arg(&file);
    let output = command.output();
    let how = "apt-get install kubernetes-client";
    if !skip::unless(output.is_ok(), "kubectl is not installed", how) {
        return None;
    }
    let output = output.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(serde_json::Deserializer::from_slice(&output.stdout).into_iter().collect::<Result<_, _>>().unwrap())
}

fn ours(text: &str) -> Vec<Value> {
    parse_documents(text.as_bytes(), Path::new("x.yaml"), &YamlLimits::default()).unwrap()
}

/// JSON writes one number in several ways; `kubectl` prints 1e+20 where we keep an integer.
fn same(ours: &Value, theirs: &Value) -> bool {
    match (ours, theirs) {
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64() && (b.is_f64() || a.is_f64()),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| same(a, b)))
        }
        _ => ours == theirs,
    }
}

#[test]
fn scalars_are_what_kubectl_reads() {
    let Some(theirs) = kubectl(SCALARS) else { return };
    let ours = &ours(SCALARS)[0]["scalars"];
    for (group, theirs) in theirs[0]["scalars"].as_object().unwrap() {
        assert!(same(&ours[group], theirs), "{group}: ours {} theirs {theirs}", ours[group]);
    }
}

#[test]
fn other_peoples_manifests_are_what_kubectl_reads() {
    for name in ["argocd-core-install.yaml", "boutique.yaml"] {
        let Some(text) = input(name) else { return };
        let Some(theirs) = kubectl(&text) else { return };
        let ours = ours(&text);
        assert_eq!(ours.len(), theirs.len());
        for (ours, theirs) in ours.iter().zip(&theirs) {
            assert!(same(ours, theirs), "{name}: {} {}", ours["kind"], ours["metadata"]["name"]);
        }
    }
}
