//! `consign-site store`

use consign_format::error::Failure;

use super::Context;
use crate::scrub::{Found, Lost, check};
use crate::site::Site;

/// Looks after the blobs that the registry serves.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Reads every blob again and compares it with its digest. One that rotted on the disk is named and set aside: the
    /// registry refuses it, and the next bundle that carries it brings it back. Runs beside everything else.
    Check {
        /// Name what rotted, and leave it where it is.
        #[arg(long)]
        dry_run: bool,
    },
}

pub(super) fn run(context: &Context<'_>, arguments: &Arguments) -> Result<(), Failure> {
    let Command::Check { dry_run } = arguments.command;
    let site = Site::open(context.store.clone())?;
    let found = check(&site.store, !dry_run, context.terminal.progress())?;
    context.terminal.result(&found, human(&found));
    Ok(found.verdict()?)
}

fn human(found: &Found) -> String {
    let mut lines = vec![format!("{} blobs are sound, {}", found.sound, consign_terminal::bytes(found.bytes))];
    let mut list = |what: &str, lost: &[Lost]| {
        let needed = |lost: &Lost| match lost.needed_by.as_slice() {
            [] => "no release needs it".to_owned(),
            releases => releases.join(", "),
        };
        lines.extend(lost.iter().map(|lost| format!("{what}  {}  {}", lost.digest, needed(lost))));
    };
    list(if found.set_aside { "rotten, set aside" } else { "rotten" }, &found.rotten);
    list("missing", &found.missing);
    lines.join("\n")
}
