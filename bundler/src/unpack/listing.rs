//! `unpacked.json`: what was laid out for a scanner, what has no content, and what could not be laid out.

use consign_format::trust::chain::Vouched;
use consign_format::{Digest, Name};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The file in the folder.
pub const FILE: &str = "unpacked.json";

/// What `consign unpack --for-scan` has laid out. Paths are relative to the folder, with `/`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Listing {
    /// The id of the bundle; `attest-scan` holds it against the bundle it attests.
    pub bundle_id: Digest,
    /// The digest of its release.
    pub release: Digest,
    /// The product.
    pub product: Name,
    /// The version.
    pub version: String,
    /// Whether everything that has content was laid out. A scan of less says nothing.
    pub complete: bool,
    /// Files written.
    pub files: u64,
    /// Bytes written.
    pub bytes: u64,
    /// Every blob, where it lies.
    pub laid: Vec<Laid>,
    /// Entries of layers that have no content of their own.
    pub left_out: Vec<LeftOut>,
    /// Blobs that could not be laid out in full.
    pub not_unpacked: Vec<NotUnpacked>,
}

/// One blob, laid out once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Laid {
    /// The blob.
    pub digest: Digest,
    /// The file, or for a layer the folder.
    pub at: String,
    /// Further places it stands for, such as the same layer of other images.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub also: Vec<String>,
    /// Files written for it.
    pub files: u64,
    /// Bytes written for it.
    pub bytes: u64,
}

/// An entry of a layer without content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LeftOut {
    /// Where it would lie, its name escaped.
    pub at: String,
    /// What it is.
    pub kind: LeftOutKind,
    /// For links: where it leads, escaped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
}

/// What an entry without content is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum LeftOutKind {
    /// A symbolic link.
    SymbolicLink,
    /// A further name of a file of the same image.
    HardLink,
    /// A character or block device.
    Device,
    /// A named pipe.
    Pipe,
}

/// A blob that could not be laid out in full.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NotUnpacked {
    /// The blob.
    pub digest: Digest,
    /// Where what came out of it lies.
    pub at: String,
    /// Why not all came out.
    pub reason: String,
}

impl Listing {
    pub(super) fn of(vouched: &Vouched) -> Self {
        Listing {
            bundle_id: vouched.bundle_id,
            release: vouched.release_digest,
            product: vouched.release.product.clone(),
            version: vouched.release.version.clone(),
            complete: false,
            files: 0,
            bytes: 0,
            laid: Vec::new(),
            left_out: Vec::new(),
            not_unpacked: Vec::new(),
        }
    }

    pub(super) fn sum(&mut self) {
        self.files = self.laid.iter().map(|laid| laid.files).sum();
        self.bytes = self.laid.iter().map(|laid| laid.bytes).sum();
        self.complete = self.not_unpacked.is_empty();
    }
}
