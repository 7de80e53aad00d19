//! A release that did not become healthy: back to the one before, or halt, as the release's policy says.
//!
//! Going back needs nothing but what is here: the previous release is complete in the store until the next one is
//! confirmed. What failed is remembered, so that it is not tried again unasked (DESIGN §1.7).

use std::time::Duration;

use consign_format::Name;
use consign_format::error::{Code, Coded, Failure, codes};
use consign_format::receipt::{Action, Outcome};
use consign_format::release::OnFailure;

use super::activate::{AWAY, draft};
use super::placing::bring_back;
use super::run::Run;
use super::telling::teller;
use crate::desired::{nothing, of_store, policy};
use crate::handoff::{ChangeSet, Desired, Handoff, HealthReport, RolledBack, Stopped};
use crate::receipts::{issue, release_of};
use crate::store::products::{ReleaseRef, Returning};

/// What went wrong.
pub(super) struct Trouble {
    pub(super) reasons: Vec<String>,
    pub(super) changes: ChangeSet,
    pub(super) health: HealthReport,
    /// The release was current and confirmed before this run: there is nothing to go back from.
    pub(super) already_current: bool,
}

/// The end of a release that did not become healthy. Exit 22.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unsettled {
    /// The release before runs again.
    #[error("{product} {version} did not become healthy and was rolled back, {} runs again: {}", back(.to), .reasons.join("; "))]
    RolledBack {
        /// The product.
        product: Name,
        /// The version that failed.
        version: String,
        /// What runs now; `None` where there was no release before.
        to: Option<String>,
        /// Why it failed.
        reasons: Vec<String>,
    },
    /// Everything was left as it is.
    #[error("{product} {version} did not become healthy and was halted, everything is left as it is: {}", .reasons.join("; "))]
    Halted {
        /// The product.
        product: Name,
        /// The version that failed.
        version: String,
        /// Why it failed, and why there was no way back.
        reasons: Vec<String>,
    },
    /// Going back failed as well.
    #[error("{product} {version} did not become healthy and could not be rolled back: {}", .reasons.join("; "))]
    Stuck {
        /// The product.
        product: Name,
        /// The version that failed.
        version: String,
        /// Why, both times.
        reasons: Vec<String>,
    },
}

fn back(to: &Option<String>) -> String {
    to.as_ref().map_or("nothing".to_owned(), |version| format!("version {version}"))
}

impl Coded for Unsettled {
    fn code(&self) -> Code {
        codes::UNHEALTHY
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            Unsettled::RolledBack { .. } => {
                "it is not tried again unasked; mend what is wrong at the site and use --retry, or bring a newer release"
            }
            Unsettled::Halted { .. } => "mend what is wrong and use --retry, or bring a newer release",
            Unsettled::Stuck { .. } => "look at the cluster; run install again with --retry, or bring a newer release",
        };
        Some(hint.to_owned())
    }
}

/// Does what the release's policy says and returns what to tell.
pub(super) async fn fail<H: Handoff>(run: &mut Run<'_>, handoff: &H, trouble: Trouble) -> Failure {
    match going_back(run, &trouble) {
        Ok(_) => {
            let returning = Returning { reasons: trouble.reasons, by_hand: false };
            match go_back(run, handoff, returning, &trouble.health).await {
                Ok(Returned::Back(unsettled) | Returned::Stuck(unsettled)) => unsettled.into(),
                Err(failure) => failure,
            }
        }
        Err(why) => halt(run, handoff.name(), trouble, why).map_or_else(|failure| failure, Failure::from),
    }
}

