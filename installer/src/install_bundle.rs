//! The main path of the site: open → verify → load → stage, then plan → apply → confirm → receipt.
//!
//! The order is TRUST §3. Until loading has ended nothing is changed but the roots, which land even from a bad stick,
//! and blobs whose digest held, which wait unreferenced. After that every step is on the journal and is resumed by
//! running again. A release that was staged waits as long as it must; its activation reads the store alone.

use std::collections::BTreeMap;
use std::path::Path;

use consign_format::archive::head::{OpenedBundle, VerifiedBundle};
use consign_format::error::Failure;
use consign_format::trust::roots::RootChain;
use consign_format::{Limits, Name};
use consign_registry::durable::Folder;
use consign_terminal::{Amount, Progress};

use crate::admit::{Ask, Memory, admit};
use crate::clock::Clocks;
use crate::files;
use crate::gates::Gates;
use crate::handoff::{Desired, Handoff};
use crate::load::load;
use crate::open::open_for_roots;
use crate::scan;
use crate::services;
use crate::site::{DomainState, Site};
use crate::site_registry::SiteRegistry;
use crate::site_secrets;
use crate::store::StoreError;
use crate::store::products::ProductState;
use crate::supply::{check_room, supply};

mod activate;
mod by_hand;
mod failing;
pub(crate) mod metadata;
mod outcome;
mod placing;
mod rehearse;
mod resume;
mod run;
mod stage;
mod steps;
mod telling;

pub use by_hand::{NotTakenBack, roll_back};
pub use failing::Unsettled;
pub use metadata::Metadata;
pub use outcome::{Finished, Installed, Planned, StagedRelease};
pub use resume::{NotActivated, activate_staged, in_order};

/// What the person asked for.
#[derive(Debug, Clone, Copy, Default)]
pub struct Order {
    /// What to be strict or lenient about.
    pub ask: Ask,
    /// How far to go.
    pub until: Until,
}

/// How far a run goes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Until {
    /// To the receipt.
    #[default]
    Activated,
    /// Until the release is here; nothing that runs is touched. What is staged counts as installed for what requires it.
    Staged,
    /// Until the plan is known; nothing is changed at all.
    Planned,
}

/// What a run works with, beside the site.
#[derive(Clone, Copy)]
pub struct Means<'a> {
    /// The clocks.
    pub clocks: &'a Clocks,
    /// Where progress is told.
    pub progress: &'a dyn Progress,
    /// The registry that the site already has, if it does not serve its own.
    pub registry: Option<&'a SiteRegistry<'a>>,
    /// What stands between a staged release and its activation.
    pub gates: &'a Gates,
}

/// What became of a bundle.
enum Arrived<'a, H> {
    /// It is here, whole and on record; what runs is as it was.
    Staged { run: Box<run::Run<'a>>, handoff: H, desired: Desired },
    /// There was nothing to stage.
    Done(Finished),
}

/// Installs a bundle, one file or the one in a folder: stages it, then activates it, unless the order ends before. `connect` is called when the bundle
/// is admitted, before it is loaded: a site without a cluster finds out before an hour of copying, and a bad stick
/// before that.
pub async fn install_bundle<H: Handoff>(
    site: &mut Site,
    path: &Path,
    order: Order,
    means: Means<'_>,
    connect: impl AsyncFnOnce() -> Result<H, Failure>,
) -> Result<Finished, Failure> {
    match bring_in(site, path, order, means, connect).await? {
        Arrived::Done(finished) => Ok(finished),
        Arrived::Staged { mut run, handoff, desired } => match order.until {
            Until::Activated => activate::activate(&mut run, &handoff, &desired).await,
            _ => stage::foretell(&mut run, &handoff, &desired).await,
        },
    }
}

