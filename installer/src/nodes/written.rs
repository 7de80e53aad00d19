//! What this program wrote on a node: path by path, with digests, so that nothing of anybody else is ever taken for ours.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use consign_format::Digest;
use serde::{Deserialize, Serialize};

use super::{NodesError, Place, Runtime, own};
use crate::store::state_file;

/// The manifest of what was written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Written {
    /// The files, by their path on the node.
    pub files: BTreeMap<String, Entry>,
    /// The folders that were made for them, in the order in which they were made.
    pub folders: Vec<String>,
    /// What was said when they were written, for the next run that says nothing.
    #[serde(default)]
    pub told: Told,
}

/// What the person who wrote the files said, or the configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Told {
    /// The servers.
    pub servers: Vec<String>,
    /// Hosts beside those that the store names.
    pub hosts: BTreeSet<String>,
    /// The file with the credentials.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credentials: Option<PathBuf>,
    /// Whether other machines may be asked without TLS.
    pub plain_http: bool,
}

/// One file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Entry {
    /// What we wrote.
    pub digest: Digest,
    /// What we wrote before that; a run that was cut off may have left it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub was: Option<Digest>,
    /// Whether the runtime reads it only when it starts, or is told to.
    #[serde(default)]
    pub restart: bool,
    /// The runtimes that read it.
    pub runtimes: BTreeSet<Runtime>,
    /// What somebody else had there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Before>,
}

/// A file of somebody else that ours took the place of; its bytes lie beside the manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Before {
    /// Its digest.
    pub digest: Digest,
    /// Its permission bits.
    pub mode: u32,
}

impl Written {
    /// Reads the manifest; an empty one where nothing was written. Folders that a run made for it before it was cut off
    /// are in it even so.
    pub fn read(place: &Place) -> Result<Self, NodesError> {
        match state_file::read(&own::manifest(place)?)? {
            Some(written) => Ok(written),
            None => Ok(Written { folders: own::leftovers(place)?, ..Written::default() }),
        }
    }

    /// Writes the manifest down. Its folder is there.
    pub fn write(&self, place: &Place) -> Result<(), NodesError> {
        Ok(state_file::write(&own::manifest(place)?, self, 0o600)?)
    }

    /// The runtimes that something was written for.
    pub fn runtimes(&self) -> BTreeSet<Runtime> {
        self.files.values().flat_map(|entry| entry.runtimes.iter().copied()).collect()
    }

    /// The files of others whose bytes have to stay.
    pub(super) fn kept(&self) -> BTreeSet<Digest> {
        self.files.values().filter_map(|entry| entry.before.as_ref()).map(|before| before.digest).collect()
    }

    /// Whether it says nothing, so that nothing of it need stay.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }
}
