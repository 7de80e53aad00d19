//! The envelope around every signed document: `{"signatures":[…],"signed":{…}}`.
//!
//! The envelope is all that is read of unsigned bytes: it is scanned for its form, and `signed` is handed
//! on as the bytes that were signed.

use serde::{Deserialize, Serialize};

use super::TrustError;
use crate::canonical::{CanonicalError, Scanner};
use crate::{Digest, canonical};

/// One signature of an envelope, in hexadecimal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signature {
    /// The id of the key.
    pub keyid: String,
    /// 128 lower-case hexadecimal digits.
    pub sig: String,
}

/// A document whose form holds and whose signatures have not been looked at.
#[derive(Debug, Clone)]
pub struct Envelope<'a> {
    document: String,
    signatures: Vec<Signature>,
    signed: &'a [u8],
}

impl<'a> Envelope<'a> {
    /// Scans a document's bytes; `document` is its name in errors.
    pub fn parse(document: &str, bytes: &'a [u8]) -> Result<Self, TrustError> {
        let refuse = |source| TrustError::Canonical { document: document.to_owned(), source };
        let malformed = |reason: String| TrustError::Form { document: document.to_owned(), reason };
        let (written, signed) = split(bytes).map_err(refuse)?;
        let signatures: Vec<Signature> =
            serde_json::from_slice(written).map_err(|error| malformed(error.to_string()))?;
        // A reader that serde derives takes a list for an object, too: `["keyid","sig"]`. Other readers do not.
        if canonical::to_vec(&signatures).map_err(refuse)? != written {
            return Err(malformed("a signature is an object of `keyid` and `sig`".to_owned()));
        }
        for (n, signature) in signatures.iter().enumerate() {
            if signatures[..n].iter().any(|other| other.keyid == signature.keyid) {
                let key = signature.keyid.clone();
                return Err(TrustError::SignatureTwice { document: document.to_owned(), key });
            }
        }
        Ok(Envelope { document: document.to_owned(), signatures, signed })
    }

    /// The document's name, for errors.
    pub fn document(&self) -> &str {
        &self.document
    }

    /// The signatures, none of them checked.
    pub fn signatures(&self) -> &[Signature] {
        &self.signatures
    }

    /// The bytes that were signed.
    pub fn signed(&self) -> &'a [u8] {
        self.signed
    }

    /// The digest of the signed bytes; it does not change when another signature is added.
    pub fn signed_digest(&self) -> Digest {
        Digest::of(self.signed)
    }

    /// The envelope with further signatures. Where a key has signed already, its first signature stays.
    pub fn with(&self, further: &[Signature]) -> Result<Vec<u8>, CanonicalError> {
        let is_new = |signature: &&Signature| !self.signatures.iter().any(|own| own.keyid == signature.keyid);
        let all: Vec<Signature> = self.signatures.iter().chain(further.iter().filter(is_new)).cloned().collect();
        wrap(self.signed, &all)
    }

    /// Interprets the signed bytes. To be called only after their signatures hold, or when another
    /// document has vouched for them.
    pub(super) fn interpret<T: for<'de> Deserialize<'de>>(&self) -> Result<T, TrustError> {
        serde_json::from_slice(self.signed)
            .map_err(|e| TrustError::Form { document: self.document.clone(), reason: e.to_string() })
    }
}

fn split(bytes: &[u8]) -> Result<(&[u8], &[u8]), CanonicalError> {
    let mut scanner = Scanner::new(bytes)?;
    scanner.expect(b"{\"signatures\":", "expected the envelope's `signatures`")?;
    let signatures = scanner.value(1)?;
    scanner.expect(b",\"signed\":", "expected the envelope's `signed` and nothing else")?;
    let signed = scanner.value(1)?;
    scanner.expect(b"}", "expected the end of the envelope")?;
    scanner.end()?;
    Ok((&bytes[signatures], &bytes[signed]))
}

/// Writes an envelope around a document, with the given signatures.
pub fn seal<T: Serialize>(signed: &T, signatures: &[Signature]) -> Result<Vec<u8>, CanonicalError> {
    wrap(&canonical::to_vec(signed)?, signatures)
}

fn wrap(signed: &[u8], signatures: &[Signature]) -> Result<Vec<u8>, CanonicalError> {
    let mut signatures = signatures.to_vec();
    signatures.sort_by(|a, b| a.keyid.cmp(&b.keyid));
    let mut out = b"{\"signatures\":".to_vec();
    out.extend(canonical::to_vec(&signatures)?);
    out.extend_from_slice(b",\"signed\":");
    out.extend_from_slice(signed);
    out.push(b'}');
    Ok(out)
}
