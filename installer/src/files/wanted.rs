//! The files of a release as places: what its manifest says is checked as if nobody had checked it before.

use std::collections::BTreeMap;

use consign_format::node_file::{is_place, mode_bits};
use consign_format::release::{File, ReleaseManifest};

use super::{FilesError, owner};
use crate::store::placed::Content;

/// What is to lie where. A `consign-site` is left out: only `consign-site upgrade` puts that into its place.
pub(super) fn wanted(release: &ReleaseManifest) -> Result<BTreeMap<String, Content>, FilesError> {
    let mut wanted = BTreeMap::new();
    for file in release.files.iter().filter(|file| file.installer.is_none()) {
        if wanted.insert(file.to.clone(), content(release, file)?).is_some() {
            return Err(malformed(&file.to, "two files go there"));
        }
    }
    let places: Vec<&String> = wanted.keys().collect();
    for to in &places {
        if let Some(below) = places.iter().find(|other| is_below(other, to)) {
            return Err(malformed(to, &format!("it is a file, and the folder of {below}")));
        }
    }
    Ok(wanted)
}

/// Whether one path lies below another.
pub(super) fn is_below(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'))
}

fn content(release: &ReleaseManifest, file: &File) -> Result<Content, FilesError> {
    if !is_place(&file.to) {
        return Err(malformed(&file.to, "it is no absolute path without `.`, `..` and empty parts"));
    }
    let mode = mode_bits(&file.mode).ok_or_else(|| malformed(&file.to, "its mode is none, or lends rights"))?;
    let size = release.blob(&file.digest).map(|blob| blob.size);
    let size = size.ok_or_else(|| malformed(&file.to, "its content is not among the blobs"))?;
    let (user, group) = match &file.owner {
        Some(text) => owner::resolve(&file.to, text)?,
        None => owner::own(),
    };
    Ok(Content { digest: file.digest, size, mode, user, group })
}

fn malformed(to: &str, reason: &str) -> FilesError {
    FilesError::Malformed { to: to.escape_debug().to_string(), reason: reason.to_owned() }
}
