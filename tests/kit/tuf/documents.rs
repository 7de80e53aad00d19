//! The documents of a plain TUF repository (TUF 1.0.31 §4), as far as a client without delegations looks at them.

use std::collections::BTreeMap;

use consign_format::trust::TrustError;
use consign_format::trust::document::{Key, Role};
use consign_format::trust::roots::RootDocument;
use jiff::Timestamp as Time;
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// A document that has a version and expires.
pub(super) trait Document: DeserializeOwned {
    /// The role that signs it; also its `_type` and its name.
    const ROLE: &'static str;
    fn kind(&self) -> &str;
    fn version(&self) -> u64;
    fn expires(&self) -> Time;
}

macro_rules! document {
    ($type:ident, $role:literal, $(#[$attribute:meta])* { $($(#[$of:meta])* $field:ident: $kind:ty,)* }) => {
        #[derive(Debug, Clone, Deserialize)]
        $(#[$attribute])*
        pub(super) struct $type {
            #[serde(rename = "_type")]
            kind: String,
            version: u64,
            expires: Time,
            $($(#[$of])* pub(super) $field: $kind,)*
        }

        impl Document for $type {
            const ROLE: &'static str = $role;
            fn kind(&self) -> &str {
                &self.kind
            }
            fn version(&self) -> u64 {
                self.version
            }
            fn expires(&self) -> Time {
                self.expires
            }
        }
    };
}

document!(Root, "root", {
    #[serde(default)]
    consistent_snapshot: bool,
    keys: BTreeMap<String, Key>,
    roles: BTreeMap<String, Role>,
});
document!(Timestamp, "timestamp", { meta: BTreeMap<String, MetaFile>, });
document!(Snapshot, "snapshot", { meta: BTreeMap<String, MetaFile>, });
document!(Targets, "targets", { targets: BTreeMap<String, FileInfo>, });

/// What one document says of another: its version, and perhaps of its file.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct MetaFile {
    pub(super) version: u64,
    pub(super) length: Option<u64>,
    #[serde(default)]
    pub(super) hashes: BTreeMap<String, String>,
}

/// A target.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct FileInfo {
    pub(super) length: u64,
    pub(super) hashes: BTreeMap<String, String>,
}

impl RootDocument for Root {
    fn version(&self) -> u64 {
        self.version
    }

    fn keys(&self) -> &BTreeMap<String, Key> {
        &self.keys
    }

    fn roles(&self) -> impl Iterator<Item = (&str, &Role)> {
        self.roles.iter().map(|(name, role)| (name.as_str(), role))
    }

    fn check_form(&self) -> Result<(), String> {
        let form = self.kind == Self::ROLE && self.version > 0;
        form.then_some(()).ok_or_else(|| "not a root".to_owned())
    }

    fn check_successor(&self, _: &Self) -> Result<(), TrustError> {
        Ok(())
    }
}
