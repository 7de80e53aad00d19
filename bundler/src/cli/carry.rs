//! `consign carry`.

use std::path::PathBuf;

use consign_format::error::Failure;
use consign_terminal::bytes;

use super::World;
use crate::{sign, statements};

/// Writes a bundle of metadata alone: all roots, and the statements that are named. `consign-site install` takes it.
///
/// This is how a revoked key is made known without a release, and how site records and grants travel. A site keeps the
/// roots even if the rest of the medium cannot be read.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Signed statements to carry: site records, downgrade grants
    #[arg(value_name = "FILE")]
    statements: Vec<PathBuf>,
    /// The folder of the roots
    #[arg(long, default_value = sign::TRUST_FOLDER, value_name = "DIR")]
    trust: PathBuf,
    /// The bundle to write; without it DOMAIN-root-N.consign
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

pub(super) fn run(args: &Args, world: &World<'_>) -> Result<(), Failure> {
    let roots = sign::read_roots(&args.trust)?;
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
