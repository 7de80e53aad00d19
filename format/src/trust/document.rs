//! The signed documents, field by field (TUF 1.0.31 §4, and our `x-` fields).
//!
//! Unknown fields inside `signed` are ignored, as TUF demands; unknown fields of the envelope are refused.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Digest, Name};

/// The version of the TUF specification the documents follow.
pub const SPEC_VERSION: &str = "1.0.31";

/// The role of those who attest that a bundle was scanned; see [`Root::scan`].
pub const SCAN_ROLE: &str = "scan";

/// The four roles of a root.
pub const ROLES: [&str; 4] = ["root", "snapshot", "targets", "timestamp"];

/// A public key (TUF §4.2).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key {
    /// `ed25519`.
    pub keytype: String,
    /// `ed25519`.
    pub scheme: String,
    /// The key itself.
    pub keyval: KeyValue,
}

/// The value of a public key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyValue {
    /// 64 lower-case hexadecimal digits.
    pub public: String,
}

impl Key {
    /// Returns the key object of an Ed25519 public key.
    pub fn ed25519(public: &[u8; 32]) -> Self {
        Key {
            keytype: "ed25519".to_owned(),
            scheme: "ed25519".to_owned(),
            keyval: KeyValue { public: hex::encode(public) },
        }
    }

    pub(super) fn public_bytes(&self) -> Option<[u8; 32]> {
        let mut bytes = [0; 32];
        let form = self.keytype == "ed25519" && self.scheme == "ed25519";
        let lower = !self.keyval.public.bytes().any(|b| b.is_ascii_uppercase());
        (form && lower && hex::decode_to_slice(&self.keyval.public, &mut bytes).is_ok()).then_some(bytes)
    }
}

/// Who may sign in a role, and how many must (TUF §4.3).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Role {
    /// Ids of keys.
    pub keyids: Vec<String>,
    /// How many distinct keys must sign; at least 1.
    pub threshold: u64,
}

/// `N.root.json`: keys, roles, thresholds (TUF §4.3).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Root {
    /// `root`.
    #[serde(rename = "_type")]
    pub kind: String,
    /// Always false: file names carry no version but the root's.
    pub consistent_snapshot: bool,
    /// When the document should have been replaced (RFC 3339, UTC, whole seconds).
    pub expires: String,
    /// Keys by id.
    pub keys: BTreeMap<String, Key>,
    /// Roles by name: exactly [`ROLES`].
    pub roles: BTreeMap<String, Role>,
    /// The TUF version.
    pub spec_version: String,
    /// The version of the root.
    pub version: u64,
    /// The domain: one root of trust.
    #[serde(rename = "x-domain")]
    pub domain: Name,
    /// Whether this is a development root, refused by sites set up for production.
    #[serde(rename = "x-development", default, skip_serializing_if = "std::ops::Not::not")]
    pub development: bool,
    /// Who attests that a bundle was scanned for malware. Off-spec: TUF has four roles and its clients refuse a fifth,
    /// so this one stands beside them.
    #[serde(rename = "x-scan", default, skip_serializing_if = "Option::is_none")]
    pub scan: Option<Role>,
    /// The lowest sequence still acceptable, by product.
    #[serde(rename = "x-floor", default, skip_serializing_if = "BTreeMap::is_empty")]
    pub floor: BTreeMap<Name, Floor>,
}

/// The lowest sequence of a product that is still acceptable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Floor {
    /// Lower ones are refused.
    pub sequence: u64,
    /// Whether sites set their counter back to this sequence.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub reset: bool,
}

/// A pointer from one document to the next (TUF §4.4, `METAFILES`).
///
/// Off-spec: TUF's optional `length` and `hashes` are left out, because a further signature changes them;
/// `x-signed-sha256`, over the signed bytes, takes their place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MetaFile {
    /// The version of the document pointed at.
    pub version: u64,
    /// The digest of its signed bytes, 64 hexadecimal digits.
    #[serde(rename = "x-signed-sha256")]
    pub signed_sha256: String,
}

/// `timestamp.json` (TUF §4.6).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timestamp {
    /// `timestamp`.
    #[serde(rename = "_type")]
    pub kind: String,
    /// See [`Root::expires`].
    pub expires: String,
    /// `snapshot.json` alone.
    pub meta: BTreeMap<String, MetaFile>,
    /// The TUF version.
    pub spec_version: String,
    /// The version of this document.
    pub version: u64,
}

