//! Activation: plan, apply, wait for health, receipt, confirm. What is not healthy goes to `failing`.

use std::time::Duration;

use consign_format::Name;
use consign_format::error::{Code, Failure, codes};
use consign_format::receipt::{Action, Outcome};

use super::failing::{Returned, Trouble, fail, go_back};
use super::placing;
use super::run::Run;
use super::stage::pre_pull;
use super::telling::teller;
use super::{Finished, Installed};
use crate::clock::Clocks;
use crate::desired::policy;
use crate::gates::Gates;
use crate::gc::{self, GcError, Scope};
use crate::handoff::{ChangeSet, Desired, GoAhead, Handoff, HealthReport, Stopped};
use crate::receipts::{Draft, health_of, issue, kept_of, objects_of, release_of};
use crate::site::Counter;
use crate::site_registry;
use crate::site_registry::back_to;
use crate::store::products::{ProductState, Returning};
use futures_util::future::BoxFuture;

/// Brings the staged release to run.
pub(super) async fn activate<H: Handoff>(
    run: &mut Run<'_>,
    handoff: &H,
    desired: &Desired,
) -> Result<Finished, Failure> {
    if let Some(returning) = run.product.returning.clone().filter(|_| is_current(run)) {
        return Err(go_on_back(run, handoff, returning).await);
    }
    let policy = policy(&run.manifest, &run.site.apply);
    let mut tell = teller(run.progress);
    // Refuses before the first write; the current release stays what it is, the new one stays staged.
    handoff.plan(desired, &policy, &mut tell).await?;
    let files = placing::plan(run)?;
    pull_and_pass(run, handoff, desired).await?;
    let before = switch(run).await?;
    let already_current = before.confirmed().is_some_and(|release| release.digest == run.release.digest);
    // First, so that what a node runs is there when the cluster asks for it.
    if let Err(failure) = placing::place(run, files) {
        return Err(take_back(run, &before, failure).await);
    }
    if let Err(error) = run.steps.begin("apply") {
        return Err(take_back(run, &before, error.into()).await);
    }
    let between = Between::of(run);
    let changes = match handoff.apply(desired, &policy, &between, &mut tell).await {
        Ok(changes) => changes,
        Err(Stopped { failure, changes }) => {
            run.steps.failed(&failure.to_string())?;
            if changes.is_unchanged() {
                return Err(take_back(run, &before, failure).await);
            }
            return stopped(run, handoff, already_current, failure, changes).await;
        }
    };
    run.steps.end()?;
    run.steps.begin_end("health")?;
    let timeout = Duration::from_secs(run.manifest.rollout.health_timeout);
    let health = match handoff.await_healthy(desired, timeout, &mut tell).await {
        Ok(health) => health,
        Err(failure) => {
            run.steps.failed(&failure.to_string())?;
            return stopped(run, handoff, already_current, failure, changes).await;
        }
    };
    if !health.is_healthy() {
        run.steps.failed(&health.reasons().join("; "))?;
        let trouble = Trouble { reasons: health.reasons(), changes, health, already_current };
        return Err(fail(run, handoff, trouble).await);
    }
    run.steps.end()?;
    let finished = settle(run, handoff.name(), changes, health, already_current)?;
    Ok(collect_dropped(run, finished).await)
}

fn is_current(run: &Run<'_>) -> bool {
    run.product.current.as_ref().is_some_and(|current| current.release.digest == run.release.digest)
}

/// The release was being taken back when the power went: that is finished, and it is not tried again.
async fn go_on_back<H: Handoff>(run: &mut Run<'_>, handoff: &H, returning: Returning) -> Failure {
    match go_back(run, handoff, returning, &HealthReport::default()).await {
        Ok(Returned::Back(unsettled) | Returned::Stuck(unsettled)) => unsettled.into(),
        Err(failure) => failure,
    }
}

