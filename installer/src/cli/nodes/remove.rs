//! `consign-site nodes remove`

use std::collections::BTreeSet;

use consign_format::error::Failure;

use super::shown::{Outcome, restart};
use super::{Context, Which};
use crate::nodes::written::Written;
use crate::nodes::{Place, change};

/// Takes away what `write` wrote, and nothing else: afterwards the node is as it was before.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    which: Which,
    /// Print what would be removed, and remove nothing.
    #[arg(long)]
    dry_run: bool,
    /// Restart the runtimes that read their configuration only when they start, and let CRI-O reload. Pods may feel it.
    #[arg(long)]
    restart: bool,
    /// Remove files that were changed by hand since, too.
    #[arg(long)]
    force: bool,
}

pub(super) fn run(context: &Context<'_>, arguments: &Arguments) -> Result<(), Failure> {
    let place = Place::at(context.store.root())?;
    let named: BTreeSet<_> = arguments.which.runtimes.iter().copied().collect();
    let runtimes = if named.is_empty() { Written::read(&place)?.runtimes() } else { named };
    restart::allowed(&place, arguments.restart)?;
    let change = change::prepare(&place, &runtimes, &[], None, arguments.force)?;
    let mut outcome = Outcome::of(&place, &change, Vec::new());
    if arguments.dry_run {
        outcome.rehearse();
    } else {
        let restarts = change.restarts();
        change::make(&place, change)?;
        restart::run(&place, &restarts, arguments.restart, &mut outcome)?;
    }
    context.terminal.result(&outcome, &outcome);
    Ok(())
}
