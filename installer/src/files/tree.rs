//! The folders below the site's root, entered one by one: no link in a path is followed, whoever put it there.

use consign_format::Digest;
use consign_registry::durable::{DRAFT_PREFIX, Folder};

use super::FilesError;
use crate::allow::NotAllowed;
use crate::site::Site;

/// The mode of folders that are made.
const FOLDER_MODE: u32 = 0o755;

/// The root, and what below it is nobody's to write into.
pub(super) struct Tree {
    root: Folder,
    /// Our own folders, by device and number: a bind mount shows them under other names.
    own: Vec<(u64, u64)>,
}

/// The folder of a place, as far as it is there.
pub(super) struct Reached {
    /// The last folder that is there.
    pub(super) folder: Folder,
    /// Those below it that are not, as paths.
    pub(super) missing: Vec<String>,
}

impl Tree {
    pub(super) fn open(site: &Site) -> Result<Self, FilesError> {
        use consign_registry::durable::{DurableError, Step};
        let root = site.store.root();
        let root = root.canonicalize().map_err(|source| DurableError::io(Step::Read, root, source))?;
        let root = Folder::open(&root)?;
        let mut own = Vec::new();
        for folder in [site.store.dir(), &site.store.root().join("etc/consign")] {
            if folder.is_dir() {
                own.push(number(&Folder::open(folder)?)?);
            }
        }
        Ok(Tree { root, own })
    }

    /// Enters the folder that `to` lies in.
    pub(super) fn reach(&self, to: &str) -> Result<Reached, FilesError> {
        let (mut folder, mut path, mut missing) = (self.root.clone(), String::new(), Vec::new());
        for name in parts(to).0 {
            path = format!("{path}/{name}");
            if missing.is_empty() {
                match folder.child(name)? {
                    Some(child) if self.own.contains(&number(&child)?) => {
                        return Err(NotAllowed { what: vec![format!("file {to}")] }.into());
                    }
                    Some(child) => folder = child,
                    None => missing.push(path.clone()),
                }
            } else {
                missing.push(path.clone());
            }
        }
        Ok(Reached { folder, missing })
    }

    /// Enters the folder that `to` lies in, making what is missing.
    pub(super) fn make(&self, to: &str) -> Result<Folder, FilesError> {
        let Reached { mut folder, missing } = self.reach(to)?;
        for path in missing {
            folder = folder.make_child(parts(&path).1, FOLDER_MODE)?;
        }
        Ok(folder)
    }
}

fn number(folder: &Folder) -> Result<(u64, u64), FilesError> {
    use std::os::unix::fs::MetadataExt;
    let metadata = folder.metadata()?;
    Ok((metadata.dev(), metadata.ino()))
}

/// The folders of a place, and its own name.
pub(super) fn parts(to: &str) -> (Vec<&str>, &str) {
    let mut parts: Vec<&str> = to.split('/').filter(|part| !part.is_empty()).collect();
    let name = parts.pop().unwrap_or_default();
    (parts, name)
}

/// The name of the draft of a place: always the same, so that one that a power cut left is found, and is nobody else's.
pub(super) fn draft_name(to: &str) -> String {
    let hex = Digest::of(to.as_bytes()).hex();
    format!("{DRAFT_PREFIX}consign-{}", hex.get(..16).unwrap_or(&hex))
}
