//! `consign split`.

use std::path::PathBuf;

use consign_format::error::Failure;
use consign_terminal::{Amount, bytes};

use super::World;
use crate::bundle;
use crate::split::{Size, split};

/// Cuts a finished bundle into volumes that fit a medium: PRODUCT-VERSION.consign.1-of-3, and so on.
///
/// No key is needed, and what was signed stays as it is. The bundle is read once and checked against its own roots; the
/// volumes get their names when it was whole. `consign-site install` takes the volumes as they are: a folder of them, or
/// one disc after the other. Approve first: the head of volumes is not changed any more. An encrypted bundle is cut as
/// well.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The bundle
    #[arg(value_name = "FILE")]
    bundle: PathBuf,
    /// The largest size of a volume: fat32 (4 GiB - 1), dvd (4.69 GB), cd (730 MB), or a number of bytes, or one with K,
    /// M, G, KB, MB or GB behind it
    #[arg(long, value_name = "SIZE")]
    size: Size,
    /// The folder for the volumes; without it, the one of the bundle
    #[arg(long, short, value_name = "DIR")]
    output: Option<PathBuf>,
}

pub(super) fn run(args: &Args, world: &World<'_>) -> Result<(), Failure> {
    let progress = world.terminal.progress();
    let folder = args.output.clone().unwrap_or_else(|| consign_registry::durable::parent_of(&args.bundle));
    progress.phase("splitting", Amount::Bytes(bundle::length(&args.bundle)?));
    let done = split(&args.bundle, args.size, &folder, progress)?;
    progress.done();
    let what = match (&done.product, &done.version) {
        (Some(product), Some(version)) => format!("{product} {version}"),
        _ => "an encrypted bundle".to_owned(),
    };
    let mut text = format!("{what}, {}, in {} volumes", bytes(done.bytes), done.volumes.len());
    for volume in &done.volumes {
        text.push_str(&format!("\n  {}  {}", volume.path.display(), bytes(volume.bytes)));
    }
    world.terminal.result(&done, text);
    Ok(())
}
