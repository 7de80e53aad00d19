//! Roots, thresholds, rotation: the refusals of the trust table that need no site.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::disallowed_methods)]

mod kit;

use std::collections::BTreeMap;

use consign_format::Digest;
use consign_format::error::{Code, Coded, codes};
use consign_format::trust::document::{Key, ROLES, Role, Root, SPEC_VERSION};
use consign_format::trust::envelope::{Envelope, Signature, seal};
use consign_format::trust::keys::{SecretKey, Signer, key_id, sign};
use consign_format::trust::roots::RootChain;
use kit::key;

fn root(version: u64, keys: &[&SecretKey], threshold: u64) -> Root {
    let ids: Vec<String> = keys.iter().map(|k| key_id(&k.public()).unwrap()).collect();
    let role = Role { keyids: ids.clone(), threshold };
    Root {
        kind: "root".into(),
        consistent_snapshot: false,
        expires: kit::EXPIRES.into(),
        keys: ids.into_iter().zip(keys.iter().map(|k| Key::ed25519(&k.public()))).collect(),
        roles: ROLES.iter().map(|name| ((*name).to_owned(), role.clone())).collect(),
        spec_version: SPEC_VERSION.into(),
        version,
        domain: "dev".parse().unwrap(),
        development: false,
        scan: None,
        floor: BTreeMap::new(),
    }
}

fn signed(root: &Root, by: &[&SecretKey]) -> Vec<u8> {
    let signers: Vec<&dyn Signer> = by.iter().map(|k| *k as &dyn Signer).collect();
    sign(root, &signers).unwrap()
}

fn code<T: std::fmt::Debug>(result: Result<T, consign_format::trust::TrustError>) -> Code {
    result.unwrap_err().code()
}

#[test]
fn a_rotation_needs_old_and_new_thresholds() {
    let (a, b, c) = (key(1), key(2), key(3));
    let first = signed(&root(1, &[&a, &b], 2), &[&a, &b]);
    let chain = RootChain::enrol(&first, None).unwrap();
    let follow = |second: Vec<u8>| chain.follow(&[first.clone(), second]);

    let good = follow(signed(&root(2, &[&b, &c], 2), &[&a, &b, &c])).unwrap();
    assert_eq!((good.root().version, good.files().len()), (2, 2));
    assert_eq!(good.fingerprint(), Digest::of(&first));
    assert_eq!(RootChain::restore(good.files()).unwrap().root(), good.root());

    assert_eq!(code(follow(signed(&root(2, &[&b, &c], 2), &[&b, &c]))), codes::BELOW_THRESHOLD, "old threshold");
    assert_eq!(code(follow(signed(&root(2, &[&b, &c], 2), &[&a, &b]))), codes::BELOW_THRESHOLD, "new threshold");
    assert_eq!(code(follow(signed(&root(3, &[&a, &b], 2), &[&a, &b]))), codes::ROOT_VERSION, "a gap");
    assert_eq!(code(follow(first.clone())), codes::ROOT_VERSION, "the old one again");
    assert_eq!(code(chain.follow(&[])), codes::ROOT_VERSION, "none at all");
    let other = signed(&Root { domain: "other".parse().unwrap(), ..root(2, &[&a, &b], 2) }, &[&a, &b]);
    assert_eq!(code(follow(other)), codes::OTHER_DOMAIN);
}

#[test]
fn a_site_enrolled_late_wants_the_forebears_linked() {
    let (a, b) = (key(1), key(2));
    let first = signed(&root(1, &[&a], 1), &[&a]);
    let second = signed(&root(2, &[&b], 1), &[&a, &b]);
    let chain = RootChain::enrol(&second, Some(&Digest::of(&second)));
    // Root 2 also carries root 1's signature: on enrolment that one stands idle.
    assert_eq!(code(chain), codes::SIGNATURE_INVALID);
    let third = signed(&root(3, &[&b], 1), &[&b]);
    let chain = RootChain::enrol(&third, None).unwrap();
    assert!(chain.follow(&[first.clone(), second.clone(), third.clone()]).is_ok());
    let foreign = signed(&root(1, &[&key(9)], 1), &[&key(9)]);
    assert!(chain.follow(&[foreign, second, third]).is_err());
}

