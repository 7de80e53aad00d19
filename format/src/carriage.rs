//! The carriage: what one bundle carries of a release, and how.
//!
//! The publisher writes it, snapshot vouches for it by length and digest, and every blob it names is
//! checked once more against the approved release manifest: a carriage can leave out, never add.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Digest;
use crate::trust::Audience;

/// The value of `_type`.
pub const TYPE: &str = "carriage";
/// The head ends at a multiple of this many bytes.
pub const BOUNDARY_UNIT: u64 = 64 * 1024;
/// Plain bytes in every frame of a packed member but the last.
pub const FRAME_SIZE: u64 = 4 << 20;

/// What one bundle carries and how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Carriage {
    /// Always [`TYPE`].
    #[serde(rename = "_type")]
    pub kind: String,
    /// The digest of the release manifest.
    pub release: Digest,
    /// Where the payload begins: the offset of the first header behind the filler.
    pub boundary: u64,
    /// Bytes from the boundary to the end of the archive.
    pub payload: u64,
    /// Who may take this bundle, where that is narrower than what the approvers signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audience: Option<Audience>,
    /// Every member behind the boundary, in the order of the archive.
    pub members: Vec<Member>,
}

/// One member behind the boundary.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Member {
    /// The member's name.
    pub name: String,
    /// Its stored length in bytes.
    pub length: u64,
    /// The digest of its stored bytes.
    pub sha256: Digest,
    /// How it is carried.
    pub carried: Carried,
    /// For members under `packed/`: what they hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub packed: Option<Packed>,
}

/// How a member is carried. Deltas and patches come with a later version of this program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Carried {
    /// The whole content is here.
    Full,
}

/// What a packed member holds: a run of independent zstd frames (RFC 8878).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Packed {
    /// The digest of the content.
    pub digest: Digest,
    /// The size of the content in bytes.
    pub size: u64,
    /// The frames, in order; each holds [`FRAME_SIZE`] plain bytes, the last the rest.
    pub frames: Vec<Frame>,
}

/// One frame of a packed member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Frame {
    /// Stored bytes.
    pub length: u64,
    /// The digest of the stored bytes.
    pub sha256: Digest,
}

/// What a member is, told from its name. The grammar is closed: any other name is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// `oci-layout`
    Layout,
    /// `index.json`
    Index,
    /// `blobs/sha256/HEX`
    Blob(Digest),
    /// `packed/sha256/HEX.zst`
    Packed(Digest),
}

impl Place {
    /// Parses a member's name.
    pub fn parse(name: &str) -> Option<Place> {
        let digest = |hex: &str| Digest::from_hex(hex).ok();
        match name {
            "oci-layout" => Some(Place::Layout),
            "index.json" => Some(Place::Index),
            _ => match name.strip_prefix("blobs/sha256/") {
                Some(hex) => digest(hex).map(Place::Blob),
                None => {
                    let hex = name.strip_prefix("packed/sha256/")?.strip_suffix(".zst")?;
                    digest(hex).map(Place::Packed)
                }
            },
        }
    }

    /// Returns the member's name.
    pub fn name(&self) -> String {
        match self {
            Place::Layout => "oci-layout".to_owned(),
            Place::Index => "index.json".to_owned(),
            Place::Blob(digest) => format!("blobs/sha256/{}", digest.hex()),
            Place::Packed(digest) => format!("packed/sha256/{}.zst", digest.hex()),
        }
    }
}
