//! Keys and signatures: Ed25519 (RFC 8032), and nothing else.
//!
//! All the cryptography of the project stands in this file and in [`crate::digest`]; a validated module
//! would be exchanged here.

use std::collections::BTreeMap;

use ed25519_dalek::{Signature as Ed25519Signature, VerifyingKey};
use serde::{Deserialize, Serialize};

use super::document::{Key, Role};
use super::envelope::{Envelope, Signature};
use super::{TrustError, envelope};
use crate::canonical::{self, CanonicalError};
use crate::{Digest, error::Code, error::Coded, error::codes};

/// Something that signs: a key file, an agent, a token, a command.
pub trait Signer {
    /// The public key: 32 bytes.
    fn public(&self) -> [u8; 32];
    /// Signs bytes. What comes back is verified before it is used.
    fn sign(&self, bytes: &[u8]) -> Result<[u8; 64], SignError>;
}

/// A signature could not be made.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// The signer failed.
    #[error("the signer failed: {0}")]
    Signer(String),
    /// The signer returned something that is no signature of the bytes.
    #[error("the signer returned a signature that does not hold for key {0}")]
    Wrong(String),
    /// The document has no canonical form.
    #[error(transparent)]
    Canonical(#[from] CanonicalError),
    /// What is to be signed is no document.
    #[error(transparent)]
    Document(#[from] TrustError),
}

impl Coded for SignError {
    fn code(&self) -> Code {
        match self {
            SignError::Signer(_) => codes::SIGNER_FAILED,
            SignError::Wrong(_) | SignError::Canonical(_) => codes::SIGNATURE_INVALID,
            SignError::Document(error) => error.code(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            SignError::Document(error) => error.hint(),
            _ => Some("check the key file or the token; nothing was written".to_owned()),
        }
    }
}

/// An Ed25519 secret key held in memory.
pub struct SecretKey(ed25519_dalek::SigningKey);

impl SecretKey {
    /// Makes the key of a 32-byte seed.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        SecretKey(ed25519_dalek::SigningKey::from_bytes(seed))
    }

    /// Reads a PKCS#8 private key in PEM (RFC 8410).
    pub fn from_pem(text: &str) -> Result<Self, String> {
        use ed25519_dalek::pkcs8::DecodePrivateKey;
        ed25519_dalek::SigningKey::from_pkcs8_pem(text).map(SecretKey).map_err(|e| e.to_string())
    }

    /// Writes the key as PKCS#8 in PEM (RFC 8410), without the public key: OpenSSL reads no other form.
    pub fn to_pem(&self) -> Result<String, String> {
        use ed25519_dalek::pkcs8::{EncodePrivateKey, KeypairBytes};
        let bare = KeypairBytes { secret_key: self.0.to_bytes(), public_key: None };
        let pem = bare.to_pkcs8_pem(Default::default()).map_err(|e| e.to_string())?;
        Ok(pem.to_string())
    }
}

impl Signer for SecretKey {
    fn public(&self) -> [u8; 32] {
        self.0.verifying_key().to_bytes()
    }

    fn sign(&self, bytes: &[u8]) -> Result<[u8; 64], SignError> {
        use ed25519_dalek::Signer as _;
        Ok(self.0.sign(bytes).to_bytes())
    }
}

/// Returns the id of a public key: the sha256 of the canonical key object (TUF §4.2).
pub fn key_id(public: &[u8; 32]) -> Result<String, CanonicalError> {
    Ok(Digest::of(&canonical::to_vec(&Key::ed25519(public))?).hex())
}

/// Signs a document and returns its envelope.
pub fn sign<T: Serialize>(signed: &T, signers: &[&dyn Signer]) -> Result<Vec<u8>, SignError> {
    let bytes = canonical::to_vec(signed)?;
    let signatures = signers.iter().map(|signer| signature(&bytes, *signer)).collect::<Result<Vec<_>, _>>()?;
    Ok(envelope::seal(signed, &signatures)?)
}

/// Adds one signature to a document, over the very bytes that the others have signed. A key that has signed already
/// changes nothing.
///
/// # Errors
/// [`SignError`]; whether the key has a say is for who knows the roots.
pub fn add_signature(document: &str, bytes: &[u8], signer: &dyn Signer) -> Result<Vec<u8>, SignError> {
    let envelope = Envelope::parse(document, bytes)?;
    let made = signature(envelope.signed(), signer)?;
    Ok(envelope.with(&[made])?)
}

/// One signature of a document.
fn signature(bytes: &[u8], signer: &dyn Signer) -> Result<Signature, SignError> {
    Ok(Signature { keyid: key_id(&signer.public())?, sig: hex::encode(sign_bytes(bytes, signer)?) })
}

/// One signature, held against the public key before it is used. Bytes that are no canonical document must begin with
/// what none begins with.
///
/// # Errors
/// [`SignError`].
pub(crate) fn sign_bytes(bytes: &[u8], signer: &dyn Signer) -> Result<[u8; 64], SignError> {
    let public = signer.public();
    let signature = signer.sign(bytes)?;
    let holds = VerifyingKey::from_bytes(&public)
        .is_ok_and(|key| key.verify_strict(bytes, &Ed25519Signature::from_bytes(&signature)).is_ok());
    if holds { Ok(signature) } else { Err(SignError::Wrong(key_id(&public)?)) }
}

/// Parses a public key and refuses those that no secret stands behind.
pub(super) fn parse_public(document: &str, id: &str, key: &Key) -> Result<VerifyingKey, TrustError> {
    let refuse = |reason| TrustError::WeakKey { document: document.to_owned(), key: id.to_owned(), reason };
    let bytes = key.public_bytes().ok_or_else(|| refuse("its type, scheme or length is another"))?;
    let parsed = VerifyingKey::from_bytes(&bytes).map_err(|_| refuse("not a point of the curve"))?;
    // The key keeps the bytes it was read from, so the point is written anew.
    if parsed.to_edwards().compress().to_bytes() != bytes {
        return Err(refuse("not the canonical encoding"));
    }
    if parsed.is_weak() {
        return Err(refuse("a point of small order"));
    }
    // No secret makes such a key; it is made by hand, to let verifiers of different kinds disagree about a signature.
    if !parsed.to_edwards().is_torsion_free() {
        return Err(refuse("a point with a part of small order"));
    }
    Ok(parsed)
}

/// How far a role's signatures have come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Progress {
    /// How many distinct keys must sign.
    pub need: u64,
    /// Ids of the distinct keys that have signed.
    pub signed: Vec<String>,
    /// Ids of the keys that could still sign.
    pub waiting: Vec<String>,
}

