//! The order of an apply: open the inventory, check everything, then write stage by stage, prune, close the inventory.

use std::collections::BTreeSet;
use std::time::Duration;

use consign_format::error::Failure;
use tokio::time::Instant;

use super::api_table::ApiTable;
use super::applyset::{self, Scope};
use super::fitness::Fitness;
use super::hook_ends::Ran;
use super::inventory::{self, Inventory, Kept};
use super::members::{self, Member, Members};
use super::preflight::{Check, Verdict};
use super::running::Running;
use super::scaling;
use super::secrets::{self, Secrets};
use super::stages::Work;
use super::wait::Wait;
use super::{ApplyError, Cluster, Direct, Direction, Order, downtime, permissions, pod_trial, tenant};
use crate::handoff::{Action, ChangeSet, Desired, GroupKind, HealthReport, ObjectKey, OnEvent, Plan, Policy, Stopped};

/// What is said of a hook that is gone because it asked for that.
pub(super) const RAN_BEFORE: &str = "it ran before and was deleted, as it asks";

/// What is known before the first write.
pub(super) struct Prepared<'a> {
    pub(super) api: ApiTable,
    pub(super) set_id: String,
    /// In the order of work.
    pub(super) members: Members,
    /// What the server said, in the order of the members.
    pub(super) verdicts: Vec<Verdict>,
    /// What an autoscaler of the release scales.
    pub(super) scaled: BTreeSet<ObjectKey>,
    /// Hooks that ran and are gone.
    pub(super) ran: Ran,
    pub(super) direction: Direction,
    pub(super) cluster: &'a Cluster,
}

async fn prepare<'a>(
    direct: &'a Direct,
    desired: &Desired,
    policy: &Policy,
    direction: Direction,
    on: &mut OnEvent<'_>,
) -> Result<Prepared<'a>, ApplyError> {
    let cluster = &direct.cluster;
    let api = ApiTable::discover(cluster).await?;
    let set_id = applyset::id(&applyset::parent_key(cluster.home(), &desired.product));
    let mut members = members::read(desired, &api, &set_id)?;
    tenant::confine(cluster, desired, &mut members)?;
    let is_forward = direction == Direction::Forward;
    if is_forward {
        permissions::check(cluster, &api, &members.list, on).await?;
        Fitness { cluster, api: &api, needs: &desired.needs, members: &members.list }.check(on).await?;
    }
    Secrets { cluster, api: &api, desired, members: &members }.check().await?;
    let absent = absent_namespaces(cluster, &api, desired, &members).await?;
    let scaled = scaling::targets(&members.list);
    let ran = Ran::read(cluster, &api, &desired.product, &members.list).await?;
    let check = Check { cluster, api: &api, set_id: &set_id, policy, scaled: &scaled, ran: &ran, direction };
    let verdicts = check.all(&members.list, &absent, on).await?;
    if is_forward {
        pod_trial::check(cluster, &members.list, &verdicts, &absent, on).await?;
        interruptions(policy, &members.list, &verdicts)?;
    }
    Ok(Prepared { api, set_id, members, verdicts, scaled, ran, direction, cluster })
}

fn interruptions(policy: &Policy, members: &[Member], verdicts: &[Verdict]) -> Result<(), ApplyError> {
    let objects = if policy.require_zero_downtime { downtime::lacking(members, verdicts) } else { Vec::new() };
    if objects.is_empty() { Ok(()) } else { Err(ApplyError::Downtime { objects }) }
}

/// Namespaces that members name and that are not there. One that the release does not bring is an error now, not later.
async fn absent_namespaces(
    cluster: &Cluster,
    api: &ApiTable,
    desired: &Desired,
    members: &Members,
) -> Result<BTreeSet<String>, ApplyError> {
    if cluster.is_tenant() {
        // Its one namespace; whether that is there, the server says when it is asked about the objects.
        return Ok(BTreeSet::new());
    }
    let mut named: BTreeSet<String> =
        members.list.iter().map(|one| one.key.namespace.clone()).filter(|name| !name.is_empty()).collect();
    for rule in &desired.secrets {
        named.insert(secrets::key(rule).namespace);
    }
    let brought = members.namespaces();
    let kind = inventory::served(api, "Namespace")?;
    let mut absent = BTreeSet::new();
    let mut unknown = Vec::new();
    for name in named {
        let key = ObjectKey::new(GroupKind::new("", "Namespace"), "", name.clone());
        if cluster.get(kind, &key).await.map_err(|error| cluster.failed(error))?.is_some() {
            continue;
        }
        if !brought.contains(name.as_str()) && desired.namespace.as_ref() != Some(&name) && name != cluster.home() {
            unknown.push(super::error::Refusal {
                key,
                reason: "it does not exist and the release does not bring it".to_owned(),
            });
        }
        absent.insert(name);
    }
    if unknown.is_empty() { Ok(absent) } else { Err(ApplyError::Refused { refusals: unknown }) }
}

