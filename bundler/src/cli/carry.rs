//! `consign carry`.

use std::path::PathBuf;

use consign_format::error::Failure;
use consign_terminal::bytes;

use super::World;
use super::statement::RootsArgs;
use crate::statements;

/// Writes a bundle of metadata alone: all roots, and the statements that are named. `consign-site install` takes it.
///
/// This is how a revoked key is made known without a release, and how site records and grants travel. A site keeps the
/// roots even if the rest of the medium cannot be read.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Signed statements to carry: site records, downgrade grants
    #[arg(value_name = "FILE")]
    statements: Vec<PathBuf>,
    #[command(flatten)]
    roots: RootsArgs,
    /// The bundle to write; without it DOMAIN-root-N.consign
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

pub(super) fn run(args: &Args, world: &World<'_>) -> Result<(), Failure> {
    let roots = args.roots.read()?;
    let default = || PathBuf::from(format!("{}-root-{}.consign", roots.domain(), roots.root().version));
    let output = args.output.clone().unwrap_or_else(default);
    let carried = statements::carry(&roots, &args.statements, &output)?;
    let text = format!(
        "{}  {}\n  carries  root {} of domain {}, {} statements",
        carried.path.display(),
        bytes(carried.bytes),
        carried.root,
        carried.domain,
        carried.statements
    );
    world.terminal.result(&carried, text);
    Ok(())
}
