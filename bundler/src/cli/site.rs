//! `consign site`.

use clap::Subcommand;
use consign_format::error::Failure;

use super::World;

mod kit;
mod receipts;
mod record;
mod short;

/// Keeps the books of sites: their records, kits for new ones, the receipts that come back.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Write a site record: who a site is, and what bundles are addressed to it by
    Record(Box<record::Args>),
    /// Prepare folders from which new sites are enrolled
    Kit(kit::Args),
    /// Check the receipts that a site has sent
    Receipts(receipts::Args),
}

pub(super) fn run(args: &Args, world: &World<'_>) -> Result<(), Failure> {
    match &args.verb {
        Verb::Record(args) => record::run(args, world),
        Verb::Kit(args) => kit::run(args, world),
        Verb::Receipts(args) => receipts::run(args, world),
    }
}
