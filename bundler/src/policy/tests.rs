//! Signatures in every form that counts, and what does not count, each for its own reason.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use consign_format::release::{Image, Referrer};
use consign_format::{Descriptor, Digest, Reference, media_type};
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm,
    Ed25519KeyPair, KeyPair,
};
use serde_json::{Value, json};
use spki::der::asn1::{AnyRef, BitStringRef};
use spki::der::pem::LineEnding;
use spki::der::{EncodePem, asn1::ObjectIdentifier};
use spki::{AlgorithmIdentifierRef, SubjectPublicKeyInfoRef};

use super::*;
use crate::bundle::kept::Kept;

const PAYLOAD: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
const ARTIFACT: &str = "application/vnd.dev.cosign.artifact.sig.v1+json";
const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";

/// Somebody who signs images.
enum Signer {
    Ecdsa(EcdsaKeyPair, &'static str),
    Ed25519(Ed25519KeyPair),
}

impl Signer {
    fn ecdsa(algorithm: &'static EcdsaSigningAlgorithm, curve: &'static str) -> Self {
        let random = SystemRandom::new();
        let key = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
        Signer::Ecdsa(EcdsaKeyPair::from_pkcs8(algorithm, key.as_ref(), &random).unwrap(), curve)
    }

    fn p256() -> Self {
        Self::ecdsa(&ECDSA_P256_SHA256_ASN1_SIGNING, "1.2.840.10045.3.1.7")
    }

    fn p384() -> Self {
        Self::ecdsa(&ECDSA_P384_SHA384_ASN1_SIGNING, "1.3.132.0.34")
    }

    fn ed25519() -> Self {
        let key = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        Signer::Ed25519(Ed25519KeyPair::from_pkcs8(key.as_ref()).unwrap())
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        match self {
            Signer::Ecdsa(key, _) => key.sign(&SystemRandom::new(), message).unwrap().as_ref().to_vec(),
            Signer::Ed25519(key) => key.sign(message).as_ref().to_vec(),
        }
    }

    fn pem(&self) -> String {
        let (oid, curve, bytes) = match self {
            Signer::Ecdsa(key, curve) => ("1.2.840.10045.2.1", Some(*curve), key.public_key().as_ref()),
            Signer::Ed25519(key) => ("1.3.101.112", None, key.public_key().as_ref()),
        };
        let curve = curve.map(ObjectIdentifier::new_unwrap);
        let algorithm = AlgorithmIdentifierRef {
            oid: ObjectIdentifier::new_unwrap(oid),
            parameters: curve.as_ref().map(AnyRef::from),
        };
        let subject_public_key = BitStringRef::from_bytes(bytes).unwrap();
        SubjectPublicKeyInfoRef { algorithm, subject_public_key }.to_pem(LineEnding::LF).unwrap()
    }

    fn key(&self, name: &str) -> Key {
        Key::from_pem(name, &self.pem()).unwrap()
    }
}

/// An image in the making, with what travels beside it.
struct Fixture {
    image: Image,
    blobs: Vec<Vec<u8>>,
}

impl Fixture {
    fn new() -> Self {
        let manifest = json!({"schemaVersion": 2, "config": {}, "layers": []}).to_string().into_bytes();
        let digest = Digest::of(&manifest);
        let reference = format!("quay.io/lumen/archive:2.3.1@{digest}");
        let image = Image { reference, digest, platforms: vec![], referrers: vec![], found_in: vec![] };
        Fixture { image, blobs: vec![manifest] }
    }

    fn manifest(&self) -> &[u8] {
        &self.blobs[0]
    }

    fn payload(&self) -> Vec<u8> {
        payload(&self.image.digest).to_string().into_bytes()
    }

    /// A layer with annotations, in a manifest that refers to the image.
    fn beside(mut self, kind: &str, layer_type: &str, layer: Vec<u8>, annotations: Value) -> Self {
        let mut descriptor = serde_json::to_value(Descriptor::of(layer_type, &layer)).unwrap();
        descriptor["annotations"] = annotations;
        let manifest = json!({
            "schemaVersion": 2, "mediaType": media_type::OCI_MANIFEST, "artifactType": kind,
            "config": Descriptor::of(media_type::OCI_EMPTY, b"{}"), "layers": [descriptor],
        });
        let manifest = manifest.to_string().into_bytes();
        let tag = (kind == "tag").then(|| format!("sha256-{}.sig", self.image.digest.hex()));
        let (digest, subject, artifact_type) = (Digest::of(&manifest), self.image.digest, Some(kind.to_owned()));
        self.image.referrers.push(Referrer { digest, subject, tag, artifact_type });
        self.blobs.extend([manifest, layer]);
        self
    }

    fn simple(self, kind: &str, payload: Vec<u8>, signature: &[u8]) -> Self {
        let annotations = json!({"dev.cosignproject.cosign/signature": STANDARD.encode(signature)});
        self.beside(kind, PAYLOAD, payload, annotations)
    }

    fn signed(self, kind: &str, signer: &Signer) -> Self {
        let payload = self.payload();
        let signature = signer.sign(&payload);
        self.simple(kind, payload, &signature)
    }

