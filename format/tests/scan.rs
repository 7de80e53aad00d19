//! Scan attestations: who may sign them, how many must, and that nothing in them can be changed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::disallowed_methods)]

mod kit;

use consign_format::error::{Coded, codes};
use consign_format::trust::document::{Key, Role, Root};
use consign_format::trust::envelope::Envelope;
use consign_format::trust::keys::{SecretKey, Signer, key_id, sign};
use consign_format::trust::roots::RootChain;
use consign_format::trust::scan::{ScanAttestation, Verdict};
use consign_format::{Digest, Name};
use kit::{key, parts};

/// A root whose role `scan` is of these keys, two of whom must sign.
fn chain(scanners: &[&SecretKey]) -> RootChain {
    let parts = parts();
    let file = parts.roots[0].clone();
    let mut root: Root = serde_json::from_slice(Envelope::parse("root", &file).unwrap().signed()).unwrap();
    let id = |key: &SecretKey| key_id(&key.public()).unwrap();
    for scanner in scanners {
        root.keys.insert(id(scanner), Key::ed25519(&scanner.public()));
    }
    root.scan = Some(Role { keyids: scanners.iter().map(|key| id(key)).collect(), threshold: 2 });
    RootChain::enrol(&sign(&root, &[&parts.key as &dyn Signer]).unwrap(), None).unwrap()
}

fn attestation(domain: &str) -> ScanAttestation {
    ScanAttestation {
        kind: "scan-attestation".into(),
        domain: domain.parse::<Name>().unwrap(),
        bundle: Digest::of(b"bundle"),
        release: Digest::of(b"release"),
        scanner: "clamav 1.4".into(),
        verdict: Verdict::Clean,
        report: Digest::of(b"report"),
        attested: 1_795_000_000,
    }
}

#[test]
fn signatures_are_added_one_by_one_until_they_are_enough() {
    let (first, second) = (key(5), key(6));
    let chain = chain(&[&first, &second]);
    let one = attestation("dev").sign(&[], &first).unwrap();
    assert_eq!(chain.scan_attestation(&one).unwrap_err().code(), codes::BELOW_THRESHOLD);
    let (said, signatures) = ScanAttestation::unvouched(&one).unwrap();
    let two = said.sign(&signatures, &second).unwrap();
    assert_eq!(chain.scan_attestation(&two).unwrap(), attestation("dev"));
    // Once more by the first: nothing is there twice.
    let (said, signatures) = ScanAttestation::unvouched(&two).unwrap();
    assert_eq!(said.sign(&signatures, &first).unwrap().len(), two.len());
}

#[test]
fn nobody_else_attests() {
    let (first, second, approver) = (key(5), key(6), parts().key);
    let chain = chain(&[&first, &second]);
    let signed = |signers: [&SecretKey; 2], said: &ScanAttestation| {
        let one = said.sign(&[], signers[0]).unwrap();
        said.sign(&ScanAttestation::unvouched(&one).unwrap().1, signers[1]).unwrap()
    };
    let refused = |bytes: &[u8]| chain.scan_attestation(bytes).unwrap_err().code();
    assert_eq!(refused(&signed([&first, &approver], &attestation("dev"))), codes::SIGNATURE_INVALID);
    assert_eq!(refused(&signed([&first, &second], &attestation("lab"))), codes::OTHER_DOMAIN);
    let other = ScanAttestation { kind: "site-record".into(), ..attestation("dev") };
    assert_eq!(refused(&signed([&first, &second], &other)), codes::DOCUMENT_MALFORMED);
    // A root without the role takes nobody's.
    let plain = kit::trust(&parts());
    let whole = signed([&first, &second], &attestation("dev"));
    assert_eq!(plain.scan_attestation(&whole).unwrap_err().code(), codes::DOCUMENT_MALFORMED);
}

#[test]
fn a_changed_byte_is_refused_wherever_it_is() {
    let (first, second) = (key(5), key(6));
    let chain = chain(&[&first, &second]);
    let one = attestation("dev").sign(&[], &first).unwrap();
    let whole = attestation("dev").sign(&ScanAttestation::unvouched(&one).unwrap().1, &second).unwrap();
    for at in 0..whole.len() {
        for bit in 0..8 {
            let mut spoiled = whole.clone();
            spoiled[at] ^= 1 << bit;
            assert!(chain.scan_attestation(&spoiled).is_err(), "bit {bit} of byte {at}");
        }
    }
}
