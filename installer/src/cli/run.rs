//! `consign-site run`

use std::path::PathBuf;
use std::time::Duration;

use consign_format::error::Failure;
use serde::Serialize;

use super::{Context, gates, lookup, runtime};
use crate::apply::{Cluster, Direct};
use crate::config::{DriftMode, HandoffKind, SiteConfig};
use crate::drift_run::{Looked, look};
use crate::site::Site;

/// Looks whether the cluster still holds what the installed releases say, and tells or corrects what differs.
///
/// Runs until it is stopped, and looks every `[drift] minutes` of site.toml; with --once it looks once, which is what a
/// timer wants. What differs is told field by field, what Secrets hold apart. Exit 0 when nothing differs or all was
/// corrected, 21 when something differs and is left.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Look once, and end.
    #[arg(long)]
    once: bool,
    /// What becomes of what differs; else what site.toml says.
    #[arg(long, value_enum)]
    mode: Option<DriftMode>,
    /// The kubeconfig; else what site.toml says, $KUBECONFIG, and the usual places.
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
}

/// The document of `run --once --json`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Told {
    mode: DriftMode,
    products: Vec<Looked>,
}

pub(super) fn run(context: &Context<'_>, arguments: &Arguments) -> Result<(), Failure> {
    if arguments.once {
        let config = context.config()?;
        let (told, ended) = pass(context, arguments, &config);
        // Said before it fails, if it does: the fields are what somebody wants to see.
        let human = in_words(&told);
        match ended {
            Ok(()) => context.terminal.result(&told, human),
            Err(_) => human.lines().for_each(|line| context.terminal.warn(line)),
        }
        return ended;
    }
    loop {
        let config = context.config()?;
        let (told, ended) = pass(context, arguments, &config);
        in_words(&told).lines().for_each(|line| context.terminal.progress().note(line));
        if let Err(failure) = ended {
            context.terminal.warn(failure);
        }
        std::thread::sleep(Duration::from_secs(60 * u64::from(config.drift.minutes.max(1))));
    }
}

/// One look. What was found is told also where it ends in a failure.
fn pass(context: &Context<'_>, arguments: &Arguments, config: &SiteConfig) -> (Told, Result<(), Failure>) {
    let mode = arguments.mode.unwrap_or(config.drift.mode);
    let mut products = Vec::new();
    let ended = runtime::block_on(looking(context, arguments, config, mode, &mut products));
    (Told { mode, products }, ended)
}

async fn looking(
    context: &Context<'_>,
    arguments: &Arguments,
    config: &SiteConfig,
    mode: DriftMode,
    products: &mut Vec<Looked>,
) -> Result<(), Failure> {
    // Whoever exports has no cluster to look at.
    if mode == DriftMode::Ignore || config.handoff != HandoffKind::Direct {
        return Ok(());
    }
    let mut site = Site::open_exclusive(context.store.clone())?;
    site.apply = config.apply.clone();
    let kubeconfig = arguments.kubeconfig.as_deref();
    let gates = gates(context, kubeconfig, config, None);
    let cluster = Cluster::connect(&lookup(context, kubeconfig, config)).await?;
    let direct = Direct::new(cluster, Box::new(context.machine.random));
    look(&site, &direct, mode, (&context.machine.clocks, &gates), products).await
}

fn in_words(told: &Told) -> String {
    let mut lines = Vec::new();
    for one in &told.products {
        let state = match (one.drifted.entries.len(), one.corrected) {
            (0, _) => "as installed".to_owned(),
            (count, true) => format!("{count} differed and were corrected"),
            (count, false) if one.waits.is_some() => {
                format!("{count} differ; not corrected: {}", one.waits.as_deref().unwrap_or_default())
            }
            (count, false) => format!("{count} differ"),
        };
        lines.push(format!("{} {}: {state}", one.product, one.version));
        for entry in &one.drifted.entries {
            lines.push(format!("  {}: {}", entry.key, what(entry.action)));
            let diff = one.fields.iter().find(|diff| diff.key == entry.key);
            lines.extend(diff.iter().flat_map(|diff| diff.lines()).map(|line| format!("      {line}")));
        }
    }
    if lines.is_empty() { "nothing to look at".to_owned() } else { lines.join("\n") }
}

/// An action of the plan, as what it says about the object now.
fn what(action: crate::handoff::Action) -> &'static str {
    use crate::handoff::Action;
    match action {
        Action::Created => "it is gone",
        Action::Deleted => "it left the release and is still there",
        _ => "it differs; correcting it would change",
    }
}
