//! Public keys of image signers: what cosign makes (ECDSA on P-256 over SHA-256) and Ed25519, as PEM files.
//!
//! The cryptography is ring's. These keys decide nothing but a policy's question; who may deliver is decided by the
//! root, with Ed25519 alone (`consign_format::trust`).

use ring::signature::{ECDSA_P256_SHA256_ASN1, ED25519, UnparsedPublicKey, VerificationAlgorithm};
use spki::der::Document;
use spki::{ObjectIdentifier, SubjectPublicKeyInfoRef};

/// id-ecPublicKey (RFC 5480 §2.1.1).
const EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
/// secp256r1, also called P-256 (RFC 5480 §2.1.1.1).
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
/// id-Ed25519 (RFC 8410 §3).
const ID_ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
/// The first byte of a point that is written out in full (SEC 1 §2.3.3).
const UNCOMPRESSED: u8 = 4;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    EcdsaP256,
    Ed25519,
}

/// A public key; two are equal if they are one key, whatever their files are called.
#[derive(Debug, Clone)]
pub struct Key {
    name: String,
    kind: Kind,
    bytes: Vec<u8>,
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        (self.kind, &self.bytes) == (other.kind, &other.bytes)
    }
}

impl Key {
    /// Reads a public key in PEM (RFC 7468 §13); `name` is what people call it.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn from_pem(name: &str, text: &str) -> Result<Self, String> {
        let (label, document) = Document::from_pem(text.trim()).map_err(|error| format!("it is no PEM: {error}"))?;
        if label != "PUBLIC KEY" {
            return Err(format!("it is a {label}, and a PUBLIC KEY is wanted"));
        }
        let info = SubjectPublicKeyInfoRef::try_from(document.as_bytes()).map_err(|error| error.to_string())?;
        let bytes = info.subject_public_key.as_bytes().unwrap_or_default().to_vec();
        let curve = info.algorithm.parameters_oid().ok();
        let kind = match (info.algorithm.oid, curve) {
            (EC_PUBLIC_KEY, Some(P256)) if bytes.len() == 65 && bytes[0] == UNCOMPRESSED => Kind::EcdsaP256,
            (EC_PUBLIC_KEY, Some(P256)) => return Err("its point is not written out in full".to_owned()),
            (EC_PUBLIC_KEY, _) => return Err("its curve is not P-256".to_owned()),
            (ID_ED25519, _) if bytes.len() == 32 => Kind::Ed25519,
            (other, _) => return Err(format!("it is of kind {other}; ECDSA on P-256 and Ed25519 are understood")),
        };
        Ok(Key { name: name.to_owned(), kind, bytes })
    }

    /// What people call it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Tells whether a signature over a message holds: ASN.1 (SEC 1 §C.8) for ECDSA, 64 bytes for Ed25519.
    pub fn holds(&self, message: &[u8], signature: &[u8]) -> bool {
        let algorithm: &dyn VerificationAlgorithm = match self.kind {
            Kind::EcdsaP256 => &ECDSA_P256_SHA256_ASN1,
            Kind::Ed25519 => &ED25519,
        };
        UnparsedPublicKey::new(algorithm, &self.bytes).verify(message, signature).is_ok()
    }
}
