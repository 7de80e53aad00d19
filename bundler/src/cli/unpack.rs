//! `consign unpack`.

use std::path::PathBuf;

use consign_format::error::Failure;
use consign_terminal::bytes;

use super::World;
use super::identity::IdentityArgs;
use super::trust::TrustArgs;
use crate::unpack::{Bounds, LISTING, Order, unpack};

/// Lays a bundle out as plain files for a malware scanner: layers decompressed and untarred, files, objects, and every
/// other blob as it is.
///
/// The bundle is verified first. Names from inside layers are escaped; links and devices are listed instead of made;
/// no mode is kept. DIR/unpacked.json says what lies where and what has no content. What cannot be laid out in full is
/// listed there too, and then the command fails: a scan of less than everything says nothing. Run the scanner over DIR,
/// then `consign attest-scan`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Lay it out for a scanner; the one way there is
    #[arg(long, required = true)]
    for_scan: bool,
    /// The bundle
    #[arg(value_name = "FILE")]
    bundle: PathBuf,
    /// A folder that is not there yet, or is empty
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    #[command(flatten)]
    trust: TrustArgs,
    #[command(flatten)]
    identity: IdentityArgs,
    /// Stop when more comes out than this many GiB
    #[arg(long, value_name = "GIB", default_value_t = 200, value_parser = clap::value_parser!(u64).range(1..=1 << 20))]
    max_size: u64,
    /// Stop when the layers have more entries than this
    #[arg(long, value_name = "N", default_value_t = 2_000_000)]
    max_entries: u64,
}

pub(super) fn run(args: &Args, world: &World<'_>) -> Result<(), Failure> {
    let bounds = Bounds { bytes: args.max_size << 30, entries: args.max_entries };
    let (trust, key) = (args.trust.trust()?, args.identity.key()?);
    let order = Order { bundle: &args.bundle, trust: &trust, key: key.as_ref(), dir: &args.dir, bounds };
    let listing = unpack(order, world.terminal.progress())?;
    let text = format!(
        "{} {} is laid out in {}: {} files, {}\n{} links and devices have no content; {LISTING} lists them",
        listing.product,
        listing.version,
        args.dir.display(),
        listing.files,
        bytes(listing.bytes),
        listing.left_out.len(),
    );
    world.terminal.result(&listing, text);
    Ok(())
}
