//! The order of an apply: open the inventory, check everything, then write stage by stage, prune, close the inventory.

use std::collections::BTreeSet;
use std::time::Duration;

use super::api_table::ApiTable;
use super::applyset::{self, Scope};
use super::inventory::{self, Inventory, Kept};
use super::members::{self, Member, Members};
use super::preflight::{self, Check, Verdict};
use super::secrets::{self, Secrets};
use super::stage::Stage;
use super::verbs::How;
use super::wait::Wait;
use super::{ApplyError, Cluster, Direct, MANAGER, SERVED_WITHIN};
use crate::handoff::{Action, ChangeSet, Desired, Event, GroupKind, HealthReport, ObjectKey, OnEvent, Plan, Policy};

/// What is known before the first write.
struct Prepared<'a> {
    api: ApiTable,
    set_id: String,
    members: Members,
    verdicts: Vec<Verdict>,
    cluster: &'a Cluster,
}

async fn prepare<'a>(
    direct: &'a Direct,
    desired: &Desired,
    policy: &Policy,
    on: &mut OnEvent<'_>,
) -> Result<Prepared<'a>, ApplyError> {
    let cluster = &direct.cluster;
    let api = ApiTable::discover(cluster).await?;
    let set_id = applyset::id(&applyset::parent_key(&desired.product));
    let members = members::read(desired, &api, &set_id)?;
    Secrets { cluster, api: &api, desired, members: &members }.check().await?;
    let absent = absent_namespaces(cluster, &api, desired, &members).await?;
    let check = Check { cluster, api: &api, set_id: &set_id, policy };
    let verdicts = check.all(&members.list, &absent, on).await?;
    Ok(Prepared { api, set_id, members, verdicts, cluster })
}

/// Namespaces that members name and that are not there. One that the release does not bring is an error now, not later.
async fn absent_namespaces(
    cluster: &Cluster,
    api: &ApiTable,
    desired: &Desired,
    members: &Members,
) -> Result<BTreeSet<String>, ApplyError> {
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
        if !brought.contains(name.as_str())
            && desired.namespace.as_ref() != Some(&name)
            && name != applyset::PARENT_NAMESPACE
        {
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
    on: &mut OnEvent<'_>,
) -> Result<Plan, ApplyError> {
    let prepared = prepare(direct, desired, policy, on).await?;
    let inventory = Inventory::open(prepared.cluster, &prepared.api, &desired.product, &desired.tooling).await?;
    let mut plan = Plan::default();
    let mut uids = BTreeSet::new();
    for (member, verdict) in prepared.members.list.iter().zip(&prepared.verdicts) {
        let action = match verdict {
            Verdict::Create | Verdict::Predicted => Action::Created,
            Verdict::Configure { .. } => Action::Configured,
            Verdict::Unchanged { uid } => {
                uids.insert(uid.clone());
                Action::Unchanged
            }
        };
        if *verdict == Verdict::Predicted {
            plan.predicted.push(member.key.clone());
        }
        plan.changes.push(member.key.clone(), action, None);
    }
    for (key, reason) in prepared.members.skipped {
        plan.changes.push(key, Action::Skipped, Some(reason));
    }
    let keys = prepared.members.list.iter().map(|one| one.key.clone()).collect();
    let kept = Kept { uids: &uids, keys: &keys, allow: &policy.allow_prune };
    for leftover in inventory.leftovers(&prepared.api, &kept).await? {
        let action = if leftover.kept.is_some() { Action::Skipped } else { Action::Deleted };
        plan.changes.push(leftover.key, action, leftover.kept);
    }
    Ok(plan)
}

/// Makes the cluster hold the desired state. `changes` says what was done, also after an error.
pub(super) async fn apply(
    direct: &Direct,
    desired: &Desired,
    policy: &Policy,
    changes: &mut ChangeSet,
    on: &mut OnEvent<'_>,
) -> Result<(), ApplyError> {
    let cluster = &direct.cluster;
    let prepared = prepare(direct, desired, policy, on).await?;
    let scope = Scope::of(&prepared.members.list);
    let opening_api = prepared.api.clone();
    let mut inventory = Inventory::open(cluster, &opening_api, &desired.product, &desired.tooling).await?;

    inventory::ensure_home(cluster, &prepared.api).await?;
    inventory.write(&inventory.before.union(&scope)).await?;
    for (key, reason) in &prepared.members.skipped {
        changes.push(key.clone(), Action::Skipped, Some(reason.clone()));
    }
    let mut work = Work { direct, desired, policy, prepared, uids: BTreeSet::new(), secrets_made: false };
    work.namespace(changes, on).await?;
    work.stages(changes, on).await?;

    let Work { prepared, uids, .. } = work;
    let keys = prepared.members.list.iter().map(|one| one.key.clone()).collect();
    let kept = Kept { uids: &uids, keys: &keys, allow: &policy.allow_prune };
    let leftovers = inventory.leftovers(&prepared.api, &kept).await?;
    inventory.prune(&prepared.api, leftovers, changes, on).await?;
    inventory.write(&scope).await
}

/// Waits for the objects of a release to become healthy.
pub(super) async fn await_healthy(
    direct: &Direct,
    desired: &Desired,
    timeout: Duration,
    on: &mut OnEvent<'_>,
) -> Result<HealthReport, ApplyError> {
    let api = ApiTable::discover(&direct.cluster).await?;
    let set_id = applyset::id(&applyset::parent_key(&desired.product));
    let members = members::read(desired, &api, &set_id)?;
    Wait { cluster: &direct.cluster, api: &api }.until_healthy(&members.list, timeout, on).await
}

/// An apply under way.
struct Work<'a> {
    direct: &'a Direct,
    desired: &'a Desired,
    policy: &'a Policy,
    prepared: Prepared<'a>,
    uids: BTreeSet<String>,
    secrets_made: bool,
}

