//! A statement of the approvers as a site keeps it: byte for byte as it was signed, so that the newest root can be asked
//! again, whenever it is used, whether its approvers stand behind it.

use consign_format::Digest;
use consign_format::trust::TrustError;
use consign_format::trust::envelope::Envelope;
use consign_format::trust::roots::RootChain;
use consign_format::trust::statement::Statement;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// What a kept statement is called where it cannot be read.
const KEPT: &str = "the statement that is kept";

/// A statement, and the envelope it came in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
#[serde(bound(serialize = "S: Clone", deserialize = "S: DeserializeOwned"))]
pub struct KeptStatement<S> {
    /// What it says.
    pub statement: S,
    /// The envelope, byte for byte.
    envelope: String,
}

/// Its signatures were checked when it was taken: the file of state that it is kept in is believed or refused as a whole.
impl<S: DeserializeOwned> TryFrom<String> for KeptStatement<S> {
    type Error = String;

    fn try_from(envelope: String) -> Result<Self, String> {
        let parsed = Envelope::parse(KEPT, envelope.as_bytes()).map_err(|error| error.to_string())?;
        let statement = serde_json::from_slice(parsed.signed()).map_err(|error| error.to_string())?;
        Ok(KeptStatement { statement, envelope })
    }
}

impl<S> From<KeptStatement<S>> for String {
    fn from(kept: KeptStatement<S>) -> String {
        kept.envelope
    }
}

impl<S: Statement> KeptStatement<S> {
    /// Reads a statement that was brought: signatures, form, type, domain.
    pub(super) fn check(document: &str, chain: &RootChain, bytes: &[u8]) -> Result<Self, TrustError> {
        let statement = chain.statement(document, bytes)?;
        // A document that was interpreted as JSON is UTF-8.
        Ok(KeptStatement { statement, envelope: String::from_utf8_lossy(bytes).into_owned() })
    }

    /// Tells whether the newest root's approvers stand behind it.
    pub(super) fn is_vouched_by(&self, chain: &RootChain) -> bool {
        chain.statement::<S>(KEPT, self.envelope.as_bytes()).is_ok()
    }

    /// The digest of what was signed, and the ids of the keys that have signed it.
    pub(super) fn signed(&self) -> Result<(Digest, Vec<String>), TrustError> {
        let envelope = Envelope::parse(KEPT, self.envelope.as_bytes())?;
        let by = envelope.signatures().iter().map(|signature| signature.keyid.clone()).collect();
        Ok((envelope.signed_digest(), by))
    }
}
