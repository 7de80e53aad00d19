//! Signatures of images, made by openssl in the form that cosign documents, found by a build, carried, and held against
//! a policy without any network.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::workshop::{AGENT, Signer, TOOL, Workshop, base64, payload};

const ARTIFACT: &str = "application/vnd.dev.cosign.artifact.sig.v1+json";
const SIMPLE: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";

fn policy(workshop: &Workshop, rules: &str) -> PathBuf {
    let path = workshop.folder.join("verify-policy.yaml");
    fs::write(&path, format!("apiVersion: consign.dev/v1\n{rules}")).unwrap();
    path
}

/// What `verify` says: the report and its checks of images, by image.
fn verify(workshop: &Workshop, bundle: &Path, policy: &Path) -> (Value, [Value; 2]) {
    let outcome = workshop.consign(["verify", "--json"]).option("--policy", policy).arg(bundle).run();
    let report = outcome.json();
    let of = |image: &str| {
        let checks = report["checks"].as_array().unwrap();
        let found = checks.iter().find(|check| check["subject"].as_str().is_some_and(|s| s.starts_with(image)));
        found.unwrap_or_else(|| panic!("no check of {image}: {report:#}")).clone()
    };
    let checks = [of(AGENT), of(TOOL)];
    assert_eq!(outcome.exit.unwrap_or(-1), report["error"]["exit"].as_i64().unwrap_or(0) as i32, "{outcome}");
    (report, checks)
}

#[test]
fn signed_images_pass_and_others_say_why_they_do_not() {
    if !Workshop::is_possible() {
        return;
    }
    let workshop = Workshop::new();
    let keys = workshop.folder.join("keys");
    fs::create_dir(&keys).unwrap();
    let ecdsa = Signer::new(&keys, "ecdsa", "P-256");
    let ed25519 = Signer::new(&keys, "ed25519", "ed25519");
    let stranger = Signer::new(&keys, "stranger", "P-256");
    assert!(ecdsa.public.exists() && ed25519.public.exists());
    let rules = "rules:\n  - images: ['registry.example/lumen/*']\n    keys: [keys/ecdsa.pub, keys/ed25519.pub]\n";
    let policy_file = policy(&workshop, rules);

    // Nothing is signed: both images are named, not only the first.
    let bundle = workshop.build();
    let (report, [agent, tool]) = verify(&workshop, &bundle, &policy_file);
    assert_eq!((&report["verdict"], &report["error"]["code"]), (&json!("refused"), &json!("image-unsigned")));
    for check in [&agent, &tool] {
        assert_eq!(check["outcome"], "refused", "{check:#}");
        assert_eq!(check["findings"][0]["causes"][0], "no signature of it is in the bundle");
    }

    // Both kinds of key, by tag; an index is signed by its own digest.
    workshop.sign(AGENT, &ecdsa);
    workshop.sign(TOOL, &ed25519);
    let bundle = workshop.build();
    let (report, [agent, tool]) = verify(&workshop, &bundle, &policy_file);
    assert_eq!(report["verdict"], "accepted", "{report:#}");
    assert_eq!(agent["note"], "signed by keys/ecdsa.pub");
    assert_eq!(tool["note"], "signed by keys/ed25519.pub");
    // One pass, but for the bundle's head: manifests lie before what they name.
    let (read, bytes) = (report["bytesRead"].as_u64().unwrap(), report["bytes"].as_u64().unwrap());
    assert!(read < bytes + bytes / 2, "{read} of {bytes} bytes were read");

    // A threshold that one key cannot reach.
    let both = policy(&workshop, &format!("{rules}    threshold: 2\n"));
    let (_, [agent, _]) = verify(&workshop, &bundle, &both);
    assert!(agent["findings"][0]["message"].as_str().unwrap().contains("and has 1"), "{agent:#}");

    // By somebody else; of another image.
    workshop.sign(AGENT, &stranger);
    workshop.sign_as(TOOL, &workshop.digest(AGENT), &ecdsa);
    let bundle = workshop.build();
    let (_, [agent, tool]) = verify(&workshop, &bundle, &policy(&workshop, rules));
    let why = |check: &Value| check["findings"][0]["causes"][0].as_str().unwrap().to_owned();
    assert!(why(&agent).contains("holds for none"), "{agent:#}");
    assert!(why(&tool).contains("of another image"), "{tool:#}");

    // A payload of a megabyte, with a signature that holds; no signature at all.
    let giant = payload(&workshop.digest(AGENT)) + &" ".repeat(1 << 20);
    let file = workshop.folder.join("giant.json");
    fs::write(&file, &giant).unwrap();
    workshop.attach(AGENT, &giant, &[("dev.cosignproject.cosign/signature", &base64(&ecdsa.sign(&file)))]);
    workshop.attach(TOOL, &payload(&workshop.digest(TOOL)), &[]);
    let bundle = workshop.build();
    let (_, [agent, tool]) = verify(&workshop, &bundle, &policy(&workshop, rules));
    assert!(why(&agent).contains("over the limit"), "{agent:#}");
    assert!(why(&tool).contains("no signature annotation"), "{tool:#}");
}