/// Nodes pull whatever the gates say, where a bundle has just brought the release: that is what staging is for. What was
/// staged before is pulled once the gates are open; nodes may have come since, or have cleared images away.
async fn pull_and_pass<H: Handoff>(run: &mut Run<'_>, handoff: &H, desired: &Desired) -> Result<(), Failure> {
    if run.is_new {
        pre_pull(run, handoff, desired).await?;
    }
    pass_gates(run).await?;
    pre_pull(run, handoff, desired).await
}

/// What is closed is on the journal, and that somebody asked is on record, so that `watch` can go on when it opens.
async fn pass_gates(run: &mut Run<'_>) -> Result<(), Failure> {
    let floor = run.floor();
    if let Err(closed) = run.gates.check(&run.product.product, run.clocks.now(), floor, false).await {
        run.steps.waits(&closed.to_string())?;
        if let Some(staged) = &mut run.product.staged {
            staged.agreed = true;
            run.record(|run| run.write_product())?;
        }
        return Err(closed.into());
    }
    if let Some(reason) = run.gates.overridden() {
        run.warnings.push(format!("activated without regard to its windows: {reason}"));
    }
    Ok(())
}

/// Makes the staged release the current one, unconfirmed, and lets the tags of a registry that the site already has
/// follow. Returns what the product was before. Without a way back in that registry nothing is switched.
async fn switch(run: &mut Run<'_>) -> Result<ProductState, Failure> {
    if let (Some(registry), Some(back_to)) = (run.registry, back_to(&run.product, &run.release)) {
        registry.check_previous(&run.site.store, &run.product.product, &back_to).await?;
    }
    let before = run.product.clone();
    run.product.activate();
    run.write_product()?;
    if run.registry.is_some() {
        run.steps.begin("tags")?;
        if let Err(error) = run.move_tags(&run.release).await {
            run.steps.failed(&error.to_string())?;
            return Err(take_back(run, &before, error.into()).await);
        }
        run.steps.end()?;
    }
    Ok(before)
}

/// The release was not activated after all: product and files are what they were, and so are the tags as far as the
/// registry can be reached. Returns why.
async fn take_back(run: &mut Run<'_>, before: &ProductState, why: Failure) -> Failure {
    let current = before.current.as_ref().map(|current| current.release.clone());
    if let Some(current) = &current
        && let Err(error) = run.move_tags(current).await
    {
        run.progress.note(&format!("tags in the registry are moved by the next run: {error}"));
    }
    // Where they stay, the release stays current and unconfirmed, and running again goes on from there.
    if let Err(failure) = run.record(|run| placing::bring_back(run, current.as_ref())) {
        run.progress.note(&format!("the files before could not be brought back: {failure}"));
        return why;
    }
    run.product = before.clone();
    match run.record(|run| run.write_product()) {
        Ok(()) => why,
        Err(failure) => failure,
    }
}

/// The cluster went away, and nobody can say how it stands; or the disk is full. No fault of the release.
pub(super) const AWAY: [Code; 3] = [codes::CLUSTER_UNREACHABLE, codes::CLUSTER_FORBIDDEN, codes::NO_ROOM];
/// A gate closed while the release was being applied. What was applied stays, and running again goes on.
const CLOSED: [Code; 3] = [codes::OUTSIDE_WINDOW, codes::INTERLOCKED, codes::HELD];

/// The gates, asked between the stages of an apply.
struct Between<'a> {
    gates: &'a Gates,
    clocks: &'a Clocks,
    product: Name,
    floor: u64,
}

impl<'a> Between<'a> {
    fn of(run: &Run<'a>) -> Self {
        let (gates, clocks, product) = (run.gates, run.clocks, run.product.product.clone());
        Between { gates, clocks, product, floor: run.floor() }
    }
}

impl GoAhead for Between<'_> {
    fn may_go_on(&self) -> BoxFuture<'_, Result<(), Failure>> {
        Box::pin(async { Ok(self.gates.check(&self.product, self.clocks.now(), self.floor, true).await?) })
    }
}

