//! Activation: plan, apply, wait for health, receipt, confirm. What is not healthy goes to `failing`.

use std::time::Duration;

use consign_format::error::{Failure, codes};
use consign_format::receipt::{Action, Outcome};

use super::failing::{Trouble, fail};
use super::placing;
use super::run::Run;
use super::telling::teller;
use super::{Finished, Installed};
use crate::desired::policy;
use crate::handoff::{ChangeSet, Desired, Handoff, HealthReport, Stopped};
use crate::receipts::{Draft, health_of, issue, kept_of, objects_of, release_of};
use crate::site::Counter;

/// Brings the staged release to run.
pub(super) async fn activate<H: Handoff>(
    run: &mut Run<'_>,
    handoff: &H,
    desired: &Desired,
) -> Result<Finished, Failure> {
    let policy = policy(&run.vouched.release);
    let mut tell = teller(run.progress);
    // Refuses before the first write; the current release stays what it is, the new one stays staged.
    handoff.plan(desired, &policy, &mut tell).await?;
    let files = placing::plan(run)?;
    let before = run.product.clone();
    let already_current = before.confirmed().is_some_and(|release| release.digest == run.release.digest);
    run.product.activate();
    run.write_product()?;
    // First, so that what a node runs is there when the cluster asks for it.
    placing::place(run, files, &before)?;
    run.steps.begin("apply")?;
    let changes = match handoff.apply(desired, &policy, &mut tell).await {
        Ok(changes) => changes,
        Err(Stopped { failure, changes }) => {
            run.steps.failed(&failure.to_string())?;
            if changes.is_unchanged() {
                return Err(placing::take_back(run, &before, failure));
            }
            return stopped(run, handoff, already_current, failure, changes).await;
        }
    };
    run.steps.end()?;
    run.steps.begin("health")?;
    let timeout = Duration::from_secs(run.vouched.release.rollout.health_timeout);
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
    settle(run, handoff.name(), changes, health, already_current)
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
    let away = [codes::CLUSTER_UNREACHABLE, codes::CLUSTER_FORBIDDEN];
    let reasons = vec![failure.to_string()];
    if away.contains(&failure.code()) {
        let mut draft = draft(run, Outcome::Failed, handoff.name(), &changes, &HealthReport::default());
        draft.reasons = reasons;
        issue(run.site, draft, run.clocks)?;
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
    run.steps.begin("confirm")?;
    let draft = draft(run, Outcome::Applied, handoff, &changes, &health);
    let receipt = issue(run.site, draft, run.clocks)?;
    run.product.confirm();
    run.write_product()?;
    let counter = Counter { sequence: run.release.sequence, release: run.release.digest };
    run.site.commit_applied(&run.domain, &run.product.product, counter)?;
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
        loaded: run.loaded,
        changes,
        files: run.files.clone(),
        health,
        warnings: run.warnings.clone(),
        receipt: receipt.receipt.n,
    }))
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
    draft.bytes.read = run.loaded.read;
    draft.bytes.written = run.loaded.written;
    draft.warnings = run.warnings.clone();
    draft.kept = kept_of(changes);
    draft
}
