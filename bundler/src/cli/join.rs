//! `consign join`.

use std::path::PathBuf;

use consign_format::error::Failure;
use consign_terminal::{Amount, bytes};

use super::World;
use crate::bundle;
use crate::join::join;

/// Puts a bundle together from its volumes, in any order: the same file again, byte for byte.
///
/// It is checked against its own roots while it is written: that it is whole, not who made it; `consign verify` tells
/// that. A volume that is missing, damaged or of another bundle is named, and then nothing is written.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Any one volume, the others beside it; or a folder with the volumes of one bundle
    #[arg(value_name = "VOLUME")]
    volumes: PathBuf,
    /// The bundle to write; it must not be there yet
    #[arg(long, short, value_name = "FILE")]
    output: PathBuf,
}

pub(super) fn run(args: &Args, world: &World<'_>) -> Result<(), Failure> {
    let progress = world.terminal.progress();
    progress.phase("joining", Amount::Bytes(bundle::length(&args.volumes)?));
    let done = join(&args.volumes, &args.output, progress)?;
    progress.done();
    let what = match (&done.product, &done.version) {
        (Some(product), Some(version)) => format!("{product} {version}"),
        _ => "an encrypted bundle".to_owned(),
    };
    let text =
        format!("{}  {}\n  holds    {what}, of {} volumes", done.path.display(), bytes(done.bytes), done.volumes);
    world.terminal.result(&done, text);
    Ok(())
}
