//! `consign-site gc`

use consign_format::error::Failure;
use serde::Serialize;

use super::{Context, runtime};
use crate::config::ExistingRegistry;
use crate::gc::{Garbage, Scope, collect, look};
use crate::site::Site;
use crate::site_registry::{self, Collected, SiteRegistry, Waiting};

/// Removes from the store what no current, previous or staged release refers to, and from a registry that the site has
/// already the tags that kept it there.
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
struct Swept {
    removed: bool,
    #[serde(flatten)]
    garbage: Garbage,
    /// Of a registry that the site has already: the tags by which it kept releases.
    #[serde(skip_serializing_if = "Option::is_none")]
    registry: Option<Collected>,
}

pub(super) fn run(context: &Context<'_>, arguments: &Arguments) -> Result<(), Failure> {
    let site = Site::open_exclusive(context.store.clone())?;
    let garbage = look(&site.store, Scope::Everything)?;
    let existing = context.config()?.registry.existing.filter(|_| !arguments.dry_run);
    let registry = existing.map(|existing| tags(context, &site, &existing)).transpose()?;
    if !arguments.dry_run {
        collect(&site.store, &garbage)?;
    }
    for stranger in &garbage.strangers {
        context.terminal.warn(format!("{stranger} lies among the blobs and is nobody's; it stays"));
    }
    let verb = if arguments.dry_run { "would be removed" } else { "removed" };
    let mut human = format!(
        "{verb}: {} releases, {} blobs, {}{}",
        garbage.releases.len(),
        garbage.blobs.len() + garbage.aside.len(),
        consign_terminal::bytes(garbage.bytes),
        if garbage.aside.is_empty() { String::new() } else { format!(" and {} set aside", garbage.aside.len()) },
    );
    if let Some(registry) = &registry {
        human.push_str(&format!("\nregistry: {} tags removed", registry.removed));
        if registry.not_allowed {
            context.terminal.warn("the registry removes no tags; its administrator has to");
        }
    }
    context.terminal.result(&Swept { removed: !arguments.dry_run, garbage, registry }, human);
    Ok(())
}

fn tags(context: &Context<'_>, site: &Site, existing: &ExistingRegistry) -> Result<Collected, Failure> {
    let waiting = Waiting { clocks: &context.machine.clocks, random: context.machine.random };
    let registry = SiteRegistry::new(existing, site.identity.site.clone(), &waiting)?;
    runtime::block_on(async { Ok(site_registry::collect(&registry, &site.store).await?) })
}
