//! The kit: a folder that a depot prepares for one site, so that thousands can be enrolled without a letter back and
//! forth for each.
//!
//! It is handed over like a package, and vouches for nothing: the root in it is enrolled by its fingerprint, which is on
//! a letter of its own, and the site record by the approvers' signatures.
//!
//! ```text
//! kit.json            this
//! root.json           the root to enrol: the newest one of the domain
//! site-record.json    the site record, where the site's keys were made at the depot
//! site.key            that key, PKCS#8 PEM, mode 0600
//! site.age            its age key, mode 0600
//! README.txt          what to do, for the person at the site
//! ```

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Name;

/// The value of `_type`.
pub const TYPE: &str = "site-kit";
/// The file of [`Kit`].
pub const KIT: &str = "kit.json";
/// The root's file.
pub const ROOT: &str = "root.json";
/// The site record's file.
pub const RECORD: &str = "site-record.json";
/// The key's file.
pub const KEY: &str = "site.key";
/// The age key's file.
pub const AGE_KEY: &str = "site.age";
/// What a person reads.
pub const README: &str = "README.txt";

/// Whom a folder is for. Plain JSON, not signed: all it says is checked against what is signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Kit {
    /// Always [`TYPE`].
    #[serde(rename = "_type")]
    pub kind: String,
    /// The site.
    pub site: Name,
    /// The domain of the root.
    pub domain: Name,
    /// Whether the site is one for production, which refuses development roots.
    pub production: bool,
    /// Whether keys and site record are in the folder; else the site makes its own keys and writes an enrol-request.
    pub keys: bool,
}