    fn bundle(self, content: Value) -> Self {
        let mut bundle = json!({"mediaType": BUNDLE, "verificationMaterial": {"publicKey": {"hint": ""}}});
        for (field, value) in content.as_object().unwrap() {
            bundle[field] = value.clone();
        }
        self.beside(BUNDLE, BUNDLE, bundle.to_string().into_bytes(), json!({}))
    }

    fn envelope(self, predicate: &str, subject: &Digest, signer: &Signer) -> Self {
        let kind = "application/vnd.in-toto+json";
        let statement = json!({"_type": "https://in-toto.io/Statement/v1", "predicateType": predicate,
            "subject": [{"digest": {"sha256": subject.hex()}}], "predicate": {}});
        let payload = statement.to_string();
        let signature = signer.sign(format!("DSSEv1 {} {kind} {} {payload}", kind.len(), payload.len()).as_bytes());
        let payload = STANDARD.encode(payload);
        self.bundle(json!({"dsseEnvelope": {"payload": payload, "payloadType": kind,
            "signatures": [{"sig": STANDARD.encode(signature)}]}}))
    }

    /// What a policy of one rule says, in words; nothing where the image passes.
    fn refused_by(&self, keys: Vec<Key>, threshold: usize) -> Option<String> {
        let rule = Rule { images: vec!["quay.io/lumen/*".parse().unwrap()], keys, threshold };
        self.refused_by_policy(&Policy { rules: vec![rule], allow_unsigned: vec![] })
    }