#[test]
fn thresholds_count_keys_not_ids() {
    let (a, b) = (key(1), key(2));
    let mut twice = root(1, &[&a, &b], 2);
    twice.keys.insert("alias".into(), Key::ed25519(&a.public()));
    for role in twice.roles.values_mut() {
        role.keyids.push("alias".into());
    }
    let envelope = signed(&twice, &[&a]);
    let parsed = Envelope::parse("root", &envelope).unwrap();
    let mut signatures = parsed.signatures().to_vec();
    signatures.push(Signature { keyid: "alias".into(), sig: signatures[0].sig.clone() });
    assert_eq!(code(RootChain::enrol(&seal(&twice, &signatures).unwrap(), None)), codes::BELOW_THRESHOLD);
    signatures.push(signatures[0].clone());
    assert_eq!(code(RootChain::enrol(&seal(&twice, &signatures).unwrap(), None)), codes::DOCUMENT_MALFORMED);
}

#[test]
fn idle_and_weak_are_refused() {
    let (a, b) = (key(1), key(2));
    assert_eq!(code(RootChain::enrol(&signed(&root(1, &[&a], 1), &[&a, &b]), None)), codes::SIGNATURE_INVALID);
    let good = root(1, &[&a], 1);
    let envelope = signed(&good, &[&a]);
    let signature = Envelope::parse("root", &envelope).unwrap().signatures()[0].clone();
    for sig in [
        "0".repeat(128),
        signature.sig.to_uppercase(),
        signature.sig[..126].to_owned(),
        format!("{}00", signature.sig),
        format!("{}g", &signature.sig[..127]),
    ] {
        let wrong = Signature { sig, ..signature.clone() };
        assert_eq!(code(RootChain::enrol(&seal(&good, &[wrong]).unwrap(), None)), codes::SIGNATURE_INVALID);
    }
    assert_eq!(code(RootChain::enrol(&seal(&good, &[]).unwrap(), None)), codes::BELOW_THRESHOLD);
    // The identity element, an order-2 point, and a non-canonical encoding of y = 1 (p + 1).
    for public in
        [format!("01{}", "00".repeat(31)), format!("ec{}7f", "ff".repeat(30)), format!("ee{}7f", "ff".repeat(30))]
    {
        let mut weak = good.clone();
        weak.keys.values_mut().next().unwrap().keyval.public = public.clone();
        let zero = Signature { keyid: signature.keyid.clone(), sig: "0".repeat(128) };
        assert_eq!(code(RootChain::enrol(&seal(&weak, &[zero]).unwrap(), None)), codes::WEAK_KEY, "{public}");
    }
}

#[test]
fn a_malleated_signature_is_refused() {
    // S + L, the group order, little-endian: valid under a lax verifier (RFC 8032 §5.1.7 forbids it).
    const L: [u8; 32] = [
        0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0, 0, 0, 0,
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
    ];
    let a = key(1);
    let good = root(1, &[&a], 1);
    let envelope = signed(&good, &[&a]);
    let signature = Envelope::parse("root", &envelope).unwrap().signatures()[0].clone();
    let mut bytes = hex::decode(&signature.sig).unwrap();
    let mut carry = 0u16;
    for (byte, l) in bytes[32..].iter_mut().zip(L) {
        carry += u16::from(*byte) + u16::from(l);
        *byte = carry as u8;
        carry >>= 8;
    }
    let wrong = Signature { sig: hex::encode(bytes), ..signature };
    assert_eq!(code(RootChain::enrol(&seal(&good, &[wrong]).unwrap(), None)), codes::SIGNATURE_INVALID);
}

#[test]
fn the_fingerprint_decides() {
    let a = key(1);
    let first = signed(&root(1, &[&a], 1), &[&a]);
    assert!(RootChain::enrol(&first, Some(&Digest::of(&first))).is_ok());
    assert_eq!(code(RootChain::enrol(&first, Some(&Digest::of(b"other")))), codes::ROOT_UNKNOWN);
}
