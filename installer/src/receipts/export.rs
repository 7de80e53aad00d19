//! Copying the receipts to where somebody picks them up. It may be done again on the same medium, and on one with receipts
//! of other sites; what is there is left as it is, and what is there and differs is refused, for receipts never change.

use std::path::{Path, PathBuf};

use consign_format::error::{Code, Coded, Failure, codes};
use consign_registry::durable::{DurableError, create_dir, write_new_file};
use serde::Serialize;

use crate::site::Site;
use crate::store::StoreError;
use crate::store::state_file::read_bytes;

/// No receipt is longer.
const LIMIT: u64 = 64 << 20;

/// What lies in a folder now.
#[derive(Debug, Serialize)]
pub struct Exported {
    /// The folder.
    pub folder: PathBuf,
    /// How many receipts of this site are in it.
    pub receipts: usize,
    /// How many of them are new there.
    pub written: usize,
    /// That they were handed out could not be noted. It decides nothing: only the doctor asks for it.
    #[serde(skip)]
    pub not_noted: Option<StoreError>,
}

/// Another file has the name of a receipt.
#[derive(Debug, thiserror::Error)]
#[error("{} is there already and is another file than this site's receipt", path.display())]
struct Differs {
    path: PathBuf,
}

impl Coded for Differs {
    fn code(&self) -> Code {
        codes::ALREADY_EXISTS
    }

    fn hint(&self) -> Option<String> {
        Some("keep that file for headquarters to judge, and export into another folder".to_owned())
    }
}

/// Copies every receipt of a site into a folder, which is made where it is not there.
///
/// # Errors
/// Receipts that cannot be read; a folder that cannot be written; another file under the name of a receipt.
pub fn export(site: &Site, folder: &Path) -> Result<Exported, Failure> {
    let chain = site.store.read_receipts(&site.identity.public_key)?;
    let own = chain.iter().map(|kept| {
        let name = format!("{}-{}-{}", site.identity.site, &site.identity.enrolment[..8], kept.name);
        (name, kept.bytes.as_slice())
    });
    // What was written before a recovery goes along, for headquarters to judge.
    let earlier = site.store.receipts_set_aside()?;
    let earlier = earlier.iter().map(|(name, bytes)| (format!("{}-{name}", site.identity.site), bytes.as_slice()));
    let files: Vec<(PathBuf, &[u8])> = own.chain(earlier).map(|(name, bytes)| (folder.join(name), bytes)).collect();
    // All of them are looked at before the first is written.
    let mut missing = Vec::new();
    for (path, bytes) in &files {
        match read_bytes(path, LIMIT) {
            Ok(Some(there)) if there == *bytes => {}
            Ok(None) => missing.push((path, bytes)),
            _ => return Err(Differs { path: path.clone() }.into()),
        }
    }
    create_dir(folder, 0o755)?;
    for (path, bytes) in &missing {
        match write_new_file(path, bytes, 0o644) {
            Err(DurableError::Exists { path }) => return Err(Differs { path }.into()),
            other => other?,
        }
    }
    let not_noted = site.store.set_exported(&site.identity.enrolment, chain.len() as u64).err();
    Ok(Exported { folder: folder.to_owned(), receipts: files.len(), written: missing.len(), not_noted })
}
