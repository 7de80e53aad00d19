//! Writes a release stage by stage: each batch asked about, written, and what others need of it waited for.

use std::collections::BTreeSet;
use std::ops::Range;

use consign_format::error::Failure;
use serde_json::{Value, json};

use super::api_table::Served;
use super::cluster::CallError;
use super::members::{Member, Members};
use super::preflight::{self, Change, Check, Verdict};
use super::run::{Prepared, RAN_BEFORE};
use super::secrets::Secrets;
use super::stage::Stage;
use super::verbs::How;
use super::{ApplyError, Direct, MANAGER, Order, inherit, inventory};
use crate::handoff::{Action, ChangeSet, Event, GroupKind, ObjectKey, OnEvent};

/// How often an object that changes meanwhile is read anew.
const ATTEMPTS: u32 = 5;

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
        let (mut start, mut wave, mut phase) = (0, 0, 0);
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
            } else if let Some(timeout) = self.order.policy.wave_timeout {
                let is_last = next.is_none_or(|next| !next.is_in_wave_of(&position));
                let whole = wave..range.end;
                let goes_on = next.is_some_and(|next| next.stage == position.stage);
                let waited = if is_last && (goes_on || self.has_passing_hooks(whole.clone())) {
                    whole.collect()
                } else {
                    self.awaited(range.clone())
                };
                self.healthy(waited, timeout, changes, on).await?;
                if is_last {
                    wave = range.end;
                }
                if next.is_none_or(|next| (next.stage, next.phase) != (position.stage, position.phase)) {
                    self.end_hooks(phase..range.end, changes, on).await?;
                    phase = range.end;
                }
            }
        }
        Ok(self.make_secrets(changes, on).await?)
    }

    /// Those of a batch that others depend on.
    fn awaited(&self, range: Range<usize>) -> Vec<usize> {
        let Members { list, awaited, .. } = &self.prepared.members;
        range.filter(|index| awaited.contains(&list[*index].key)).collect()
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
            on(Event::Object(changes.push(key, action, note).clone()));
        }
        Ok(wrote)
    }

    /// Does what the verdict about one member says.
    async fn one(&mut self, index: usize) -> Result<(Action, Option<String>), ApplyError> {
        let member = &self.prepared.members.list[index];
        let (action, note, uid) = match &self.prepared.verdicts[index] {
            Verdict::Unchanged { uid } => (Action::Unchanged, None, uid.clone()),
            Verdict::Ran => return Ok((Action::Unchanged, Some(RAN_BEFORE.to_owned()))),
            Verdict::LeftAlone => {
                return Ok((Action::Skipped, Some("a hook does not run again when going back".to_owned())));
            }
            Verdict::Create => (Action::Created, None, self.create(member).await?),
            Verdict::Predicted => {
                self.gone(member).await?;
                (Action::Created, None, self.create(member).await?)
            }
            Verdict::Configure(change) => (Action::Configured, change.note(), self.change(member, change).await?),
            Verdict::Rerun { uid } => {
                let note = "a hook that runs again".to_owned();
                (Action::Configured, Some(note), self.anew(member, uid).await?)
            }
            Verdict::Recreate { uid, why } => (Action::Recreated, Some(why.clone()), self.anew(member, uid).await?),
        };
        self.uids.insert(uid);
        Ok((action, note))
    }

    pub(super) fn refused(&self, member: &Member, error: CallError) -> ApplyError {
        preflight::into_error(self.prepared.cluster, preflight::objection(&member.key, error))
    }

    async fn ask_predicted(&mut self, range: Range<usize>) -> Result<(), ApplyError> {
        let Prepared { api, set_id, members, verdicts, scaled, ran, direction, cluster } = &mut self.prepared;
        let check = Check { cluster, api, set_id, policy: self.order.policy, scaled, ran, direction: *direction };
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

    /// Brings an object that is there to what is desired.
    async fn change(&self, member: &Member, change: &Change) -> Result<String, ApplyError> {
        let (cluster, served) = (self.prepared.cluster, self.served(member)?);
        let refused = |error| self.refused(member, error);
        if change.inherits {
            self.inherit(served, member).await?;
        }
        let uid = self.write(member, change.scaled.as_ref().unwrap_or(&member.object), change.force).await?;
        if let Some(marks) = &change.marks_off {
            cluster.merge(served, &member.key, marks, MANAGER).await.map_err(refused)?;
        }
        Ok(uid)
    }

    /// Makes what adopted tools have applied ours. The object is read anew: a change in between is a conflict of
    /// resource versions, and then it is read once more.
    async fn inherit(&self, served: &Served, member: &Member) -> Result<(), ApplyError> {
        let cluster = self.prepared.cluster;
        for attempt in 1.. {
            let live = cluster.get(served, &member.key).await.map_err(|error| self.refused(member, error))?;
            let Some(live) = live else { return Ok(()) };
            let Some(fields) = inherit::inherited(&live, &self.order.policy.adopt) else { return Ok(()) };
            let version = &live["metadata"]["resourceVersion"];
            let patch = json!({"metadata": {"managedFields": fields, "resourceVersion": version}});
            match cluster.merge(served, &member.key, &patch, MANAGER).await {
                Err(CallError::Said(status)) if status.code == 409 && attempt < ATTEMPTS => {}
                answer => return answer.map(drop).map_err(|error| self.refused(member, error)),
            }
        }
        Ok(())
    }

    /// Deletes exactly this object, waits until it has gone with all its finalizers, and makes it anew.
    async fn anew(&self, member: &Member, uid: &str) -> Result<String, ApplyError> {
        let deleted = self.prepared.cluster.delete(self.served(member)?, &member.key, uid).await;
        deleted.map_err(|error| self.refused(member, error))?;
        self.gone(member).await?;
        self.create(member).await
    }

    async fn create(&self, member: &Member) -> Result<String, ApplyError> {
        self.write(member, &member.object, self.order.policy.force_conflicts).await
    }

    async fn write(&self, member: &Member, object: &Value, force: bool) -> Result<String, ApplyError> {
        let how = How { manager: MANAGER, force, dry_run: false };
        let live = self.prepared.cluster.apply(self.served(member)?, &member.key, object, how).await;
        Ok(preflight::uid(&live.map_err(|error| self.refused(member, error))?))
    }

    pub(super) fn served(&self, member: &Member) -> Result<&Served, ApplyError> {
        self.prepared.api.get(&member.api_version, &member.key.kind.kind).ok_or_else(|| ApplyError::NotServed {
            key: member.key.clone(),
            reason: "the cluster does not know its kind".to_owned(),
        })
    }
}
