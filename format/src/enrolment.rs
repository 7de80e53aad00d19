//! The enrol-request: what a newly enrolled site tells headquarters, on its way back by the courier.
//!
//! It vouches for itself alone: the key that signs it stands in it. So it proves that the site holds the key, and not
//! that it is the site; a courier can put a request of his own in its place. What tells the two apart is the
//! fingerprint, the sha256 of the file, that the person at the site reads out by telephone. There is no trust on first
//! use in this direction either.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::{Code, Coded, codes};
use crate::trust::envelope::Envelope;
use crate::trust::keys::PublicKey;
use crate::trust::{Fingerprint, TrustError, fingerprint};
use crate::{Digest, Name};

/// The value of `_type`.
pub const TYPE: &str = "enrol-request";

/// What headquarters calls the document in errors.
const DOCUMENT: &str = "the enrol-request";

/// What a site asks to be known by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EnrolRequest {
    /// Always [`TYPE`].
    #[serde(rename = "_type")]
    pub kind: String,
    /// The domain the site was enrolled in.
    pub domain: Name,
    /// The site's id.
    pub site: Name,
    /// The fingerprint of the root that was enrolled: the sha256 of its file.
    pub root: Digest,
    /// The enrolment: names the chain of receipts.
    pub enrolment: String,
    /// The key that the site's receipts are signed with, and this request too.
    pub receipt_key: PublicKey,
    /// The site's age recipient, `age1…`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recipient: Option<String>,
    /// When it was written by the site's clock: seconds since 1970. It decides nothing.
    pub made: u64,
}

/// Why a request is not taken.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// Its form or its own signature does not hold.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// It is not the one that was read out.
    #[error("the enrol-request is not the one that was read out: its fingerprint is\n  {words}\n  {found}\nand given was\n  {given}", words = fingerprint::words(found))]
    Fingerprint {
        /// What was given.
        given: Fingerprint,
        /// The sha256 of the file.
        found: Digest,
    },
}

impl Coded for RequestError {
    fn code(&self) -> Code {
        match self {
            RequestError::Trust(error) => error.code(),
            RequestError::Fingerprint { .. } => codes::REQUEST_SWAPPED,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            RequestError::Trust(error) => error.hint(),
            RequestError::Fingerprint { .. } => Some(
                "call the site and compare once more; if the words differ, the request was exchanged on the way"
                    .to_owned(),
            ),
        }
    }
}

/// Reads a request and checks its signature by the key that it names.
///
/// # Errors
/// [`TrustError`] for its form, its `_type` or its signature.
pub fn verify(bytes: &[u8]) -> Result<EnrolRequest, TrustError> {
    let envelope = Envelope::parse(DOCUMENT, bytes)?;
    let form = |reason: String| TrustError::Form { document: DOCUMENT.to_owned(), reason };
    // Like a root, it is read before its signature is checked, and only for the key.
    let request: EnrolRequest = serde_json::from_slice(envelope.signed()).map_err(|error| form(error.to_string()))?;
    request.receipt_key.check(&envelope)?;
    if request.kind != TYPE {
        return Err(form("its `_type` is another".to_owned()));
    }
    Ok(request)
}

/// Reads a request that was read out by its fingerprint.
///
/// # Errors
/// [`RequestError::Fingerprint`] for another request, else as [`verify`].
pub fn verify_read_out(bytes: &[u8], given: &Fingerprint) -> Result<EnrolRequest, RequestError> {
    let found = Digest::of(bytes);
    if !given.is_of(&found) {
        return Err(RequestError::Fingerprint { given: *given, found });
    }
    Ok(verify(bytes)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trust::keys::{SecretKey, Signer, sign};

    fn request(seed: u8, kind: &str) -> Vec<u8> {
        let key = SecretKey::from_seed(&[seed; 32]);
        let request = EnrolRequest {
            kind: kind.to_owned(),
            domain: "dev".parse().unwrap(),
            site: "hospital-7".parse().unwrap(),
            root: Digest::of(b"root"),
            enrolment: "0".repeat(32),
            receipt_key: PublicKey::of(&key),
            recipient: None,
            made: 1,
        };
        sign(&request, &[&key as &dyn Signer]).unwrap()
    }

    #[test]
    fn a_request_swapped_on_the_way_is_another() {
        let (own, swapped) = (request(1, TYPE), request(2, TYPE));
        let read_out: Fingerprint = fingerprint::words(&Digest::of(&own)).parse().unwrap();
        assert_eq!(verify_read_out(&own, &read_out).unwrap().site.as_str(), "hospital-7");
        assert!(verify(&swapped).is_ok(), "it is as good a request as any");
        let refused = verify_read_out(&swapped, &read_out).unwrap_err();
        assert_eq!(refused.code(), codes::REQUEST_SWAPPED);
        assert_eq!(refused.code().exit.code(), 12);
    }

    #[test]
    fn every_flipped_byte_is_refused() {
        let good = request(1, TYPE);
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            assert!(verify(&bad).is_err(), "byte {at}");
            assert!(verify(&good[..at]).is_err(), "cut at {at}");
        }
        assert!(verify(&request(1, "receipt")).is_err(), "another document of the site is no request");
    }
}
