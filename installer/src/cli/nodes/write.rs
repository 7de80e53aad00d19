//! `consign-site nodes write`

use consign_format::error::Failure;

use super::shown::{Outcome, restart};
use super::{Context, Registry, Which};
use crate::nodes::{Place, change, plan};

/// Writes what this node's runtimes need to pull from the site's registry.
///
/// Everything is looked at first: if a file of somebody else is in the way, nothing is changed. Running it again
/// changes only what has to change. The certificate of the site's authority is taken from /etc/consign/ca.crt.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    registry: Registry,
    /// Print what would be written, passwords included, and write nothing.
    #[arg(long)]
    dry_run: bool,
    /// Restart the runtimes that read their configuration only when they start, and let CRI-O reload. Pods may feel it.
    #[arg(long)]
    restart: bool,
    /// Replace files of others, and files of ours that were changed by hand. What others had is kept, and `remove`
    /// brings it back.
    #[arg(long)]
    force: bool,
}

impl Arguments {
    /// As a set-up has them: all runtimes, nothing restarted, nothing of others replaced.
    pub(super) fn of(registry: Registry, dry_run: bool) -> Self {
        Arguments { which: Which { runtimes: Vec::new() }, registry, dry_run, restart: false, force: false }
    }
}

pub(super) fn run(context: &Context<'_>, arguments: &Arguments) -> Result<(), Failure> {
    let outcome = written(context, arguments)?;
    context.terminal.result(&outcome, &outcome);
    Ok(())
}

/// Writes, or says what would be written.
pub(super) fn written(context: &Context<'_>, arguments: &Arguments) -> Result<Outcome, Failure> {
    let place = Place::at(context.store.root())?;
    let (setup, told) = arguments.registry.setup(context, &place)?;
    let runtimes = arguments.which.find(&place)?;
    let wanted = plan::wanted(&setup, &place, &runtimes)?;
    restart::allowed(&place, arguments.restart)?;
    let change = change::prepare(&place, &runtimes, &wanted.files, Some(told), arguments.force)?;
    let mut outcome = Outcome::of(&place, &change, wanted.advice);
    if setup.authority.is_none() && setup.servers.iter().any(crate::nodes::Server::tls) {
        context.terminal.warn(
            "there is no /etc/consign/ca.crt: the registry's certificate must be one that this machine trusts anyway",
        );
    }
    if arguments.dry_run {
        outcome.show_contents(&place, &wanted.files);
    } else {
        let restarts = change.restarts();
        change::make(&place, change)?;
        restart::run(&place, &restarts, arguments.restart, &mut outcome)?;
    }
    Ok(outcome)
}