impl Progress {
    /// Tells whether enough keys have signed.
    pub fn is_complete(&self) -> bool {
        self.signed.len() as u64 >= self.need
    }

    /// Demands that enough keys of a role have signed a document.
    ///
    /// # Errors
    /// [`TrustError::BelowThreshold`].
    pub fn demand(&self, document: &str, role: &str) -> Result<(), TrustError> {
        if self.is_complete() {
            return Ok(());
        }
        let (document, role) = (document.to_owned(), role.to_owned());
        Err(TrustError::BelowThreshold { document, role, need: self.need, have: self.signed.len() as u64 })
    }
}

/// Counts the distinct keys of a role that have signed an envelope; no signature may stand idle. Distinct means by
/// public key: one key under two ids counts once.
///
/// `also` names further keys whose signatures may stand there without counting: on a new root, the old root's.
pub(super) fn progress(
    envelope: &Envelope<'_>,
    role: &Role,
    keys: &BTreeMap<String, VerifyingKey>,
    also: impl Fn(&str) -> bool,
) -> Result<Progress, TrustError> {
    let mut signed_by: Vec<[u8; 32]> = Vec::new();
    let mut signed = Vec::new();
    for signature in envelope.signatures() {
        let idle = |reason| TrustError::IdleSignature {
            document: envelope.document().to_owned(),
            key: signature.keyid.clone(),
            reason,
        };
        if !role.keyids.contains(&signature.keyid) {
            if also(&signature.keyid) {
                continue;
            }
            return Err(idle("the key has no say in this role"));
        }
        let key = keys.get(&signature.keyid).ok_or_else(|| idle("the key is not in the root"))?;
        verify(key, envelope.signed(), &signature.sig).map_err(idle)?;
        if !signed_by.contains(key.as_bytes()) {
            signed_by.push(key.to_bytes());
            signed.push(signature.keyid.clone());
        }
    }
    let has_signed = |id: &&String| keys.get(*id).is_some_and(|key| signed_by.contains(key.as_bytes()));
    let waiting = role.keyids.iter().filter(|id| !has_signed(id)).cloned().collect();
    Ok(Progress { need: role.threshold, signed, waiting })
}