/// `snapshot.json` (TUF §4.4).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// `snapshot`.
    #[serde(rename = "_type")]
    pub kind: String,
    /// See [`Root::expires`].
    pub expires: String,
    /// `targets.json` alone: delegations are refused in version 1.
    pub meta: BTreeMap<String, MetaFile>,
    /// The TUF version.
    pub spec_version: String,
    /// The version of this document.
    pub version: u64,
    /// The carriage, by length and digest of the whole file.
    #[serde(rename = "x-carriage")]
    pub carriage: FilePointer,
}

/// A file by length and digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FilePointer {
    /// Bytes.
    pub length: u64,
    /// 64 hexadecimal digits.
    pub sha256: String,
}

/// `targets.json` (TUF §4.5): one target, the release manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Targets {
    /// `targets`.
    #[serde(rename = "_type")]
    pub kind: String,
    /// See [`Root::expires`].
    pub expires: String,
    /// The TUF version.
    pub spec_version: String,
    /// [`crate::release::MEMBER`] alone.
    pub targets: BTreeMap<String, Target>,
    /// The version of this document.
    pub version: u64,
    /// The domain the approvers speak for: the same keys in another domain's root say nothing here.
    #[serde(rename = "x-domain")]
    pub domain: Name,
    /// What the approvers say of the release.
    #[serde(rename = "x-bundle")]
    pub bundle: Approval,
}

/// A target: length and hashes (TUF §4.5).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// Digests by algorithm; `sha256` must be there.
    pub hashes: BTreeMap<String, String>,
    /// Bytes.
    pub length: u64,
}

/// What the approvers say of the release, in kilobytes whatever it weighs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    /// The product.
    pub product: Name,
    /// The version people speak of.
    pub version: String,
    /// The line of versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<Name>,
    /// What decides which release is newer.
    pub sequence: u64,
    /// When the release was locked: seconds since 1970, UTC.
    pub issued: u64,
    /// The widest set of sites that may take the release.
    pub audience: Audience,
    /// The oldest installer that can take the release.
    #[serde(rename = "minimum-installer")]
    pub minimum_installer: String,
}

/// Who may take a bundle: a site that matches any of the three lists.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Audience {
    /// Environments of the site record.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub environments: Vec<Name>,
    /// Labels of the site record, `key=value`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<String>,
    /// Site ids, or `any`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sites: Vec<Name>,
}

/// The site id that stands for every site.
pub const ANY_SITE: &str = "any";

impl Audience {
    /// Returns the audience of every site.
    pub fn any() -> Self {
        // `any` fits the grammar of names; were it not to, the empty audience addresses nobody.
        Audience { sites: ANY_SITE.parse().into_iter().collect(), ..Audience::default() }
    }

    /// Tells whether every site is addressed.
    pub fn is_any(&self) -> bool {
        self.sites.iter().any(|site| site.as_str() == ANY_SITE)
    }

    /// Tells whether a site is addressed. Environments and labels count only from a signed site record.
    pub fn admits(&self, site: &Name, environments: &[Name], labels: &[String]) -> bool {
        self.is_any()
            || self.sites.contains(site)
            || self.environments.iter().any(|environment| environments.contains(environment))
            || self.labels.iter().any(|label| labels.contains(label))
    }

    /// Returns whom `self` addresses and `wider` does not.
    pub fn beyond(&self, wider: &Audience) -> Option<String> {
        if wider.is_any() {
            return None;
        }
        let site = self.sites.iter().find(|s| !wider.sites.contains(s)).map(|s| format!("site {s}"));
        let environment = || self.environments.iter().find(|e| !wider.environments.contains(e));
        let label = || self.labels.iter().find(|l| !wider.labels.contains(l));
        site.or_else(|| environment().map(|e| format!("environment {e}")))
            .or_else(|| label().map(|l| format!("label {l}")))
    }
}

/// Returns the pointer digest of a document, or `None` where it is not 64 hexadecimal digits.
pub(super) fn pointed(hex: &str) -> Option<Digest> {
    Digest::from_hex(hex).ok()
}