async fn bring_in<'a, H: Handoff>(
    site: &'a mut Site,
    path: &Path,
    order: Order,
    means: Means<'a>,
    connect: impl AsyncFnOnce() -> Result<H, Failure>,
) -> Result<Arrived<'a, H>, Failure> {
    let Means { clocks, progress, registry, .. } = means;
    let dry_run = order.until == Until::Planned;
    let verifying = steps::Timer::start("verify", clocks);
    let (medium, trouble) = open_for_roots(path)?;
    let medium = medium.readable_by(site)?;
    let (end, reach, attestation) = (medium.end(), medium.reach(), scan::beside(&medium));
    let opened = OpenedBundle::open(medium, Limits::DEFAULT)?;
    let (domain, roots) = site.follow(opened.roots())?;
    if !dry_run {
        metadata::commit_roots(site, &domain, &roots, clocks)?;
    }
    let announced = opened.read_statements()?;
    let brought = metadata::commit_statements(site, &domain, &roots, announced.statements(), dry_run)?;
    if let Some(trouble) = trouble {
        return Err(trouble.into());
    }
    announced.end().iter().for_each(|at| end.is(*at));
    let Some(untrusted) = announced.read_head()? else { return Ok(Arrived::Done(Finished::Informed(brought))) };
    let VerifiedBundle { vouched, payload } = untrusted.verify(&roots)?;
    end.is(vouched.carriage.boundary.saturating_add(vouched.carriage.payload));
    scan::check(order.ask, &attestation, &roots, &vouched)?;
    let product = site.store.read_product(&domain, &vouched.approval.product)?;
    let memory = memory(site, (&domain, &roots), product.as_ref(), &vouched.approval.product, order.until)?;
    let admission = admit(&vouched, &memory, order.ask, &effective_now(site, &domain, clocks))?;
    let blobs = site.store.blobs()?;
    let supply = supply(&vouched.release, &vouched.carriage, &blobs, &site.store.held_blobs()?)?;
    check_room(&supply, site.store.dir(), Folder::open(site.store.dir())?.free()?)?;
    let files = files::plan(site, &domain, &vouched.release, supply.bytes)?;
    let sealed = site_secrets::find(site, &domain, &vouched.release.secrets)?;
    let handoff = connect().await?;
    if let Some(registry) = registry {
        registry.ready().await?;
    }
    if dry_run {
        let warnings = [admission.warnings, brought.warnings, files.warnings].concat();
        let rehearsed = rehearse::rehearse(&vouched, payload, site, &handoff, sealed, progress).await?;
        let restarts = services::restarts(&vouched.release, &files.changes);
        let planned = Planned { warnings, restarts, files: files.changes, ..rehearsed };
        return Ok(Arrived::Done(Finished::Planned(planned)));
    }
    let name = vouched.approval.product.clone();
    let product = product.unwrap_or_else(|| ProductState::new(domain, name));
    let mut run = run::Run::begin(site, product, stage::release_ref(&vouched), vouched.release.clone(), means)?;
    run.is_new = true;
    run.warnings = [admission.warnings, brought.warnings].concat();
    run.steps.phase(verifying.stop(clocks));
    run.steps.begin("load")?;
    progress.phase("loading", Amount::Bytes(supply.bytes));
    run.bytes = load(payload, (&supply, &vouched.carriage, &reach), &blobs, progress)?;
    let desired = stage::stage(&mut run, &vouched, roots.root().version, &blobs).await?;
    run.steps.end()?;
    Ok(Arrived::Staged { run: Box::new(run), handoff, desired })
}

/// What the site remembers, as the decision needs it.
pub(crate) fn memory<'a>(
    site: &'a Site,
    (domain, roots): (&Name, &'a RootChain),
    product: Option<&'a ProductState>,
    name: &'a Name,
    until: Until,
) -> Result<Memory<'a>, StoreError> {
    let trust = site.domains.get(domain).map(|state| state.product(name)).unwrap_or_default();
    let mut confirmed = BTreeMap::new();
    for other in site.store.products()?.into_iter().filter(|other| other.domain == *domain) {
        let staged = other.staged.as_ref().filter(|_| until == Until::Staged).map(|staged| &staged.release);
        if let Some(release) = staged.or(other.confirmed()) {
            confirmed.insert(other.product.clone(), release.clone());
        }
    }
    let floor = roots.root().floor.get(name);
    let grants = site.domains.get(domain).map(|state| state.grants_of(name, roots)).unwrap_or_default();
    let installer = env!("CARGO_PKG_VERSION");
    let record = site.domains.get(domain).and_then(DomainState::record);
    Ok(Memory { site: &site.identity.site, record, trust, floor, grants, product, confirmed, installer })
}

/// The later of the site's clock and the latest signed time it has seen, RFC 3339 in UTC (TRUST §4).
pub(crate) fn effective_now(site: &Site, domain: &Name, clocks: &Clocks) -> String {
    let floor = site.domains.get(domain).map_or(0, |state| state.time_floor);
    let seconds = i64::try_from(clocks.now().max(floor)).unwrap_or(i64::MAX);
    // A clock beyond the year 9999 has no text; every document has expired by then.
    jiff::Timestamp::from_second(seconds).unwrap_or(jiff::Timestamp::MAX).strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Counts a refused bundle, so that headquarters learns of it from the next receipt. A junk stick can't make anything
/// grow: it is one number. That it could not be written is no reason to hide why the bundle was refused.
pub fn count_refusal(site: &Site, failure: &Failure) {
    use consign_format::Exit;
    // A disc of several was read, and the next one is wanted.
    if failure.code() == consign_format::error::codes::VOLUME_MISSING {
        return;
    }
    let failed_before = failure.code() == consign_format::error::codes::FAILED_BEFORE;
    let refused = failed_before
        || matches!(
            failure.code().exit,
            Exit::Damaged
                | Exit::Malformed
                | Exit::Untrusted
                | Exit::Older
                | Exit::NotForSite
                | Exit::Expired
                | Exit::CannotDecrypt
                | Exit::NotUpgradable
                | Exit::Missing
                | Exit::Policy
        );
    if refused && let Ok(count) = site.store.refused() {
        let _ = site.store.set_refused(count.saturating_add(1));
    }
}
