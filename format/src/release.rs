//! The release manifest: everything a release **is**, and nothing about any journey.
//!
//! It is the one TUF target of a bundle, canonical JSON, and its digest is the name of the release.
//! Two builds from the same lock give the same bytes (DESIGN §1.5), so it holds no path, host or clock
//! of the machine that built it.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::canonical::{self, CanonicalError};
use crate::{Digest, Name};

mod service;

pub use service::{Restart, Service, is_unit};

/// The member and TUF target that holds the release manifest.
pub const MEMBER: &str = "release.json";
/// The value of `schema` in version 1.
pub const SCHEMA: &str = "consign.dev/release/v1";

/// A release: an immutable set of state, images and files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ReleaseManifest {
    /// Always [`SCHEMA`].
    pub schema: String,
    /// What is delivered.
    pub product: Name,
    /// The version people speak of.
    pub version: String,
    /// The line of versions, such as `1.2-lts`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<Name>,
    /// Goes up with every release of a product; decides what is newer.
    pub sequence: u64,
    /// When the release was locked: seconds since 1970, UTC.
    pub issued: u64,
    /// Where the desired state came from.
    pub source: Provenance,
    /// What the state was rendered for.
    pub kubernetes: KubernetesTarget,
    /// The namespace of objects that name none; created with the release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// The state artifact: an image manifest among `blobs`.
    pub state: Digest,
    /// Images, in the order of their references.
    pub images: Vec<Image>,
    /// Files, in the order of their places.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<File>,
    /// Services of nodes that depend on the files, in the order in which they are restarted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub services: Vec<Service>,
    /// How Secrets of the state come by their data.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<SecretRule>,
    /// Products that must be installed first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub requires: Vec<Requirement>,
    /// Versions this release may follow, such as `>=2026.6`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upgrade_from: Option<String>,
    /// What the site does when it takes this release.
    pub rollout: Rollout,
    /// Names and versions of the tools that rendered the state.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tools: BTreeMap<String, String>,
    /// Every blob of the release, ascending by digest, each once.
    pub blobs: Vec<Blob>,
}

/// Where the desired state came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Provenance {
    /// The repository's URL, without credentials; absent for a local path, which would name a machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The branch, tag or commit that was asked for.
    #[serde(rename = "ref")]
    pub reference: String,
    /// The commit.
    pub commit: String,
    /// The commit's tree.
    pub tree: String,
    /// The commit's time: seconds since 1970, UTC.
    pub commit_time: u64,
    /// What is known of a signature on the tag or commit.
    pub signature: SourceSignature,
}

/// What is known of a signature on the source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", tag = "status", deny_unknown_fields)]
pub enum SourceSignature {
    /// Neither tag nor commit is signed.
    Absent,
    /// There is a signature; nobody asked for it to be verified.
    #[serde(rename_all = "camelCase")]
    Unverified {
        /// `tag` or `commit`.
        on: String,
        /// `ssh`, `gpg` or `x509`.
        kind: String,
    },
    /// The signature was verified at build.
    #[serde(rename_all = "camelCase")]
    Verified {
        /// `tag` or `commit`.
        on: String,
        /// `ssh` or `gpg`.
        kind: String,
        /// The principal (SSH) or the key's fingerprint (GPG).
        signer: String,
    },
}

/// What the state was rendered for; checked at stage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct KubernetesTarget {
    /// Major and minor version, such as `1.33`.
    pub version: String,
    /// API groups and versions beyond Kubernetes' own, such as `monitoring.coreos.com/v1`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub apis: Vec<String>,
}

/// One image of the release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Image {
    /// The reference in full, with the tag as written and the digest as locked.
    pub reference: String,
    /// What the reference resolved to: an index or a manifest among `blobs`.
    pub digest: Digest,
    /// The platforms carried, such as `linux/amd64`; empty for a single-platform manifest.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub platforms: Vec<String>,
    /// Manifests whose subject is this image or one below it (signatures, SBOMs, attestations).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub referrers: Vec<Referrer>,
    /// Where the image was found: `Kind namespace/name /json/pointer`; empty for `images.include`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub found_in: Vec<String>,
}

/// A manifest that refers to an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Referrer {
    /// The referring manifest, among `blobs`.
    pub digest: Digest,
    /// What it refers to.
    pub subject: Digest,
    /// The tag it is found by, for cosign's `sha256-….sig`, `.att` and `.sbom`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// Its artifact type, as the referrers API lists it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
}

/// One file of the release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct File {
    /// The absolute path at the site.
    pub to: String,
    /// The mode in octal, such as `0755`.
    pub mode: String,
    /// Whose it is: `USER` or `USER:GROUP`, each a number or a name; without it, of whoever places it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// The content, among `blobs`.
    pub digest: Digest,
    /// Said of a `consign-site`: which one it is. Only `consign-site upgrade` puts it into its place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub installer: Option<Installer>,
}

/// Which `consign-site` a file is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Installer {
    /// The platform it runs on, such as `linux/amd64`.
    pub platform: String,
    /// Its version, such as `0.2.0`.
    pub version: String,
}