/// Says what [`apply`] would do. Writes nothing.
pub(super) async fn plan(
    direct: &Direct,
    desired: &Desired,
    policy: &Policy,
    direction: Direction,
    on: &mut OnEvent<'_>,
) -> Result<Plan, ApplyError> {
    let prepared = prepare(direct, desired, policy, direction, on).await?;
    let inventory = Inventory::open(prepared.cluster, &prepared.api, &desired.product, &desired.tooling).await?;
    let mut plan = Plan::default();
    let mut uids = BTreeSet::new();
    for (member, verdict) in prepared.members.list.iter().zip(&prepared.verdicts) {
        let (action, note) = match verdict {
            Verdict::Create | Verdict::Predicted => (Action::Created, None),
            Verdict::Configure(change) => {
                plan.fields.push(change.diff.clone());
                (Action::Configured, change.note())
            }
            Verdict::Rerun { .. } => (Action::Configured, Some("a hook that runs again".to_owned())),
            Verdict::Recreate { why, .. } => (Action::Recreated, Some(why.clone())),
            Verdict::Ran => (Action::Unchanged, Some(RAN_BEFORE.to_owned())),
            Verdict::LeftAlone => (Action::Skipped, None),
            Verdict::Unchanged { uid } => {
                uids.insert(uid.clone());
                (Action::Unchanged, None)
            }
        };
        if *verdict == Verdict::Predicted {
            plan.predicted.push(member.key.clone());
        }
        plan.changes.push(member.key.clone(), action, note);
    }
    for (key, reason) in prepared.members.skipped {
        plan.changes.push(key, Action::Skipped, Some(reason));
    }
    let keys = prepared.members.list.iter().map(|one| one.key.clone()).collect();
    let kept = Kept { uids: &uids, keys: &keys, allow: &policy.allow_prune, direction };
    for leftover in inventory.leftovers(&prepared.api, &kept).await? {
        let action = if leftover.kept.is_some() { Action::Skipped } else { Action::Deleted };
        plan.changes.push(leftover.key, action, leftover.kept);
    }
    Ok(plan)
}

/// Makes the cluster hold the desired state.
pub(super) async fn apply(direct: &Direct, order: &Order<'_>, on: &mut OnEvent<'_>) -> Result<ChangeSet, Stopped> {
    let mut changes = ChangeSet::default();
    let Order { desired, policy, direction, .. } = *order;
    let prepared = match prepare(direct, desired, policy, direction, on).await {
        Ok(prepared) => prepared,
        Err(error) => return Err(Stopped { failure: error.into(), changes }),
    };
    let work = Work { direct, order: *order, prepared, uids: BTreeSet::new(), secrets_made: false };
    match write(work, &mut changes, on).await {
        Ok(()) => Ok(changes),
        Err(failure) => Err(Stopped { failure, changes }),
    }
}

/// Everything after the first write. `changes` says what was done, also after an error.
async fn write(mut work: Work<'_>, changes: &mut ChangeSet, on: &mut OnEvent<'_>) -> Result<(), Failure> {
    let Order { desired, policy, direction, go } = work.order;
    let cluster = work.prepared.cluster;
    let scope = Scope::of(&work.prepared.members.list);
    let opening_api = work.prepared.api.clone();
    let mut inventory = Inventory::open(cluster, &opening_api, &desired.product, &desired.tooling).await?;
    inventory::ensure_home(cluster, &opening_api).await?;
    inventory.write(&inventory.before.union(&scope)).await?;
    for (key, reason) in &work.prepared.members.skipped {
        changes.push(key.clone(), Action::Skipped, Some(reason.clone()));
    }
    work.namespace(changes, on).await?;
    work.stages(changes, on).await?;

    let Work { prepared, uids, .. } = work;
    let keys = prepared.members.list.iter().map(|one| one.key.clone()).collect();
    let kept = Kept { uids: &uids, keys: &keys, allow: &policy.allow_prune, direction };
    let leftovers = inventory.leftovers(&prepared.api, &kept).await?;
    if !leftovers.is_empty() {
        go.may_go_on().await?;
    }
    inventory.prune(&prepared.api, leftovers, changes, on).await?;
    Ok(inventory.write(&scope).await?)
}

/// Waits for the objects of a release to become healthy.
pub(super) async fn await_healthy(
    direct: &Direct,
    desired: &Desired,
    timeout: Duration,
    direction: Direction,
    on: &mut OnEvent<'_>,
) -> Result<HealthReport, ApplyError> {
    let deadline = Instant::now() + timeout;
    let api = ApiTable::discover(&direct.cluster).await?;
    let set_id = applyset::id(&applyset::parent_key(direct.cluster.home(), &desired.product));
    let mut members = members::read(desired, &api, &set_id)?;
    tenant::confine(&direct.cluster, desired, &mut members)?;
    let ran = Ran::read(&direct.cluster, &api, &desired.product, &members.list).await?;
    members.list.retain(|member| !member.is_hook || (direction == Direction::Forward && !ran.has(member)));
    let mut report = Wait { cluster: &direct.cluster, api: &api }.until_healthy(&members.list, timeout, on).await?;
    // What went back ran before, whatever it was.
    if report.is_healthy() && direction == Direction::Forward {
        let running = Running { cluster: &direct.cluster, api: &api };
        report.unhealthy = running.exchanged(&members.list, deadline, on).await?;
    }
    Ok(report)
}
