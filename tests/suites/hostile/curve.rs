//! Signatures and points of the curve that only a careless verifier takes (RFC 8032 §5.1; "Taming the many EdDSAs").

use consign_format::trust::keys::Signer as _;
use consign_tests::forge::key;
use curve25519_dalek::constants::{ED25519_BASEPOINT_POINT, EIGHT_TORSION};
use curve25519_dalek::edwards::CompressedEdwardsY;
use curve25519_dalek::scalar::{Scalar, clamp_integer};
use curve25519_dalek::traits::IsIdentity as _;
use sha2::{Digest as _, Sha512};

/// The order of the base point, little-endian.
const ORDER: [u8; 32] = [
    0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0, 0, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
];

/// The same signature with S + L: the same equation, other bytes.
pub(crate) fn plus_order(signature: &[u8]) -> Vec<u8> {
    let mut sum = signature.to_vec();
    let mut carry = 0_u16;
    for (digit, order) in sum[32..].iter_mut().zip(ORDER) {
        let total = u16::from(*digit) + u16::from(order) + carry;
        *digit = (total & 0xff) as u8;
        carry = total >> 8;
    }
    assert_eq!(carry, 0, "S + L has 256 bits");
    sum
}

/// The eight points of small order; the first is the identity.
pub(crate) fn small_order() -> Vec<[u8; 32]> {
    EIGHT_TORSION.iter().map(|point| point.compress().to_bytes()).collect()
}

/// Points written with a y of 2^255 - 19 or more, or with a sign that says nothing.
pub(crate) fn non_canonical() -> Vec<[u8; 32]> {
    let mut found = Vec::new();
    for low in 0xed..=0xff_u8 {
        for high in [0x7f, 0xff] {
            let mut bytes = [0xff; 32];
            (bytes[0], bytes[31]) = (low, high);
            if CompressedEdwardsY(bytes).decompress().is_some() {
                found.push(bytes);
            }
        }
    }
    let mut signed_identity = [0; 32];
    (signed_identity[0], signed_identity[31]) = (1, 0x80);
    found.push(signed_identity);
    assert!(found.len() > 8, "more than a handful");
    found
}

/// A signature whose R has a part of small order: it holds where the cofactor is multiplied away, and nowhere else.
pub(crate) fn mixed_order(seed: u8, message: &[u8], torsion: usize) -> [u8; 64] {
    let wide = |parts: &[&[u8]]| {
        let hash = parts.iter().fold(Sha512::new(), |hash, part| hash.chain_update(part));
        Scalar::from_bytes_mod_order_wide(&hash.finalize().into())
    };
    let expanded: [u8; 64] = Sha512::digest([seed; 32]).into();
    let (low, prefix) = expanded.split_at(32);
    let secret = Scalar::from_bytes_mod_order(clamp_integer(low.try_into().expect("32 bytes")));
    let public = key(seed).public();
    let nonce = wide(&[prefix, message]);
    let commitment = nonce * ED25519_BASEPOINT_POINT + EIGHT_TORSION[torsion];
    let challenge = wide(&[commitment.compress().as_bytes(), &public, message]);
    let response = nonce + challenge * secret;
    let point = CompressedEdwardsY(public).decompress().expect("a key");
    let rest = response * ED25519_BASEPOINT_POINT - challenge * point - commitment;
    assert!(!rest.is_identity() && rest.mul_by_cofactor().is_identity(), "it must hold but for the cofactor");
    let mut signature = [0; 64];
    signature[..32].copy_from_slice(commitment.compress().as_bytes());
    signature[32..].copy_from_slice(response.as_bytes());
    signature
}
