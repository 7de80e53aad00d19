//! `consign-site install` and `consign-site stage`: bundles from a medium, one or all that are for this site.

use std::path::{Path, PathBuf};

use consign_format::error::Failure;
use serde::Serialize;

use super::bench::{Bench, Converging, Override, count};
use super::{Context, runtime, told};
use crate::admit::Ask;
use crate::install_bundle::{Finished, Order, Until, install_bundle};
use crate::pick::{LeftAlone, Picking};
use crate::site::Site;

/// Installs a bundle: verifies it, loads it, applies it, waits until it is healthy, and writes a receipt.
///
/// Of a folder, all bundles that are for this site are installed, what is required first; what is not for this site is
/// left alone and named. Nothing is changed before the whole release is here and every byte of it is the signed one. If
/// the release does not become healthy in time, the site does what the release says (goes back to the one before, or
/// halts) and ends with exit code 22. Outside the site's windows, while its interlock is taken or while a hold is in
/// force, it is staged and waits: exit code 24. A run that was cut off is resumed by running it again.
#[derive(Debug, clap::Args)]
pub(super) struct InstallArguments {
    #[command(flatten)]
    bundles: Bundles,
    #[command(flatten)]
    windows: Override,
    /// Stop after the plan and print it; change nothing at all.
    #[arg(long)]
    dry_run: bool,
}

/// Stages a bundle: verifies and loads it, and says what activating it would change. Touches nothing that runs.
///
/// Can be done at any time; `consign-site activate` does the rest, out of the store and without the medium. What a
/// release requires may be staged as well: it is activated first.
#[derive(Debug, clap::Args)]
pub(super) struct StageArguments {
    #[command(flatten)]
    bundles: Bundles,
}

#[derive(Debug, clap::Args)]
struct Bundles {
    /// The bundle, any one of its volumes, or a folder of bundles, such as /media/usb. Discs are loaded one after the
    /// other, in any order.
    path: PathBuf,
    #[command(flatten)]
    converging: Converging,
    /// Try a release again that failed here before.
    #[arg(long)]
    retry: bool,
    /// Refuse what has expired instead of warning; for sites with a clock they trust.
    #[arg(long)]
    enforce_expiry: bool,
    /// Refuse the release if any of its workloads could not be updated without an interruption.
    #[arg(long)]
    require_zero_downtime: bool,
}

/// What became of the bundles of a folder.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Folder {
    /// What became of each, in the order in which they were taken.
    bundles: Vec<Taken>,
    /// Those that are not for this site, or not for it now.
    left_alone: Vec<LeftAlone>,
}

#[derive(Debug, Serialize)]
struct Taken {
    /// The file's name.
    file: String,
    #[serde(flatten)]
    finished: Finished,
}

pub(super) fn install(context: &Context<'_>, arguments: &InstallArguments) -> Result<(), Failure> {
    let until = if arguments.dry_run { Until::Planned } else { Until::Activated };
    run(context, &arguments.bundles, &arguments.windows, until)
}

pub(super) fn stage(context: &Context<'_>, arguments: &StageArguments) -> Result<(), Failure> {
    run(context, &arguments.bundles, &Override::default(), Until::Staged)
}

fn run(context: &Context<'_>, bundles: &Bundles, windows: &Override, until: Until) -> Result<(), Failure> {
    let (bench, mut site) = Bench::open(context, &bundles.converging, windows)?;
    site.apply.require_zero_downtime |= bundles.require_zero_downtime;
    let (retry, enforce_expiry) = (bundles.retry, bundles.enforce_expiry);
    let order = Order { ask: Ask { retry, enforce_expiry, require_scan: bench.config.require_scan }, until };
    if bundles.path.is_dir() && bundles.path.extension().is_none_or(|ending| ending != crate::open::EXTENSION) {
        return take_all(context, &bench, &mut site, &bundles.path, order);
    }
    let finished = take(&bench, &mut site, &bundles.path, order)?;
    warn(context, &finished);
    context.terminal.result(&finished, told::finished(&finished));
    Ok(())
}

fn take_all(
    context: &Context<'_>,
    bench: &Bench<'_>,
    site: &mut Site,
    folder: &Path,
    order: Order,
) -> Result<(), Failure> {
    let clocks = &context.machine.clocks;
    let (mut picking, mut done) = (Picking::of(folder)?, Folder::default());
    let mut human = Vec::new();
    while let Some(path) = picking.next(site, order, clocks)? {
        let finished = take(bench, site, &path, order)?;
        warn(context, &finished);
        human.push(told::finished(&finished));
        let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        done.bundles.push(Taken { file, finished });
    }
    done.left_alone = picking.left(site, order, clocks);
    human.extend(done.left_alone.iter().map(|left| format!("left alone: {} ({}: {})", left.file, left.code, left.why)));
    context.terminal.result(&done, human.join("\n"));
    Ok(())
}

fn take(bench: &Bench<'_>, site: &mut Site, path: &Path, order: Order) -> Result<Finished, Failure> {
    let finished = runtime::block_on(async {
        let registry = bench.registry(site)?;
        install_bundle(site, path, order, bench.means(registry.as_ref()), async || bench.connect().await).await
    });
    bench.keep_copy(site, matches!(finished, Ok(Finished::Installed(_))));
    if order.until == Until::Planned { finished } else { count(site, finished) }
}

fn warn(context: &Context<'_>, finished: &Finished) {
    finished.warnings().iter().for_each(|warning| context.terminal.warn(warning));
}
