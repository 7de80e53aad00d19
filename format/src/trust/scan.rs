//! Scan attestations: somebody whom the root names has scanned a bundle for malware and found nothing.
//!
//! The statement lies beside the bundle, `FILE.scan.json`, so that the bundle's bytes do not change. It names the
//! bundle's id: the digest of snapshot's signed bytes, which name the carriage, which names every member of this file.
//! So another cut of the same release needs another scan. A scan that found something is not attested: there is no
//! verdict but `clean`, and nothing is left to be interpreted at the site.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::TrustError;
use super::document::SCAN_ROLE;
use super::envelope::{self, Envelope, Signature};
use super::keys::{SignError, Signer, sign};
use super::roots::RootChain;
use super::statement::Statement;
use crate::{Digest, Name};

/// What the name of an attestation adds to the name of its bundle.
pub const SUFFIX: &str = ".scan.json";
/// The document's name in errors.
const DOCUMENT: &str = "the scan attestation";

/// What somebody of the role `scan` says of one bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ScanAttestation {
    /// Always `scan-attestation`.
    #[serde(rename = "_type")]
    pub kind: String,
    /// The domain.
    pub domain: Name,
    /// The id of the bundle that was scanned.
    pub bundle: Digest,
    /// The digest of its release.
    pub release: Digest,
    /// What scanned it: program, version, signatures, as free text of at most 200 bytes.
    pub scanner: String,
    /// The outcome.
    pub verdict: Verdict,
    /// The sha256 of the scanner's report, which stays with those who scanned.
    pub report: Digest,
    /// When it was attested: seconds since 1970, UTC. For people; nothing is decided by it.
    pub attested: u64,
}

/// The one outcome that is attested.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Nothing was found.
    Clean,
}

impl Statement for ScanAttestation {
    const TYPE: &'static str = "scan-attestation";
    const ROLE: &'static str = SCAN_ROLE;

    fn kind(&self) -> &str {
        &self.kind
    }

    fn domain(&self) -> &Name {
        &self.domain
    }
}

impl ScanAttestation {
    /// Reads what a file says and believes nothing of it: for adding a signature to one that has too few.
    ///
    /// # Errors
    /// [`TrustError`] where it is not of the form.
    pub fn unvouched(bytes: &[u8]) -> Result<(Self, Vec<Signature>), TrustError> {
        let envelope = Envelope::parse(DOCUMENT, bytes)?;
        Ok((envelope.interpret()?, envelope.signatures().to_vec()))
    }

    /// Signs, and keeps the signatures that others have made. The signer's own earlier one is made anew.
    ///
    /// # Errors
    /// [`SignError`], also where the signer returns what is no signature.
    pub fn sign(&self, earlier: &[Signature], signer: &dyn Signer) -> Result<Vec<u8>, SignError> {
        let alone = sign(self, &[signer])?;
        // What was just sealed is an envelope; were it none, it would have no signature and be refused by whoever reads.
        let own = Envelope::parse(DOCUMENT, &alone).map(|envelope| envelope.signatures().to_vec()).unwrap_or_default();
        let others = earlier.iter().filter(|earlier| !own.iter().any(|own| own.keyid == earlier.keyid)).cloned();
        let all: Vec<Signature> = others.chain(own.iter().cloned()).collect();
        Ok(envelope::seal(self, &all)?)
    }
}

impl RootChain {
    /// Reads an attestation: signed by the threshold of the newest root's role `scan`, of this domain.
    ///
    /// # Errors
    /// [`TrustError`].
    pub fn scan_attestation(&self, bytes: &[u8]) -> Result<ScanAttestation, TrustError> {
        self.statement(DOCUMENT, bytes)
    }
}