/// Demands that distinct keys of a role have signed an envelope, at least as many as its threshold; see [`progress`].
pub(super) fn check_threshold(
    envelope: &Envelope<'_>,
    role_name: &str,
    role: &Role,
    keys: &BTreeMap<String, VerifyingKey>,
    also: impl Fn(&str) -> bool,
) -> Result<(), TrustError> {
    progress(envelope, role, keys, also)?.demand(envelope.document(), role_name)
}

/// Holds one signature against the bytes it is of: RFC 8032 §5.1.7 without the cofactor, S below the group order, R in
/// its canonical encoding and not of small order. With a key that [`parse_public`] let pass, R has no part of small order
/// either, so one key, message and S leave one R.
fn verify(key: &VerifyingKey, bytes: &[u8], signature: &str) -> Result<(), &'static str> {
    let signature = signature_bytes(signature).ok_or("not 128 lower-case hexadecimal digits")?;
    key.verify_strict(bytes, &Ed25519Signature::from_bytes(&signature)).map_err(|_| "it does not hold")
}

fn signature_bytes(text: &str) -> Option<[u8; 64]> {
    let mut bytes = [0; 64];
    if text.len() != 128 || text.bytes().any(|b| b.is_ascii_uppercase()) {
        return None;
    }
    hex::decode_to_slice(text, &mut bytes).ok().map(|()| bytes)
}

/// A site's or person's public key as it stands in our own documents: 64 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(transparent)]
pub struct PublicKey(pub String);

impl PublicKey {
    /// Returns the public key of a signer.
    pub fn of(signer: &dyn Signer) -> Self {
        PublicKey(hex::encode(signer.public()))
    }

    /// Demands that an envelope carries exactly one signature, by this key.
    pub fn check(&self, envelope: &Envelope<'_>) -> Result<(), TrustError> {
        let (id, key) = self.parsed(envelope.document())?;
        let role = Role { keyids: vec![id.clone()], threshold: 1 };
        check_threshold(envelope, "site", &role, &BTreeMap::from([(id, key)]), |_| false)
    }

    /// Demands that bytes which are no envelope carry this key's signature.
    pub(crate) fn check_bytes(&self, document: &str, bytes: &[u8], signature: &[u8; 64]) -> Result<(), TrustError> {
        let (id, key) = self.parsed(document)?;
        verify(&key, bytes, &hex::encode(signature)).map_err(|reason| TrustError::IdleSignature {
            document: document.to_owned(),
            key: id,
            reason,
        })
    }

    fn parsed(&self, document: &str) -> Result<(String, VerifyingKey), TrustError> {
        let mut public = [0; 32];
        hex::decode_to_slice(&self.0, &mut public)
            .map_err(|e| TrustError::Form { document: document.to_owned(), reason: e.to_string() })?;
        let id = key_id(&public).map_err(|source| TrustError::Canonical { document: document.to_owned(), source })?;
        let key = parse_public(document, &id, &Key::ed25519(&public))?;
        Ok((id, key))
    }
}

#[cfg(test)]
mod vectors;