    fn refused_by_policy(&self, policy: &Policy) -> Option<String> {
        let images = [self.image.clone()];
        let mut kept = Kept::default();
        judge::want(policy, &images, &mut kept);
        // As a bundle has them: manifests may come behind what they name, then there is a second pass.
        for _ in 0..2 {
            for blob in self.blobs.iter().rev() {
                kept.take(&Digest::of(blob), blob.len() as u64, &mut blob.as_slice());
            }
        }
        let judged = judge(policy, &images, &kept).remove(0);
        let told = judged.wrong.iter().map(|error| {
            let why = std::error::Error::source(error).map(|source| format!(": {source}")).unwrap_or_default();
            format!("{}{why}", error.code())
        });
        (!judged.wrong.is_empty()).then(|| told.collect::<Vec<_>>().join("; "))
    }
}

fn payload(image: &Digest) -> Value {
    json!({"critical": {"identity": {"docker-reference": ""}, "image": {"docker-manifest-digest": image},
        "type": "cosign container image signature"}, "optional": null})
}

const SIGN: &str = "https://sigstore.dev/cosign/sign/v1";

#[test]
fn every_form_of_signature_counts() {
    for signer in [Signer::p256(), Signer::ed25519()] {
        let of_manifest = STANDARD.encode(signer.sign(Fixture::new().manifest()));
        let digest = Fixture::new().image.digest;
        for fixture in [
            Fixture::new().signed("tag", &signer),
            Fixture::new().signed(ARTIFACT, &signer),
            Fixture::new().envelope(SIGN, &digest, &signer),
            Fixture::new().bundle(json!({"messageSignature": {"signature": of_manifest}})),
        ] {
            assert_eq!(fixture.refused_by(vec![Signer::p256().key("other"), signer.key("a")], 1), None);
        }
    }
}

#[test]
fn what_does_not_count_says_why() {
    let signer = Signer::p256();
    let other = Digest::of(b"another image");
    let of_other = payload(&other).to_string().into_bytes();
    let own = Fixture::new().payload();
    let another_kind = String::from_utf8(own.clone()).unwrap().replace("cosign container image", "a").into_bytes();
    let giant = vec![b' '; cosign::LIMIT as usize + 1];
    let sign = |bytes: &[u8]| signer.sign(bytes);
    let padded = [own.as_slice(), b" "].concat();
    let rows: Vec<(&str, Fixture)> = vec![
        ("no signature of it", Fixture::new()),
        ("of another image", Fixture::new().simple("tag", of_other.clone(), &sign(&of_other))),
        ("holds for none", Fixture::new().signed("tag", &Signer::p256())),
        ("holds for none", Fixture::new().signed("tag", &Signer::p384())),
        ("holds for none", Fixture::new().simple("tag", own.clone(), &sign(&padded))),
        ("holds for none", Fixture::new().simple("tag", own.clone(), &[])),
        ("no signature annotation", Fixture::new().beside("tag", PAYLOAD, own.clone(), json!({}))),
        ("not base64", Fixture::new().beside("tag", PAYLOAD, own, json!({"dev.cosignproject.cosign/signature": "%"}))),
        ("payload is a", Fixture::new().simple("tag", another_kind.clone(), &sign(&another_kind))),
        ("over the limit", Fixture::new().simple("tag", giant.clone(), &sign(&giant))),
        ("not of the expected form", Fixture::new().simple("tag", b"{".to_vec(), &sign(b"{"))),
        ("holds no signature", Fixture::new().beside("tag", "text/plain", b"x".to_vec(), json!({}))),
        ("of another image", Fixture::new().envelope(SIGN, &other, &signer)),
        ("attests something else", {
            let fixture = Fixture::new();
            let digest = fixture.image.digest;
            fixture.envelope("https://spdx.dev/Document", &digest, &signer)
        }),
        ("holds for none", {
            let wrong = STANDARD.encode(sign(b"other bytes"));
            Fixture::new().bundle(json!({"messageSignature": {"signature": wrong}}))
        }),
        ("not of the expected form", Fixture::new().bundle(json!({}))),
    ];
    for (why, fixture) in rows {
        let said = fixture.refused_by(vec![signer.key("a")], 1).unwrap_or_else(|| panic!("passed: {why}"));
        assert!(said.starts_with("image-unsigned") && said.contains(why), "{why}: {said}");
    }
}

#[test]
fn a_threshold_counts_keys_and_not_signatures() {
    let (a, b) = (Signer::p256(), Signer::ed25519());
    let keys = || vec![a.key("a"), b.key("b")];
    assert!(Fixture::new().signed("tag", &a).signed(ARTIFACT, &a).refused_by(keys(), 2).is_some());
    assert_eq!(Fixture::new().signed("tag", &a).signed(ARTIFACT, &b).refused_by(keys(), 2), None);
}

#[test]
fn a_signature_of_something_below_the_image_is_not_one_of_the_image() {
    let signer = Signer::p256();
    let mut fixture = Fixture::new().signed("tag", &signer);
    fixture.image.referrers[0].subject = Digest::of(b"one of its platforms");
    assert!(fixture.refused_by(vec![signer.key("a")], 1).is_some());
}

#[test]
fn what_no_rule_fits_is_refused_unless_it_is_named() {
    let policy = |pattern: &str| Policy { rules: vec![], allow_unsigned: vec![pattern.parse().unwrap()] };
    assert_eq!(Fixture::new().refused_by_policy(&policy("quay.io/**")), None);
    let said = Fixture::new().refused_by_policy(&policy("docker.io/**")).unwrap();
    assert_eq!(said, "image-without-rule");
    // A rule counts for more than leave to be unsigned, and every rule that fits must hold.
    let (a, b) = (Signer::p256(), Signer::p256());
    let rule = |signer: &Signer| Rule {
        images: vec!["quay.io/lumen/*".parse().unwrap()],
        keys: vec![signer.key("a")],
        threshold: 1,
    };
    let mut policy = policy("**");
    policy.rules = vec![rule(&a), rule(&b)];
    assert!(Fixture::new().signed("tag", &a).refused_by_policy(&policy).is_some());
    assert_eq!(Fixture::new().signed("tag", &a).signed(ARTIFACT, &b).refused_by_policy(&policy), None);
}

#[test]
fn keys_of_other_kinds_are_refused() {
    assert_eq!(Key::from_pem("a", &Signer::p384().pem()).unwrap_err(), "its curve is not P-256");
    let private = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIAcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcH\n-----END PRIVATE KEY-----\n";
    assert!(Key::from_pem("a", private).unwrap_err().contains("PUBLIC KEY is wanted"));
    assert!(Key::from_pem("a", "nothing").is_err());
    let signer = Signer::ed25519();
    assert_eq!(signer.key("a"), signer.key("b"));
}

#[test]
fn a_policy_that_cannot_be_kept_to_says_where() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    std::fs::write(at("a.pem"), Signer::p256().pem()).unwrap();
    std::fs::copy(at("a.pem"), at("copy.pem")).unwrap();
    std::fs::write(at("p384.pem"), Signer::p384().pem()).unwrap();
    let load = |text: &str| {
        std::fs::write(at("policy.yaml"), text).unwrap();
        Policy::load(&at("policy.yaml"))
    };
    let head = "apiVersion: consign.dev/v1\n";
    let rule = |fields: &str| format!("{head}rules:\n  - {{images: [\"quay.io/lumen/*\"], {fields}}}\n");
    assert!(load(&rule("keys: [a.pem]")).is_ok());
    for (text, part) in [
        ("apiVersion: consign.dev/v2\nrules: []\n".to_owned(), "`apiVersion`"),
        (head.to_owned(), "says nothing"),
        (format!("{head}rule: []\n"), "line 2"),
        (rule("keys: []"), "0 distinct keys cannot make 1"),
        (rule("keys: [a.pem, copy.pem], threshold: 2"), "1 distinct keys cannot make 2"),
        (rule("keys: [a.pem], threshold: 0"), "cannot make 0"),
        (rule("keys: [p384.pem]"), "`rules[0].keys`: p384.pem: its curve is not P-256"),
        (rule("keys: [none.pem]"), "cannot be read"),
        (format!("{head}allowUnsigned: [nginx]\n"), "`allowUnsigned`"),
    ] {
        let error = load(&text).unwrap_err();
        assert!(error.to_string().contains(part), "{part}: {error}");
    }
}

#[test]
fn references_are_held_against_patterns_in_full() {
    let reference: Reference = Fixture::new().image.reference.parse().unwrap();
    assert!("quay.io/lumen/archive:2.*".parse::<Pattern>().unwrap().fits(&reference));
}