/// How one Secret comes by its data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SecretRule {
    /// The Secret's name.
    pub name: String,
    /// The Secret's namespace.
    pub namespace: String,
    /// Where its data comes from.
    pub mode: SecretMode,
    /// For `generate`: the keys to fill; for `existing` and `per-site`: the keys that must be there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<String>,
    /// For `shared`: why the same data may go to every site.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Where a Secret's data comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SecretMode {
    /// Made once at the site and kept.
    Generate,
    /// There already; checked before anything is applied.
    Existing,
    /// Encrypted to each site's key alone, in a statement that travels beside the release.
    PerSite,
    /// Carried in the bundle for everyone to read, with a reason.
    Shared,
}

/// A product that must be installed first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Requirement {
    /// The product.
    pub product: Name,
    /// The versions that will do, such as `>=2026.9`.
    pub versions: String,
}

/// What the site does when it takes the release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rollout {
    /// What to do when the release is not healthy in time.
    pub on_failure: OnFailure,
    /// How long to wait for health, in seconds.
    pub health_timeout: u64,
    /// Kinds that may be pruned although they hold data or others' objects:
    /// `PersistentVolumeClaim`, `PersistentVolume`, `Namespace`, `CustomResourceDefinition`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allow_prune: Vec<String>,
    /// Whether going back would lose data; then a site never goes back by itself.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub irreversible: bool,
}

/// What to do when a release is not healthy in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum OnFailure {
    /// Bring the last confirmed release back.
    Rollback,
    /// Leave things as they are and say so.
    Halt,
}

/// One blob of the release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Blob {
    /// The blob's digest.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
    /// What it is.
    pub media_type: String,
    /// What it is for.
    pub role: Role,
}

/// What a blob is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Role {
    /// An image index or manifest list.
    Index,
    /// An image or artifact manifest.
    Manifest,
    /// An image configuration.
    Config,
    /// A layer.
    Layer,
    /// A file of the release.
    File,
}

/// A release manifest that cannot be meant, though its signature may hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReleaseError {
    /// The bytes are not canonical JSON.
    #[error("the release manifest is not in the one form it has")]
    Canonical(#[from] CanonicalError),
    /// The fields are not those of a release manifest.
    #[error("the release manifest does not have the expected form: {0}")]
    Form(String),
    /// A manifest of a version this program does not know.
    #[error("the release manifest is of schema `{0}`, this program reads `{SCHEMA}`")]
    Schema(String),
    /// The list of blobs is not ascending and unique.
    #[error("the release manifest lists blob {0} out of order or twice")]
    BlobOrder(Digest),
    /// Something points at a blob that is not listed.
    #[error("the release manifest speaks of {what} {digest} and does not list it among its blobs")]
    Unlisted {
        /// What points at it.
        what: &'static str,
        /// The missing digest.
        digest: Digest,
    },
    /// The sizes of the blobs add up to more than 2^53.
    #[error("the sizes in the release manifest add up to more than any medium holds")]
    Overflow,
}

impl ReleaseManifest {
    /// Parses and checks a release manifest whose bytes are already vouched for.
    pub fn parse(bytes: &[u8]) -> Result<Self, ReleaseError> {
        canonical::check(bytes)?;
        let manifest: ReleaseManifest = serde_json::from_slice(bytes).map_err(|e| ReleaseError::Form(e.to_string()))?;
        manifest.check()?;
        Ok(manifest)
    }

    /// Writes the manifest in its one form.
    pub fn to_bytes(&self) -> Result<Vec<u8>, ReleaseError> {
        self.check()?;
        Ok(canonical::to_vec(self)?)
    }

    /// Returns the number of bytes of all blobs.
    pub fn payload(&self) -> Result<u64, ReleaseError> {
        let sum = self.blobs.iter().try_fold(0u64, |sum, blob| sum.checked_add(blob.size));
        sum.filter(|sum| *sum <= canonical::MAX_INTEGER).ok_or(ReleaseError::Overflow)
    }

    /// Returns the blob with this digest.
    pub fn blob(&self, digest: &Digest) -> Option<&Blob> {
        self.blobs.binary_search_by(|blob| blob.digest.cmp(digest)).ok().map(|at| &self.blobs[at])
    }

    fn check(&self) -> Result<(), ReleaseError> {
        if self.schema != SCHEMA {
            return Err(ReleaseError::Schema(self.schema.clone()));
        }
        if let Some(pair) = self.blobs.windows(2).find(|pair| pair[0].digest >= pair[1].digest) {
            return Err(ReleaseError::BlobOrder(pair[1].digest));
        }
        self.payload()?;
        let listed: BTreeSet<Digest> = self.blobs.iter().map(|blob| blob.digest).collect();
        let images = self.images.iter().map(|image| ("the image", image.digest));
        let referrers = self.images.iter().flat_map(|i| &i.referrers).map(|r| ("the referrer", r.digest));
        let files = self.files.iter().map(|file| ("the file", file.digest));
        let spoken = std::iter::once(("the state artifact", self.state)).chain(images).chain(referrers).chain(files);
        for (what, digest) in spoken {
            if !listed.contains(&digest) {
                return Err(ReleaseError::Unlisted { what, digest });
            }
        }
        Ok(())
    }
}
