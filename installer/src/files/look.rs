//! What lies at a place, hashed; and, for `status`, whether it is what we placed.

use std::ffi::OsStr;
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;

use consign_format::{Digest, DigestWriter, Name};
use consign_registry::durable::{DurableError, Folder, Step};
use serde::Serialize;

use super::FilesError;
use super::tree::{Tree, parts};
use crate::site::Site;
use crate::store::placed::{Content, Place};

/// How many bytes are held in memory at a time.
pub(super) const BUFFER: usize = 256 * 1024;

/// What lies under a name of a folder; `None` where nothing does.
pub(super) fn look(folder: &Folder, name: &str) -> Result<Option<Content>, FilesError> {
    let Some(mut file) = folder.open_file(OsStr::new(name))? else { return Ok(None) };
    let unreadable = |source| DurableError::io(Step::Read, &folder.path().join(name), source);
    let mut hash = DigestWriter::new(io::sink());
    let mut buffer = vec![0; BUFFER];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => hash.write_all(buffer.get(..read).unwrap_or_default()).map_err(unreadable)?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(source) => return Err(unreadable(source).into()),
        }
    }
    let metadata = file.metadata().map_err(unreadable)?;
    let (_, digest, size) = hash.finish();
    let (mode, user, group) = (metadata.mode() & 0o7777, metadata.uid(), metadata.gid());
    Ok(Some(Content { digest, size, mode, user, group }))
}

/// How a placed file is found again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Is {
    /// As it was placed.
    AsPlaced,
    /// Other content, another mode, another owner.
    Changed,
    /// There is nothing.
    Gone,
    /// A link, or something else that is no file, stands there or on the way.
    Unsafe,
    /// It cannot be read.
    Unreadable,
    /// A run was cut off while it was being changed.
    Unsettled,
}

impl std::fmt::Display for Is {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Is::AsPlaced => "as placed",
            Is::Changed => "CHANGED since it was placed",
            Is::Gone => "GONE",
            Is::Unsafe => "NOT A FILE, or behind a link",
            Is::Unreadable => "cannot be read",
            Is::Unsettled => "being changed when the last run was cut off",
        })
    }
}

/// One placed file, for `status`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PlaceStatus {
    /// The domain.
    pub domain: Name,
    /// The product whose file it is.
    pub product: Name,
    /// The place.
    pub to: String,
    /// What was placed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
    /// Whether it is still so.
    pub is: Is,
}

/// All files that all products have placed, and whether they are as they were placed.
pub fn status(site: &Site) -> Result<Vec<PlaceStatus>, FilesError> {
    let placed = site.store.all_placed()?;
    let mut found = Vec::new();
    if placed.is_empty() {
        return Ok(found);
    }
    let tree = Tree::open(site)?;
    for product in placed {
        for (to, place) in product.places {
            let (domain, name) = (product.domain.clone(), product.product.clone());
            let digest = place.known.last().map(|content| content.digest);
            found.push(PlaceStatus { domain, product: name, is: is(&tree, &to, &place), to, digest });
        }
    }
    Ok(found)
}

fn is(tree: &Tree, to: &str, place: &Place) -> Is {
    let looked = tree.reach(to).and_then(|reached| match reached.missing.is_empty() {
        true => look(&reached.folder, parts(to).1),
        false => Ok(None),
    });
    match looked {
        _ if place.unsettled => Is::Unsettled,
        Ok(Some(content)) if place.known.contains(&content) => Is::AsPlaced,
        Ok(Some(_)) => Is::Changed,
        Ok(None) => Is::Gone,
        Err(FilesError::Durable(DurableError::Unsafe { .. })) => Is::Unsafe,
        Err(_) => Is::Unreadable,
    }
}
