//! Writes a release stage by stage: each batch asked about, written, and what others need of it waited for.

use std::collections::BTreeSet;
use std::ops::Range;
use std::time::Duration;

use consign_format::error::Failure;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::api_table::{ApiTable, Served};
use super::cluster::CallError;
use super::error::Refusal;
use super::members::{self, Member};
use super::preflight::{self, Check, Verdict};
use super::run::Prepared;
use super::secrets::Secrets;
use super::stage::Stage;
use super::verbs::How;
use super::wait::Wait;
use super::{ApplyError, Direct, MANAGER, Order, SERVED_WITHIN, inventory};
use crate::handoff::{Action, ChangeSet, Event, GroupKind, ObjectKey, OnEvent};

/// Pause between two looks at something that comes or goes by itself.
const PAUSE: Duration = Duration::from_millis(200);

/// An apply under way.
pub(super) struct Work<'a> {
    pub(super) direct: &'a Direct,
    pub(super) order: Order<'a>,
    pub(super) prepared: Prepared<'a>,
    /// The uids of everything that is desired and stands.
    pub(super) uids: BTreeSet<String>,
    pub(super) secrets_made: bool,
}

impl Work<'_> {
    /// Makes the release's namespace where neither the cluster nor the release has it, and something lives in it.
    pub(super) async fn namespace(&self, changes: &mut ChangeSet, on: &mut OnEvent<'_>) -> Result<(), ApplyError> {
        let Some(name) = &self.order.desired.namespace else { return Ok(()) };
        if self.prepared.cluster.is_tenant() {
            return Ok(());
        }
        let members = &self.prepared.members;
        let used = members.list.iter().any(|one| one.key.namespace == *name)
            || self.order.desired.secrets.iter().any(|rule| rule.namespace == *name);
        if used
            && !members.namespaces().contains(name.as_str())
            && inventory::ensure_namespace(self.prepared.cluster, &self.prepared.api, name).await?
        {
            let key = ObjectKey::new(GroupKind::new("", "Namespace"), "", name.clone());
            on(Event::Object(changes.push(key, Action::Created, Some("the release's namespace".to_owned())).clone()));
        }
        Ok(())
    }

    /// Between two batches it asks whether it may go on.
    pub(super) async fn stages(&mut self, changes: &mut ChangeSet, on: &mut OnEvent<'_>) -> Result<(), Failure> {
        let sizes: Vec<usize> = self.prepared.members.batches().map(<[Member]>::len).collect();
        let mut start = 0;
        for size in sizes {
            let range = start..start + size;
            if start > 0 {
                self.order.go.may_go_on().await?;
            }
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
            } else if let (Some(timeout), Some(next)) = (self.order.policy.wave_timeout, next)
                && next.stage == position.stage
            {
                self.wave(range, timeout, on).await?;
            }
        }
        Ok(self.make_secrets(changes, on).await?)
    }

    /// Generated Secrets stand before the first workload, and after the namespaces that they live in.
    async fn make_secrets(&mut self, changes: &mut ChangeSet, on: &mut OnEvent<'_>) -> Result<(), ApplyError> {
        if !std::mem::replace(&mut self.secrets_made, true) {
            let secrets = Secrets {
                cluster: self.prepared.cluster,
                api: &self.prepared.api,
                desired: self.order.desired,
                members: &self.prepared.members,
            };
            secrets.generate(&self.direct.random, changes, on).await?;
        }
        Ok(())
    }

    /// Applies one batch: first everything that could not be asked about before is asked, then all is written.
    async fn batch(
        &mut self,
        range: Range<usize>,
        changes: &mut ChangeSet,
        on: &mut OnEvent<'_>,
    ) -> Result<bool, ApplyError> {
        self.ask_predicted(range.clone()).await?;
        let mut wrote = false;
        for index in range {
            let (action, note) = self.one(index).await?;
            wrote |= matches!(action, Action::Created | Action::Configured);
            let key = self.prepared.members.list[index].key.clone();
            on(Event::Object(changes.push(key, action, note.map(str::to_owned)).clone()));
        }
        Ok(wrote)
    }

    /// Does what the verdict about one member says.
    async fn one(&mut self, index: usize) -> Result<(Action, Option<&'static str>), ApplyError> {
        let member = &self.prepared.members.list[index];
        let (action, note, uid) = match &self.prepared.verdicts[index] {
            Verdict::Unchanged { uid } => (Action::Unchanged, None, uid.clone()),
            Verdict::LeftAlone => return Ok((Action::Skipped, Some("a hook does not run again when going back"))),
            Verdict::Create => (Action::Created, None, self.write(member, &member.object, None).await?),
            Verdict::Predicted => {
                self.gone(member).await?;
                (Action::Created, None, self.write(member, &member.object, None).await?)
            }
            Verdict::Configure { adopted, scaled } => {
                let object = scaled.as_ref().unwrap_or(&member.object);
                (Action::Configured, None, self.write(member, object, adopted.as_ref()).await?)
            }
            Verdict::Rerun { uid } => {
                let deleted = self.prepared.cluster.delete(self.served(member)?, &member.key, uid).await;
                deleted.map_err(|error| self.refused(member, error))?;
                self.gone(member).await?;
                (Action::Configured, Some("a hook that runs again"), self.write(member, &member.object, None).await?)
            }
        };
        self.uids.insert(uid);
        Ok((action, note))
    }

    fn refused(&self, member: &Member, error: CallError) -> ApplyError {
        preflight::into_error(self.prepared.cluster, preflight::objection(&member.key, error))
    }

    async fn ask_predicted(&mut self, range: Range<usize>) -> Result<(), ApplyError> {
        let Prepared { api, set_id, members, verdicts, scaled, direction, cluster } = &mut self.prepared;
        let check = Check { cluster, api, set_id, policy: self.order.policy, scaled, direction: *direction };
        for index in range.filter(|index| verdicts[*index] == Verdict::Predicted).collect::<Vec<_>>() {
            let member = &members.list[index];
            // A bare Pod may wait for a ServiceAccount of this very batch: the write itself asks.
            let Some(served) =
                api.get(&member.api_version, &member.key.kind.kind).filter(|_| !member.key.kind.is("", "Pod"))
            else {
                continue;
            };
            verdicts[index] =
                check.ask(served, member).await.map_err(|objection| preflight::into_error(cluster, objection))?;
        }
        Ok(())
    }

    async fn write(&self, member: &Member, object: &Value, adopted: Option<&Value>) -> Result<String, ApplyError> {
        let cluster = self.prepared.cluster;
        let served = self.served(member)?;
        let refused = |error| self.refused(member, error);
        let how =
            How { manager: MANAGER, force: self.order.policy.force_conflicts || adopted.is_some(), dry_run: false };
        let live = cluster.apply(served, &member.key, object, how).await.map_err(refused)?;
        if let Some(marks) = adopted.filter(|marks| !marks.is_null()) {
            cluster.merge(served, &member.key, marks, MANAGER).await.map_err(refused)?;
        }
        Ok(preflight::uid(&live))
    }

    fn served(&self, member: &Member) -> Result<&Served, ApplyError> {
        self.prepared.api.get(&member.api_version, &member.key.kind.kind).ok_or_else(|| ApplyError::NotServed {
            key: member.key.clone(),
            reason: "the cluster does not know its kind".to_owned(),
        })
    }

    /// Waits until a namesake that is being deleted has gone: what a release brings back may just have been pruned.
    async fn gone(&self, member: &Member) -> Result<(), ApplyError> {
        let served = self.served(member)?;
        let deadline = Instant::now() + SERVED_WITHIN;
        loop {
            let live = self.prepared.cluster.get(served, &member.key).await;
            let live = live.map_err(|error| self.prepared.cluster.failed(error))?;
            if !live.as_ref().is_some_and(preflight::is_leaving) {
                return Ok(());
            }
            if Instant::now() >= deadline {
                let reason = format!("it is being deleted and has not gone within {} s", SERVED_WITHIN.as_secs());
                return Err(ApplyError::Refused { refusals: vec![Refusal { key: member.key.clone(), reason }] });
            }
            sleep(PAUSE).await;
        }
    }

    /// What was applied must be served before anything names it: Established and NamesAccepted, then the API anew.
    async fn gate(&mut self, range: Range<usize>, wrote: bool, on: &mut OnEvent<'_>) -> Result<(), ApplyError> {
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
        let deadline = Instant::now() + SERVED_WITHIN;
        loop {
            let api = ApiTable::discover(self.prepared.cluster).await?;
            let Some((version, kind)) = kinds.iter().find(|(version, kind)| api.get(version, kind).is_none()) else {
                self.prepared.api = api;
                return Ok(());
            };
            if Instant::now() >= deadline {
                let key = ObjectKey::new(GroupKind::new(version.split('/').next().unwrap_or_default(), kind), "", "*");
                let reason = "its definition is established and its API does not appear".to_owned();
                return Err(ApplyError::NotServed { key, reason });
            }
            sleep(PAUSE).await;
        }
    }

    async fn wave(&self, range: Range<usize>, timeout: Duration, on: &mut OnEvent<'_>) -> Result<(), ApplyError> {
        let wait = Wait { cluster: self.prepared.cluster, api: &self.prepared.api };
        let report = wait.until_healthy(&self.prepared.members.list[range], timeout, on).await?;
        if report.is_healthy() { Ok(()) } else { Err(ApplyError::Unhealthy { report }) }
    }
}
