//! `consign-site install`

use std::path::{Path, PathBuf};

use consign_format::error::Failure;

use super::{Context, lookup, runtime, state_copy};
use crate::admit::Ask;
use crate::apply::{Cluster, Direct};
use crate::config::{HandoffKind, SiteConfig};
use crate::handoff::export::Export;
use crate::install_bundle::{Finished, Installed, Metadata, Order, Planned, count_refusal, install_bundle};
use crate::services::{ServiceManager, Systemctl};
use crate::site::Site;
use crate::site_registry::{SiteRegistry, Waiting};

/// Installs a bundle: verifies it, loads it, applies it, waits until it is healthy, and writes a receipt.
///
/// Nothing is changed before the whole release is here and every byte of it is the signed one. If the release does not
/// become healthy in time, the site does what the release says (goes back to the one before, or halts) and ends with
/// exit code 22. A run that was cut off is resumed by running it again.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The bundle, any one of its volumes, or a folder that holds exactly one bundle, such as /media/usb. Discs are
    /// loaded one after the other, in any order.
    path: PathBuf,
    /// Who brings the desired state into the cluster; else what site.toml says.
    #[arg(long, value_enum, env = "CONSIGN_HANDOFF")]
    handoff: Option<HandoffKind>,
    /// With the handoff `export`: the folder that gets one sub-folder per product.
    #[arg(long, value_name = "DIR", env = "CONSIGN_EXPORT_DIR")]
    export_dir: Option<PathBuf>,
    /// With the handoff `direct`: the kubeconfig; else what site.toml says, $KUBECONFIG, and the usual places.
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// Try a release again that failed here before.
    #[arg(long)]
    retry: bool,
    /// Stop after the plan and print it; change nothing at all.
    #[arg(long)]
    dry_run: bool,
    /// Refuse what has expired instead of warning; for sites with a clock they trust.
    #[arg(long)]
    enforce_expiry: bool,
}

pub(super) fn run(context: &Context<'_>, arguments: &Arguments) -> Result<(), Failure> {
    let config = context.config()?;
    let mut site = Site::open_exclusive(context.store.clone())?;
    site.allow = config.allow.clone();
    site.adopt_files = config.files.adopt;
    site.services = Systemctl::of_machine(context.store.root()).map(|found| Box::new(found) as Box<dyn ServiceManager>);
    let (retry, enforce_expiry) = (arguments.retry, arguments.enforce_expiry);
    let ask = Ask { retry, enforce_expiry, require_scan: config.require_scan };
    let order = Order { ask, dry_run: arguments.dry_run };
    let before = site.domains.clone();
    let finished = runtime::block_on(install(context, arguments, &config, &mut site, order));
    let is_direct = arguments.handoff.unwrap_or(config.handoff) == HandoffKind::Direct;
    let was_there = matches!(finished, Ok(Finished::Installed(_)));
    if is_direct && (was_there || site.domains != before) {
        state_copy::keep(context, &site, &config, arguments.kubeconfig.as_deref());
    }
    if let Err(failure) = &finished
        && !arguments.dry_run
    {
        count_refusal(&site, failure);
    }
    match finished? {
        Finished::Installed(installed) => tell_installed(context, &installed),
        Finished::Informed(metadata) => tell_informed(context, &metadata),
        Finished::Planned(planned) => tell_planned(context, &planned),
    }
    Ok(())
}

async fn install(
    context: &Context<'_>,
    arguments: &Arguments,
    config: &SiteConfig,
    site: &mut Site,
    order: Order,
) -> Result<Finished, Failure> {
    let (clocks, progress) = (&context.machine.clocks, context.terminal.progress());
    let path = &arguments.path;
    let waiting = Waiting { clocks, random: context.machine.random };
    let existing = config.registry.existing.as_ref();
    let registry = existing.map(|existing| SiteRegistry::new(existing, site.identity.site.clone(), &waiting));
    let registry = registry.transpose()?;
    let registry = registry.as_ref();
    match arguments.handoff.unwrap_or(config.handoff) {
        HandoffKind::Direct => {
            let lookup = lookup(context, arguments.kubeconfig.as_deref(), config);
            let connect = async || {
                let cluster = Cluster::connect(&lookup).await?;
                Ok(Direct::new(cluster, Box::new(context.machine.random)))
            };
            install_bundle(site, path, order, clocks, progress, registry, connect).await
        }
        HandoffKind::Export => {
            let folder = export_dir(arguments.export_dir.as_deref(), config, context);
            install_bundle(site, path, order, clocks, progress, registry, async || Ok(Export::new(&folder))).await
        }
    }
}

fn export_dir(flag: Option<&Path>, config: &SiteConfig, context: &Context<'_>) -> PathBuf {
    let named = flag.map(Path::to_owned).or_else(|| config.export_dir.clone());
    named.unwrap_or_else(|| context.store.dir().join("export"))
}

fn tell_installed(context: &Context<'_>, installed: &Installed) {
    installed.warnings.iter().for_each(|warning| context.terminal.warn(warning));
    let health = match (installed.handoff, installed.health.objects) {
        ("export", _) => "not known: the objects are in a folder for somebody else to apply".to_owned(),
        (_, objects) => format!("{objects} objects healthy"),
    };
    let already = if installed.already_current {
        format!(
            "already at sequence {}: {} {} was installed before",
            installed.sequence, installed.product, installed.version
        )
    } else {
        format!("{} {} is installed", installed.product, installed.version)
    };
    let human = format!(
        "{already}\nsequence  {}\nrelease   {}\nloaded    {}\nobjects   {}\nhealth    {health}\nreceipt   {}",
        installed.sequence,
        installed.release,
        consign_terminal::bytes(installed.loaded.written),
        installed.changes.counts(),
        installed.receipt,
    );
    let files: String = installed.files.iter().map(|change| format!("\n{change}")).collect();
    context.terminal.result(installed, format!("{human}{files}"));
}

fn tell_informed(context: &Context<'_>, metadata: &Metadata) {
    metadata.warnings.iter().for_each(|warning| context.terminal.warn(warning));
    let mut human = format!("the bundle holds metadata alone; root {} of domain {}", metadata.root, metadata.domain);
    metadata.taken.iter().for_each(|words| human.push_str(&format!("\ntaken     {words}")));
    context.terminal.result(metadata, human);
}

fn tell_planned(context: &Context<'_>, planned: &Planned) {
    planned.warnings.iter().for_each(|warning| context.terminal.warn(warning));
    let mut human = format!("{} {} would be installed; nothing was changed", planned.product, planned.version);
    planned.files.iter().for_each(|change| human.push_str(&format!("\n  {change}")));
    planned.restarts.iter().for_each(|unit| human.push_str(&format!("\n  service {unit}: restarted")));
    for entry in &planned.plan.changes.entries {
        let predicted = if planned.plan.predicted.contains(&entry.key) { " (predicted)" } else { "" };
        human.push_str(&format!("\n  {entry}{predicted}"));
    }
    human.push_str(&format!("\n{}", planned.plan.changes.counts()));
    context.terminal.result(planned, human);
}
