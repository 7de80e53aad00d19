//! One look at everything that is installed: does the cluster still hold what the confirmed releases say?
//!
//! What differs is told, or the release is applied again, in the way of a rollback: hooks do not run, nothing that holds
//! state goes, and nobody is asked whether it may go on. Fields that others took are ours again then.

use std::time::Duration;

use consign_format::Name;
use consign_format::error::{Code, Coded, Failure, codes};
use serde::Serialize;

use crate::apply::Direct;
use crate::clock::Clocks;
use crate::config::DriftMode;
use crate::desired::{of_store, policy};
use crate::gates::Gates;
use crate::handoff::{ChangeSet, Desired, Handoff, ObjectDiff, ObjectKey, Plan, Policy, Stopped, Unhealthy};
use crate::site::Site;
use crate::store::journal::{Entry, Journal, Mark};
use crate::store::products::{ProductState, ReleaseRef};

/// The step's name in the journal.
const STEP: &str = "drift";

/// One product that was looked at.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Looked {
    /// The domain.
    pub domain: Name,
    /// The product.
    pub product: Name,
    /// The version that is installed and confirmed.
    pub version: String,
    /// Objects that are gone, differ, or are there although the release does not hold them.
    pub drifted: ChangeSet,
    /// What differs inside objects.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<ObjectDiff>,
    /// Whether the release was applied again.
    pub corrected: bool,
    /// The gate that kept it from being applied again, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waits: Option<String>,
}

/// What was found and cannot be left unsaid.
#[derive(Debug, thiserror::Error)]
pub enum DriftError {
    /// Somebody changed what was installed, and the site only reports that.
    #[error("{} of what is installed differ from it: {}", count(.objects.len()), .objects.join("; "))]
    Drifted {
        /// `PRODUCT: Kind ns/name`, and what about it.
        objects: Vec<String>,
    },
    /// It was corrected and is not healthy.
    #[error("{product} was corrected and is not healthy: {}", .unhealthy.iter().map(told).collect::<Vec<_>>().join("; "))]
    Unhealthy {
        /// The product.
        product: Name,
        /// What is not.
        unhealthy: Vec<Unhealthy>,
    },
}

fn count(objects: usize) -> String {
    if objects == 1 { "1 object".to_owned() } else { format!("{objects} objects") }
}

fn told(one: &Unhealthy) -> String {
    format!("{}: {}", one.key, one.reason)
}

impl Coded for DriftError {
    fn code(&self) -> Code {
        match self {
            DriftError::Drifted { .. } => codes::DRIFTED,
            DriftError::Unhealthy { .. } => codes::UNHEALTHY,
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            DriftError::Drifted { .. } => {
                "find out who changed them; `consign-site run --once --mode correct` makes them what was installed"
            }
            DriftError::Unhealthy { .. } => "look at the cluster",
        };
        Some(hint.to_owned())
    }
}

/// Looks at every confirmed product. The site must be open for changes: nobody installs meanwhile.
pub async fn look(
    site: &Site,
    direct: &Direct,
    mode: DriftMode,
    (clocks, gates): (&Clocks, &Gates),
    looked: &mut Vec<Looked>,
) -> Result<(), Failure> {
    if mode == DriftMode::Ignore {
        return Ok(());
    }
    let mut trouble = None;
    for product in site.store.products()? {
        let Some(release) = product.confirmed().cloned() else { continue };
        // One product that cannot be looked at does not hide the others.
        match one(site, direct, mode, (clocks, gates), (&product, &release)).await {
            Ok(found) => looked.push(found),
            Err(failure) => trouble = trouble.or(Some(failure)),
        }
    }
    let left = looked.iter().filter(|one| !one.corrected);
    let objects: Vec<String> =
        left.flat_map(|one| one.drifted.entries.iter().map(move |entry| format!("{}: {entry}", one.product))).collect();
    match trouble {
        Some(failure) => Err(failure),
        None if objects.is_empty() => Ok(()),
        None => Err(DriftError::Drifted { objects }.into()),
    }
}

