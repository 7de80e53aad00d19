//! The receipt: what a site did with a release, signed by the site's own key and chained.
//!
//! Headquarters computes health, lead times and exposure from receipts alone (DESIGN §10), so they carry
//! integers and closed words, no free logs and no Secrets. One file per activation, rollback or root change;
//! `previous` is the digest of the whole file before, so that a gap shows.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::trust::TrustError;
use crate::trust::envelope::Envelope;
use crate::trust::keys::PublicKey;
use crate::{Digest, Name};

pub mod base32;
mod cbor;
pub mod chain;
pub mod code;
pub mod slip;

/// The value of `_type`.
pub const TYPE: &str = "receipt";

/// What a site did with a release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Receipt {
    /// Always [`TYPE`].
    #[serde(rename = "_type")]
    pub kind: String,
    /// The domain the site is enrolled in.
    pub domain: Name,
    /// The site.
    pub site: Name,
    /// Made at enrolment; a recovered site begins a new chain under a new one.
    pub enrolment: String,
    /// 1 for the first receipt of an enrolment, then one more each.
    pub n: u64,
    /// The digest of the receipt file before this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<Digest>,
    /// What was done.
    pub action: Action,
    /// How it ended.
    pub outcome: Outcome,
    /// What it was done with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<ReceiptRelease>,
    /// For a rollback: what runs now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub now_current: Option<ReceiptRelease>,
    /// For a change of the root: the version that is trusted from now on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root: Option<u64>,
    /// Who converges the cluster.
    pub handoff: String,
    /// The phases, in order.
    pub phases: Vec<Phase>,
    /// What the site's clock said, and how far it can be believed.
    pub clock: Clock,
    /// Objects by what happened to them.
    #[serde(default)]
    pub objects: ObjectCounts,
    /// Objects that are healthy and that are not.
    #[serde(default)]
    pub health: HealthCounts,
    /// Bytes read from the medium and written to the store.
    #[serde(default)]
    pub bytes: ByteCounts,
    /// Why it ended as it did, in plain words; no Secrets, no logs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<String>,
    /// What somebody should look at.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// Objects left in the cluster although they left the release.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kept: Vec<String>,
    /// Bundles refused since the receipt before.
    #[serde(default)]
    pub refused: u64,
    /// The version of `consign-site`.
    pub installer: String,
}

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Action {
    /// A release was activated.
    Activate,
    /// An earlier release was brought back by hand.
    Rollback,
    /// A root of trust changed.
    RootChange,
}

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Outcome {
    /// The release runs and is healthy.
    Applied,
    /// It was not healthy in time; the release before runs again.
    RolledBack,
    /// It could not be applied.
    Failed,
    /// It was not healthy in time; everything was left as it is.
    Halted,
}

/// The release a receipt speaks of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ReceiptRelease {
    /// The product.
    pub product: Name,
    /// The version.
    pub version: String,
    /// The sequence.
    pub sequence: u64,
    /// The release's digest.
    pub digest: Digest,
    /// The id of the bundle that brought it.
    pub bundle: Digest,
}

/// One phase and its time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Phase {
    /// `verify`, `load`, `push`, `apply`, `health`, `rollback`.
    pub name: String,
    /// When it began by the site's clock: seconds since 1970.
    pub started: u64,
    /// How long it took by a monotonic clock, in milliseconds.
    pub milliseconds: u64,
}

/// The site's clock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Clock {
    /// Seconds since 1970 when the receipt was written.
    pub now: u64,
    /// Whether that is later than the newest signed time the site knows.
    pub quality: ClockQuality,
}

/// How far the clock can be believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum ClockQuality {
    /// Later than the newest signed time, and not absurdly so.
    Plausible,
    /// Earlier than a time that has already passed, or decades ahead.
    Suspect,
}

/// Objects by what happened to them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ObjectCounts {
    /// Made anew.
    pub created: u64,
    /// Changed.
    pub configured: u64,
    /// As they should be already.
    pub unchanged: u64,
    /// Removed because they left the release.
    pub deleted: u64,
    /// Left alone.
    pub skipped: u64,
}

/// Objects by health.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HealthCounts {
    /// As desired.
    pub healthy: u64,
    /// Not there yet, or failed.
    pub unhealthy: u64,
}

/// Bytes moved.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ByteCounts {
    /// Read from the medium.
    pub read: u64,
    /// Written to the store.
    pub written: u64,
}

/// Reads a receipt and checks the site's signature.
pub fn verify(bytes: &[u8], site_key: &PublicKey) -> Result<Receipt, TrustError> {
    let envelope = Envelope::parse("the receipt", bytes)?;
    site_key.check(&envelope)?;
    let receipt: Receipt = serde_json::from_slice(envelope.signed())
        .map_err(|e| TrustError::Form { document: "the receipt".to_owned(), reason: e.to_string() })?;
    if receipt.kind != TYPE {
        return Err(TrustError::Form {
            document: "the receipt".to_owned(),
            reason: "its `_type` is another".to_owned(),
        });
    }
    Ok(receipt)
}
