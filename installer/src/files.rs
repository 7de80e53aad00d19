//! Files of a release at their places on this machine: a program for the node, a configuration, a unit.
//!
//! They go there when a release is activated, **before** its objects are applied: what a node runs must be there when
//! the cluster asks for it, and a file that cannot be placed is found out while nothing has changed yet.
//!
//! [`plan`] looks at every place and refuses before the first write; [`carry_out`] writes down what it is about to do,
//! does it file by file, each by a draft, fsync and rename in the same folder, and writes down that it is done. Every
//! place is looked at again at the moment it is changed. Going back is the same: the places of the release before are
//! planned and carried out, out of the store.
//!
//! What is not ours is left alone: a file that others put there, one that was changed by hand since we placed it, and
//! whatever lies behind a link.

use std::collections::BTreeMap;
use std::fmt;

use consign_format::Name;
use consign_format::release::ReleaseManifest;
use serde::Serialize;

use crate::services;
use crate::site::Site;
use crate::store::placed::{Content, Placed};

mod carry_out;
mod error;
mod look;
mod owner;
mod plan;
mod room;
mod tree;
mod wanted;

pub use error::FilesError;
pub use look::{Is, PlaceStatus, status};

/// What happens at one place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Change {
    /// A file is put where none was.
    Place,
    /// A file of ours gets other content, mode or owner.
    Replace,
    /// A file that others put there becomes ours; what it was is kept.
    Adopt,
    /// A file of ours that left the release is taken away.
    Remove,
    /// A file of ours that left the release makes room for the one that was there before.
    Restore,
}

/// One place that changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FileChange {
    /// The place.
    pub to: String,
    /// What happens there.
    pub change: Change,
    /// What lies there now.
    #[serde(skip)]
    pub(crate) now: Option<Content>,
    /// What is to lie there.
    #[serde(skip)]
    pub(crate) then: Option<Content>,
}

impl fmt::Display for FileChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match self.change {
            Change::Place => "placed",
            Change::Replace => "replaced",
            Change::Adopt => "adopted",
            Change::Remove => "removed",
            Change::Restore => "restored",
        };
        write!(f, "file {}: {word}", self.to)
    }
}

/// What is to happen, found out without changing anything.
#[derive(Debug)]
pub struct FilesPlan {
    /// The places that change, in the order in which they do.
    pub changes: Vec<FileChange>,
    /// What somebody should look at.
    pub warnings: Vec<String>,
    /// The record before.
    was: Placed,
    /// The record while it happens.
    during: Placed,
    /// The record when it is done.
    then: Placed,
}

impl FilesPlan {
    /// Whether there is nothing to do, not even to write down.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty() && self.was == self.then
    }
}

/// Plans the files of a release. `loading`: bytes that are still to go into the store.
///
/// # Errors
/// [`FilesError`], before anything was changed: every reason why a file could not be placed.
pub fn plan(site: &Site, domain: &Name, release: &ReleaseManifest, loading: u64) -> Result<FilesPlan, FilesError> {
    let placed = release.files.iter().filter(|file| file.installer.is_none());
    site.allow.check_node(placed.map(|file| &file.to), &release.services)?;
    let wanted = wanted::wanted(release)?;
    services::check(site, release)?;
    plan::plan(site, domain, &release.product, &wanted, loading)
}

/// Plans that a product has no files any more: a first release is taken back.
pub(crate) fn plan_none(site: &Site, domain: &Name, product: &Name) -> Result<FilesPlan, FilesError> {
    plan::plan(site, domain, product, &BTreeMap::new(), 0)
}

/// Does what was planned. Cut off anywhere, planning and carrying out again ends where this would have ended.
///
/// # Errors
/// [`FilesError`]; what was changed until then is on record and can be planned away again.
pub fn carry_out(site: &Site, plan: &FilesPlan) -> Result<(), FilesError> {
    carry_out::carry_out(site, plan)
}
