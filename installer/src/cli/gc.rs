//! `consign-site gc`

use consign_format::error::Failure;
use serde::Serialize;

use super::Context;
use crate::gc::{Garbage, Scope, collect, look};
use crate::site::Site;

/// Removes from the store what no current, previous or staged release refers to.
///
/// A release that drops out is removed by itself when its successor is confirmed. What is left for this command: blobs of a
/// load that was cut off, and blobs that `store check` has set aside. Nothing is removed while a release is active and
/// not confirmed.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Say what would be removed, and how much that is, and remove nothing.
    #[arg(long)]
    dry_run: bool,
}

#[derive(Debug, Serialize)]
struct Collected {
    removed: bool,
    #[serde(flatten)]
    garbage: Garbage,
}

pub(super) fn run(context: &Context<'_>, arguments: &Arguments) -> Result<(), Failure> {
    let site = Site::open_exclusive(context.store.clone())?;
    let garbage = look(&site.store, Scope::Everything)?;
    if !arguments.dry_run {
        collect(&site.store, &garbage)?;
    }
    for stranger in &garbage.strangers {
        context.terminal.warn(format!("{stranger} lies among the blobs and is nobody's; it stays"));
    }
    let verb = if arguments.dry_run { "would be removed" } else { "removed" };
    let human = format!(
        "{verb}: {} releases, {} blobs, {}{}",
        garbage.releases.len(),
        garbage.blobs.len() + garbage.aside.len(),
        consign_terminal::bytes(garbage.bytes),
        if garbage.aside.is_empty() { String::new() } else { format!(" and {} set aside", garbage.aside.len()) },
    );
    context.terminal.result(&Collected { removed: !arguments.dry_run, garbage }, human);
    Ok(())
}