async fn one(
    site: &Site,
    direct: &Direct,
    mode: DriftMode,
    (clocks, gates): (&Clocks, &Gates),
    (product, release): (&ProductState, &ReleaseRef),
) -> Result<Looked, Failure> {
    let (manifest, mut desired) = of_store(site, &product.domain, &release.digest)?;
    // Whoever changed a field holds it now; it is ours all the same.
    let policy =
        Policy { force_conflicts: true, allow_prune: Vec::new(), wave_timeout: None, ..policy(&manifest, &site.apply) };
    let plan = direct.drift(&desired, &policy).await?;
    let drifted = passing_jobs_apart(&mut desired, plan.changes.clone());
    let mut found = Looked {
        domain: product.domain.clone(),
        product: product.product.clone(),
        version: release.version.clone(),
        fields: fields_of(plan, &drifted),
        drifted,
        corrected: false,
        waits: None,
    };
    if found.drifted.entries.is_empty() {
        return Ok(found);
    }
    let mut journal = Journal::open(&site.store)?;
    let mut write = |mark, note: Option<String>| {
        let (product, release) = (product.product.clone(), release.digest);
        journal.write(&Entry { at: clocks.now(), step: STEP.to_owned(), mark, product, release, note })
    };
    let note = found.drifted.entries.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
    if mode == DriftMode::Report {
        write(Mark::Failed, Some(note))?;
        return Ok(found);
    }
    // What is in use is not disturbed, and what is held is not touched: then it is only told.
    let floor = site.domains.get(&product.domain).map_or(0, |state| state.time_floor);
    if let Err(closed) = gates.check(&product.product, clocks.now(), floor, false).await {
        write(Mark::Failed, Some(format!("not corrected: {closed}; {note}")))?;
        found.waits = Some(closed.to_string());
        return Ok(found);
    }
    write(Mark::Begin, Some(note))?;
    let timeout = Duration::from_secs(manifest.rollout.health_timeout);
    match direct.rollback(&desired, &policy, timeout, &mut |_| {}).await {
        Err(Stopped { failure, .. }) => {
            write(Mark::Failed, Some(failure.to_string()))?;
            Err(failure)
        }
        Ok(done) => {
            write(Mark::End, Some(done.changes.counts().to_string()))?;
            found.corrected = true;
            let unhealthy = done.health.unhealthy;
            let product = found.product.clone();
            if unhealthy.is_empty() { Ok(found) } else { Err(DriftError::Unhealthy { product, unhealthy }.into()) }
        }
    }
}

/// What drifted: hooks are skipped, and a Job that clears itself away after it is done is not missed; nor made again.
fn passing_jobs_apart(desired: &mut Desired, changes: ChangeSet) -> ChangeSet {
    use crate::handoff::Action;
    let namespace = desired.namespace.clone().unwrap_or_default();
    let is_passing = |key: &ObjectKey| {
        key.kind.is("batch", "Job")
            && desired.objects.iter().any(|object| {
                ObjectKey::of(object).is_some_and(|mut one| {
                    if one.namespace.is_empty() {
                        one.namespace.clone_from(&namespace);
                    }
                    one == *key
                }) && object["spec"]["ttlSecondsAfterFinished"].is_u64()
            })
    };
    let (mut gone, mut drifted) = (Vec::new(), ChangeSet::default());
    for entry in changes.entries {
        match entry.action {
            Action::Unchanged | Action::Skipped => {}
            Action::Created if is_passing(&entry.key) => gone.push(entry.key),
            _ => drifted.entries.push(entry),
        }
    }
    desired.objects.retain(|object| {
        ObjectKey::of(object).is_none_or(|mut key| {
            if key.namespace.is_empty() {
                key.namespace.clone_from(&namespace);
            }
            !gone.contains(&key)
        })
    });
    drifted
}

fn fields_of(plan: Plan, drifted: &ChangeSet) -> Vec<ObjectDiff> {
    plan.fields.into_iter().filter(|diff| drifted.entries.iter().any(|entry| entry.key == diff.key)).collect()
}