#[test]
fn referrers_are_signatures_too() {
    if !Workshop::is_possible() {
        return;
    }
    let workshop = Workshop::new();
    let signer = Signer::new(&workshop.folder, "signer", "P-256");
    let text = payload(&workshop.digest(AGENT));
    let file = workshop.folder.join("payload.json");
    fs::write(&file, &text).unwrap();
    let annotations = json!({"dev.cosignproject.cosign/signature": base64(&signer.sign(&file))});
    workshop.refer(AGENT, ARTIFACT, SIMPLE, &text, annotations);
    // The new form: the signature is over the manifest itself.
    let manifest = workshop.folder.join("manifest.json");
    fs::write(&manifest, workshop.manifest(TOOL)).unwrap();
    let signature = base64(&signer.sign(&manifest));
    let bundle = json!({"mediaType": BUNDLE, "verificationMaterial": {"publicKey": {"hint": ""}},
        "messageSignature": {"messageDigest": {"algorithm": "SHA2_256", "digest": ""}, "signature": signature}});
    workshop.refer(TOOL, BUNDLE, BUNDLE, &bundle.to_string(), json!({}));
    let rules = "rules:\n  - {images: ['registry.example/**'], keys: [signer.pub]}\n";
    let (report, _) = verify(&workshop, &workshop.build(), &policy(&workshop, rules));
    assert_eq!(report["verdict"], "accepted", "{report:#}");
}

#[test]
fn what_the_policy_forgot_is_refused_and_a_policy_nobody_can_keep_is_none() {
    if !Workshop::is_possible() {
        return;
    }
    let workshop = Workshop::new();
    let signer = Signer::new(&workshop.folder, "signer", "P-256");
    Signer::new(&workshop.folder, "curve", "P-384");
    workshop.sign(AGENT, &signer);
    let bundle = workshop.build();
    let rule = "rules:\n  - {images: ['registry.example/lumen/agent'], keys: [signer.pub]}\n";
    let (report, [agent, tool]) = verify(&workshop, &bundle, &policy(&workshop, rule));
    assert_eq!((&agent["outcome"], &tool["outcome"]), (&json!("passed"), &json!("refused")));
    assert_eq!((&report["error"]["code"], &report["error"]["exit"]), (&json!("image-without-rule"), &json!(25)));
    let allowed = policy(&workshop, &format!("{rule}allowUnsigned: ['registry.example/lumen/tool:2']\n"));
    assert_eq!(verify(&workshop, &bundle, &allowed).0["verdict"], "accepted");
    let wrong = policy(&workshop, &rule.replace("signer.pub", "curve.pub"));
    let outcome = workshop.consign(["verify"]).option("--policy", wrong).arg(&bundle);
    outcome.fails("policy-malformed", 2).says("its curve is not P-256");
}
