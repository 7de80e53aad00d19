//! What can be wrong with signed metadata, field by field.

use super::Fingerprint;
use crate::canonical::CanonicalError;
use crate::error::{Code, Coded, codes};
use crate::release::ReleaseError;
use crate::{Digest, Name};

/// A refusal by the trust state machine.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TrustError {
    /// A document is not canonical JSON.
    #[error("{document} is not in the one form a signed document has")]
    Canonical {
        /// The document.
        document: String,
        /// Where it departs.
        source: CanonicalError,
    },
    /// A document does not have the fields it must have.
    #[error("{document} does not have the expected form: {reason}")]
    Form {
        /// The document.
        document: String,
        /// What is wrong.
        reason: String,
    },
    /// One key id stands twice among the signatures.
    #[error("{document} carries two signatures under key {key}")]
    SignatureTwice {
        /// The document.
        document: String,
        /// The key id.
        key: String,
    },
    /// A signature does not hold, or is by a key that has no say here.
    #[error("{document} carries a signature that does not count: {reason} (key {key})")]
    IdleSignature {
        /// The document.
        document: String,
        /// The key id.
        key: String,
        /// Why it does not count.
        reason: &'static str,
    },
    /// Too few distinct keys have signed.
    #[error("{document} needs signatures by {need} distinct keys of role {role}, it has {have}")]
    BelowThreshold {
        /// The document.
        document: String,
        /// The role whose keys had to sign.
        role: String,
        /// The threshold.
        need: u64,
        /// Distinct keys that signed.
        have: u64,
    },
    /// A key that cannot be trusted whatever it signs.
    #[error("{document} names key {key}, which is not a usable Ed25519 key: {reason}")]
    WeakKey {
        /// The document.
        document: String,
        /// The key id.
        key: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A root that is not byte for byte the one this site knows under its version.
    #[error("root {version} in the bundle is not the one this site trusts")]
    RootForeign {
        /// The version.
        version: u64,
    },
    /// Root versions leave a gap.
    #[error("the roots in the bundle go from {from} to {to}: a version is missing or repeated")]
    RootGap {
        /// The version before.
        from: u64,
        /// The version found.
        to: u64,
    },
    /// The fingerprint given on enrolment is not that of the root.
    #[error("the root's fingerprint is {found}, the one given is {given}")]
    Fingerprint {
        /// What was typed.
        given: Fingerprint,
        /// What the file is.
        found: Digest,
    },
    /// A document is not the one the document before it names.
    #[error("{document} is not the one that {vouching} vouches for")]
    NotVouched {
        /// The document.
        document: String,
        /// The document that names it.
        vouching: &'static str,
    },
    /// The documents speak of different releases.
    #[error("{what} differs between the signed documents")]
    Contradiction {
        /// What differs.
        what: &'static str,
    },
    /// The carriage names a blob the approved release does not have, or has with another size.
    #[error("the carriage carries `{member}`, which the release does not list")]
    NotInRelease {
        /// The member.
        member: String,
    },
    /// The carriage is addressed to more sites than the approvers signed for.
    #[error("the carriage is addressed to {who}, whom the approvers did not address")]
    AudienceWidened {
        /// Who was added.
        who: String,
    },
    /// The root belongs to another domain than the site enrolled for.
    #[error("the bundle is of domain `{found}`, this site is enrolled for `{expected}`")]
    OtherDomain {
        /// What the site enrolled for.
        expected: Name,
        /// What the root says.
        found: Name,
    },
    /// The release manifest does not hold.
    #[error(transparent)]
    Release(#[from] ReleaseError),
}

impl Coded for TrustError {
    fn code(&self) -> Code {
        match self {
            TrustError::Canonical { .. }
            | TrustError::Form { .. }
            | TrustError::SignatureTwice { .. }
            | TrustError::Contradiction { .. }
            | TrustError::Release(_)
            | TrustError::NotInRelease { .. } => codes::DOCUMENT_MALFORMED,
            TrustError::IdleSignature { .. } => codes::SIGNATURE_INVALID,
            TrustError::BelowThreshold { .. } => codes::BELOW_THRESHOLD,
            TrustError::WeakKey { .. } => codes::WEAK_KEY,
            TrustError::RootForeign { .. } | TrustError::Fingerprint { .. } => codes::ROOT_UNKNOWN,
            TrustError::RootGap { .. } => codes::ROOT_VERSION,
            TrustError::NotVouched { .. } => codes::DIGEST_MISMATCH,
            TrustError::AudienceWidened { .. } => codes::SIGNATURE_INVALID,
            TrustError::OtherDomain { .. } => codes::OTHER_DOMAIN,
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            TrustError::RootForeign { .. } => {
                "the bundle was signed for another domain, or by somebody else; ask who handed it to you, do not install it"
            }
            TrustError::Fingerprint { .. } => {
                "compare the fingerprint on paper with the file; one of them is not the right one"
            }
            TrustError::BelowThreshold { .. } => "the bundle has not been approved by enough people; send it back",
            TrustError::NotVouched { .. } => "the medium is damaged or holds parts of two bundles; use another copy",
            TrustError::OtherDomain { .. } => {
                "bring the bundle of this site's domain, or enrol the other domain as well"
            }
            _ => "the bundle was damaged or tampered with; use another copy, and report this one",
        };
        Some(hint.to_owned())
    }
}
