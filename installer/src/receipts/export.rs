//! Copying the receipts to where somebody picks them up.

use std::path::Path;

use consign_format::error::Failure;
use consign_registry::durable::{create_dir, write_file};

use crate::site::Site;

/// Copies every receipt of a site into a folder, which is made where it is not there. Returns how many there are.
///
/// # Errors
/// Receipts that cannot be read; a folder that cannot be written.
pub fn export(site: &Site, folder: &Path) -> Result<usize, Failure> {
    let chain = site.store.read_receipts(&site.identity.public_key)?;
    create_dir(folder, 0o755)?;
    for kept in &chain {
        let name = format!("{}-{}-{}", site.identity.site, &site.identity.enrolment[..8], kept.name);
        write_file(&folder.join(name), &kept.bytes, 0o644)?;
    }
    // What was written before a recovery goes along, for headquarters to judge.
    let earlier = site.store.receipts_set_aside()?;
    for (name, bytes) in &earlier {
        write_file(&folder.join(format!("{}-{name}", site.identity.site)), bytes, 0o644)?;
    }
    Ok(chain.len() + earlier.len())
}