/// What to go back to (`None`: to nothing), or why not to.
fn going_back(run: &Run<'_>, trouble: &Trouble) -> Result<Option<ReleaseRef>, Option<&'static str>> {
    let rollout = &run.manifest.rollout;
    if trouble.already_current {
        return Err(Some("it was the confirmed release before this run: there is nothing to go back from"));
    }
    if rollout.on_failure == OnFailure::Halt {
        return Err(None);
    }
    if rollout.irreversible {
        return Err(Some("the release says that going back would lose data"));
    }
    // TRUST §1: a rollback never goes below the floor.
    let floor = run.site.floor(&run.domain, &run.product.product);
    match &run.product.previous {
        Some(previous) if previous.sequence < floor => Err(Some("the release before is below the root's floor")),
        previous => Ok(previous.clone()),
    }
}

fn halt(run: &mut Run<'_>, handoff: &'static str, trouble: Trouble, why: Option<&str>) -> Result<Unsettled, Failure> {
    let mut reasons = trouble.reasons;
    reasons.extend(why.map(str::to_owned));
    run.record(|run| {
        let mut draft = draft(run, Outcome::Halted, handoff, &trouble.changes, &trouble.health);
        draft.reasons = reasons.clone();
        issue(run.site, draft, run.clocks)
    })?;
    if !trouble.already_current {
        run.product.halt();
        run.record(|run| run.write_product())?;
    }
    run.progress.done();
    Ok(Unsettled::Halted { product: run.product.product.clone(), version: run.release.version.clone(), reasons })
}

/// How going back ended.
pub(super) enum Returned {
    /// The release before runs again.
    Back(Unsettled),
    /// Going back failed as well; everything is left as it is.
    Stuck(Unsettled),
}

/// Takes the current release back, or goes on with that: the release before comes back from the store, what was newly made
/// goes, and the receipt says why. That it is under way is on the disk before anything is touched.
pub(super) async fn go_back<H: Handoff>(
    run: &mut Run<'_>,
    handoff: &H,
    returning: Returning,
    health: &HealthReport,
) -> Result<Returned, Failure> {
    run.steps.begin_end("rollback")?;
    run.product.turn_back(returning.clone());
    run.record(|run| run.write_product())?;
    let previous = run.product.previous.clone();
    // Before anything is applied: what is pulled by tag must be the release before, too.
    if let Some(previous) = &previous
        && let Err(error) = run.move_tags(previous).await
    {
        run.warnings
            .push(format!("tags in the registry could not be moved back: {error}; the next install moves them"));
    }
    let (wanted, timeout) = before(run, previous.as_ref())?;
    let policy = policy(&run.manifest, &run.site.apply);
    let back = match run.record(|run| bring_back(run, previous.as_ref())) {
        Ok(()) => handoff.rollback(&wanted, &policy, timeout, &mut teller(run.progress)).await,
        Err(failure) => Err(Stopped { failure, changes: ChangeSet::default() }),
    };
    match back {
        Ok(back) => settle_back(run, handoff.name(), returning, previous, back),
        Err(stopped) => stuck(run, handoff.name(), returning, stopped, health),
    }
}

fn settle_back(
    run: &mut Run<'_>,
    handoff: &'static str,
    returning: Returning,
    previous: Option<ReleaseRef>,
    back: RolledBack,
) -> Result<Returned, Failure> {
    run.steps.end()?;
    if !back.health.is_healthy() {
        run.warnings.push(format!("what runs again is not healthy: {}", back.health.reasons().join("; ")));
    }
    let Returning { reasons, by_hand } = returning;
    let (product, version) = (run.product.product.clone(), run.release.version.clone());
    run.record(|run| {
        let mut draft = draft(run, Outcome::RolledBack, handoff, &back.changes, &back.health);
        if by_hand {
            (draft.action, draft.outcome) = (Action::Rollback, Outcome::Applied);
        }
        draft.reasons = reasons.clone();
        draft.now_current = previous.as_ref().map(|previous| release_of(&product, previous));
        issue(run.site, draft, run.clocks)
    })?;
    run.product.rollback();
    run.record(|run| run.write_product())?;
    run.progress.done();
    let to = previous.map(|previous| previous.version);
    Ok(Returned::Back(Unsettled::RolledBack { product, version, to, reasons }))
}

fn stuck(
    run: &mut Run<'_>,
    handoff: &'static str,
    returning: Returning,
    stopped: Stopped,
    health: &HealthReport,
) -> Result<Returned, Failure> {
    run.steps.failed(&stopped.failure.to_string())?;
    // Nobody can say how it stands: it is under way still, and running again goes on with it.
    if AWAY.contains(&stopped.failure.code()) {
        return Err(stopped.failure);
    }
    let Returning { mut reasons, by_hand } = returning;
    reasons.push(format!("going back failed: {}", stopped.failure));
    run.record(|run| {
        let mut draft = draft(run, Outcome::Failed, handoff, &stopped.changes, health);
        draft.action = if by_hand { Action::Rollback } else { Action::Activate };
        draft.reasons = reasons.clone();
        issue(run.site, draft, run.clocks)
    })?;
    run.product.halt();
    run.record(|run| run.write_product())?;
    let (product, version) = (run.product.product.clone(), run.release.version.clone());
    Ok(Returned::Stuck(Unsettled::Stuck { product, version, reasons }))
}

/// The desired state of the release before, from the store, and how long it may take to become healthy.
fn before(run: &Run<'_>, previous: Option<&ReleaseRef>) -> Result<(Desired, Duration), Failure> {
    let Some(previous) = previous else {
        let rollout = &run.manifest.rollout;
        return Ok((nothing(&run.manifest), Duration::from_secs(rollout.health_timeout)));
    };
    let (release, desired) = of_store(run.site, &run.domain, &previous.digest)?;
    Ok((desired, Duration::from_secs(release.rollout.health_timeout)))
}