/// The cluster went away: nobody can say how it stands, so nothing is taken back and running again resumes. Anything
/// else that stops an apply midway is a failure of the release, and its policy decides.
async fn stopped<H: Handoff>(
    run: &mut Run<'_>,
    handoff: &H,
    already_current: bool,
    failure: Failure,
    changes: ChangeSet,
) -> Result<Finished, Failure> {
    if CLOSED.contains(&failure.code()) {
        return Err(failure);
    }
    let reasons = vec![failure.to_string()];
    if AWAY.contains(&failure.code()) {
        run.record(|run| {
            let mut draft = draft(run, Outcome::Failed, handoff.name(), &changes, &HealthReport::default());
            draft.reasons = reasons.clone();
            issue(run.site, draft, run.clocks)
        })?;
        return Err(failure);
    }
    let trouble = Trouble { reasons, changes, health: HealthReport::default(), already_current };
    Err(fail(run, handoff, trouble).await)
}

/// The release is healthy: the receipt first, then what says "done" (TRUST §4, receipts).
fn settle(
    run: &mut Run<'_>,
    handoff: &'static str,
    changes: ChangeSet,
    health: HealthReport,
    already_current: bool,
) -> Result<Finished, Failure> {
    run.steps.begin_end("confirm")?;
    let receipt = run.record(|run| {
        let draft = draft(run, Outcome::Applied, handoff, &changes, &health);
        issue(run.site, draft, run.clocks)
    })?;
    run.product.confirm();
    run.record(|run| run.write_product())?;
    let counter = Counter { sequence: run.release.sequence, release: run.release.digest };
    run.record(|run| run.site.commit_applied(&run.domain, &run.product.product, counter.clone()))?;
    run.steps.end()?;
    run.progress.done();
    Ok(Finished::Installed(Installed {
        domain: run.domain.clone(),
        product: run.product.product.clone(),
        version: run.release.version.clone(),
        sequence: run.release.sequence,
        release: run.release.digest,
        bundle: run.release.bundle,
        outcome: Outcome::Applied,
        handoff,
        already_current,
        loaded: run.bytes.clone(),
        changes,
        files: run.files.clone(),
        health,
        warnings: run.told(),
        receipt: receipt.receipt.n,
    }))
}

/// The release before the previous one is of no use any more (DESIGN §1.8). The new one runs whatever becomes of this.
async fn collect_dropped(run: &Run<'_>, finished: Finished) -> Finished {
    let (store, mut troubles) = (&run.site.store, Vec::new());
    if let Some(registry) = run.registry
        && let Err(error) = site_registry::collect(registry, store).await
    {
        troubles.push(format!("tags of older releases were not removed from {}: {error}", registry.address()));
    }
    match gc::look(store, Scope::Dropped).and_then(|garbage| gc::collect(store, &garbage)) {
        // Another product is on trial; what is left goes with its confirmation.
        Ok(()) | Err(GcError::Unconfirmed { .. }) => {}
        Err(error) => troubles.push(format!("an older release was not removed from the store: {error}")),
    }
    match finished {
        Finished::Installed(mut installed) => {
            installed.warnings.extend(troubles);
            Finished::Installed(installed)
        }
        other => other,
    }
}

/// A receipt's draft with everything a run knows.
pub(super) fn draft(
    run: &Run<'_>,
    outcome: Outcome,
    handoff: &'static str,
    changes: &ChangeSet,
    health: &HealthReport,
) -> Draft {
    let mut draft = Draft::new(run.domain.clone(), Action::Activate, outcome, handoff);
    draft.release = Some(release_of(&run.product.product, &run.release));
    draft.phases = run.steps.phases();
    draft.objects = objects_of(changes);
    draft.health = health_of(health);
    draft.bytes = run.bytes.clone();
    draft.warnings = run.told();
    draft.kept = kept_of(changes);
    draft
}