impl Work<'_> {
    /// Makes the release's namespace where neither the cluster nor the release has it, and something lives in it.
    async fn namespace(&self, changes: &mut ChangeSet, on: &mut OnEvent<'_>) -> Result<(), ApplyError> {
        let Some(name) = &self.desired.namespace else { return Ok(()) };
        let members = &self.prepared.members;
        let used = members.list.iter().any(|one| one.key.namespace == *name)
            || self.desired.secrets.iter().any(|rule| rule.namespace == *name);
        if used
            && !members.namespaces().contains(name.as_str())
            && inventory::ensure_namespace(self.prepared.cluster, &self.prepared.api, name).await?
        {
            let key = ObjectKey::new(GroupKind::new("", "Namespace"), "", name.clone());
            on(Event::Object(changes.push(key, Action::Created, Some("the release's namespace".to_owned())).clone()));
        }
        Ok(())
    }

    async fn stages(&mut self, changes: &mut ChangeSet, on: &mut OnEvent<'_>) -> Result<(), ApplyError> {
        let sizes: Vec<usize> = self.prepared.members.batches().map(<[Member]>::len).collect();
        let mut start = 0;
        for size in sizes {
            let range = start..start + size;
            start = range.end;
            let position = self.prepared.members.list[range.start].position;
            if position.stage > Stage::Definitions {
                self.make_secrets(changes, on).await?;
            }
            on(Event::Stage { name: position.stage.name(), wave: position.wave, objects: size });
            let wrote = self.batch(range.clone(), changes, on).await?;
            let next = self.prepared.members.list.get(range.end).map(|member| member.position);
            if position.stage == Stage::Definitions {
                self.gate(range, wrote, on).await?;
            } else if let (Some(timeout), Some(next)) = (self.policy.wave_timeout, next)
                && next.stage == position.stage
            {
                self.wave(range, timeout, on).await?;
            }
        }
        self.make_secrets(changes, on).await
    }

    /// Generated Secrets stand before the first workload, and after the namespaces that they live in.
    async fn make_secrets(&mut self, changes: &mut ChangeSet, on: &mut OnEvent<'_>) -> Result<(), ApplyError> {
        if !std::mem::replace(&mut self.secrets_made, true) {
            let secrets = Secrets {
                cluster: self.prepared.cluster,
                api: &self.prepared.api,
                desired: self.desired,
                members: &self.prepared.members,
            };
            secrets.generate(&self.direct.random, changes, on).await?;
        }
        Ok(())
    }

    /// Applies one batch: first everything that could not be asked about before is asked, then all is written.
    async fn batch(
        &mut self,
        range: std::ops::Range<usize>,
        changes: &mut ChangeSet,
        on: &mut OnEvent<'_>,
    ) -> Result<bool, ApplyError> {
        self.ask_predicted(range.clone()).await?;
        let mut wrote = false;
        for index in range {
            let member = &self.prepared.members.list[index];
            let (action, uid) = match &self.prepared.verdicts[index] {
                Verdict::Unchanged { uid } => (Action::Unchanged, uid.clone()),
                Verdict::Create | Verdict::Predicted => (Action::Created, self.write(member, None).await?),
                Verdict::Configure { adopted } => (Action::Configured, self.write(member, adopted.as_ref()).await?),
            };
            wrote |= action != Action::Unchanged;
            self.uids.insert(uid);
            on(Event::Object(changes.push(member.key.clone(), action, None).clone()));
        }
        Ok(wrote)
    }

    async fn ask_predicted(&mut self, range: std::ops::Range<usize>) -> Result<(), ApplyError> {
        let Prepared { api, set_id, members, verdicts, cluster } = &mut self.prepared;
        let check = Check { cluster, api, set_id, policy: self.policy };
        for index in range.filter(|index| verdicts[*index] == Verdict::Predicted).collect::<Vec<_>>() {
            let member = &members.list[index];
            let Some(served) = api.get(&member.api_version, &member.key.kind.kind) else { continue };
            verdicts[index] =
                check.ask(served, member).await.map_err(|objection| preflight::into_error(cluster, objection))?;
        }
        Ok(())
    }

    async fn write(&self, member: &Member, adopted: Option<&serde_json::Value>) -> Result<String, ApplyError> {
        let cluster = self.prepared.cluster;
        let Some(served) = self.prepared.api.get(&member.api_version, &member.key.kind.kind) else {
            return Err(ApplyError::NotServed {
                key: member.key.clone(),
                reason: "the cluster does not know its kind".to_owned(),
            });
        };
        let refused = |error| preflight::into_error(cluster, preflight::objection(&member.key, error));
        let how = How { manager: MANAGER, force: self.policy.force_conflicts || adopted.is_some(), dry_run: false };
        let live = cluster.apply(served, &member.key, &member.object, how).await.map_err(refused)?;
        if let Some(marks) = adopted.filter(|marks| !marks.is_null()) {
            cluster.merge(served, &member.key, marks, MANAGER).await.map_err(refused)?;
        }
        Ok(preflight::uid(&live))
    }

    /// What was applied must be served before anything names it: Established and NamesAccepted, then the API anew.
    async fn gate(
        &mut self,
        range: std::ops::Range<usize>,
        wrote: bool,
        on: &mut OnEvent<'_>,
    ) -> Result<(), ApplyError> {
        let batch = &self.prepared.members.list[range];
        let wait = Wait { cluster: self.prepared.cluster, api: &self.prepared.api };
        let report = wait.until_healthy(batch, SERVED_WITHIN, on).await?;
        if let Some(first) = report.unhealthy.into_iter().next() {
            return Err(ApplyError::NotServed { key: first.key, reason: first.reason });
        }
        let kinds = members::definitions(batch.iter().map(|member| &member.object));
        if wrote && !kinds.is_empty() {
            self.rediscover(kinds.into_keys().collect()).await?;
        }
        Ok(())
    }

    /// Established says that the API will come; discovery shows it a moment later.
    async fn rediscover(&mut self, kinds: Vec<(String, String)>) -> Result<(), ApplyError> {
        let deadline = tokio::time::Instant::now() + SERVED_WITHIN;
        loop {
            let api = ApiTable::discover(self.prepared.cluster).await?;
            let Some((version, kind)) = kinds.iter().find(|(version, kind)| api.get(version, kind).is_none()) else {
                self.prepared.api = api;
                return Ok(());
            };
            if tokio::time::Instant::now() >= deadline {
                let key = ObjectKey::new(GroupKind::new(version.split('/').next().unwrap_or_default(), kind), "", "*");
                let reason = "its definition is established and its API does not appear".to_owned();
                return Err(ApplyError::NotServed { key, reason });
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    async fn wave(
        &self,
        range: std::ops::Range<usize>,
        timeout: Duration,
        on: &mut OnEvent<'_>,
    ) -> Result<(), ApplyError> {
        let wait = Wait { cluster: self.prepared.cluster, api: &self.prepared.api };
        let report = wait.until_healthy(&self.prepared.members.list[range], timeout, on).await?;
        if report.is_healthy() { Ok(()) } else { Err(ApplyError::Unhealthy { report }) }
    }
}
