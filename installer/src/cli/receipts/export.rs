//! `consign-site receipts export`: what to carry back. It may be run again on the same medium, and on one with receipts of
//! other sites; what is there is left as it is, and what is there and differs is refused, for receipts never change.

use std::path::{Path, PathBuf};

use consign_format::error::{Code, Coded, Failure, codes};
use consign_registry::durable::{DurableError, create_dir, write_new_file};
use serde::Serialize;

use crate::cli::Context;
use crate::site::Site;
use crate::store::receipts::Kept;
use crate::store::state_file::read_bytes;

/// No receipt is longer.
const LIMIT: u64 = 64 << 20;

#[derive(Debug, Serialize)]
struct Exported {
    folder: PathBuf,
    receipts: usize,
    written: usize,
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

pub(super) fn run(context: &Context<'_>, site: &Site, chain: &[Kept], dir: &Path) -> Result<(), Failure> {
    let own = chain.iter().map(|kept| {
        let name = format!("{}-{}-{}", site.identity.site, &site.identity.enrolment[..8], kept.name);
        (name, kept.bytes.as_slice())
    });
    // What was written before a recovery goes along, for headquarters to judge.
    let earlier = site.store.receipts_set_aside()?;
    let earlier = earlier.iter().map(|(name, bytes)| (format!("{}-{name}", site.identity.site), bytes.as_slice()));
    let files: Vec<(PathBuf, &[u8])> = own.chain(earlier).map(|(name, bytes)| (dir.join(name), bytes)).collect();
    // All of them are looked at before the first is written.
    let mut missing = Vec::new();
    for (path, bytes) in &files {
        match read_bytes(path, LIMIT) {
            Ok(Some(there)) if there == *bytes => {}
            Ok(None) => missing.push((path, bytes)),
            _ => return Err(Differs { path: path.clone() }.into()),
        }
    }
    create_dir(dir, 0o755)?;
    for (path, bytes) in &missing {
        match write_new_file(path, bytes, 0o644) {
            Err(DurableError::Exists { path }) => return Err(Differs { path }.into()),
            other => other?,
        }
    }
    // It decides nothing: only the doctor asks for it.
    if let Err(error) = site.store.set_exported(&site.identity.enrolment, chain.len() as u64) {
        context.terminal.warn(format!("that they were handed out could not be noted: {error}"));
    }
    let exported = Exported { folder: dir.to_owned(), receipts: files.len(), written: missing.len() };
    let are =
        if exported.receipts == 1 { "1 receipt is".to_owned() } else { format!("{} receipts are", exported.receipts) };
    context.terminal.result(&exported, format!("{are} in {}", dir.display()));
    Ok(())
}
