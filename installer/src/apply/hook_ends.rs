//! What becomes of hooks that have done their work or failed, where they ask to be deleted then.
//!
//! A hook that is gone must not run again with the next install of the same release: the ApplySet parent remembers
//! which ones ran, by what they said and by the namespace they ran in. A namespace that was made anew forgets.

use std::collections::BTreeMap;
use std::ops::Range;

use consign_format::Digest;
use serde_json::{Value, json};

use super::api_table::ApiTable;
use super::hooks;
use super::members::Member;
use super::preflight::{self, Verdict};
use super::stages::Work;
use super::{ApplyError, Cluster, Direction, applyset, inventory};
use crate::handoff::{Action, ChangeSet, Event, GroupKind, HealthReport, ObjectKey, OnEvent};

/// The annotation of the parent: a JSON object, hook to fingerprint.
const RAN: &str = "consign.dev/hooks-ran";
/// Its field manager, so that writing the ApplySet leaves it alone.
const RECORDER: &str = "consign-hooks";

/// The hooks of a product that ran and were deleted.
#[derive(Debug, Clone, Default)]
pub(super) struct Ran {
    fingerprints: BTreeMap<String, String>,
    /// The uids of the namespaces that hooks live in.
    homes: BTreeMap<String, String>,
}

fn goes_when_done(member: &Member) -> bool {
    member.is_hook && hooks::deletion(&member.object["metadata"]["annotations"]).succeeded
}

fn namespace_key(name: &str) -> ObjectKey {
    ObjectKey::new(GroupKind::new("", "Namespace"), "", name)
}

impl Ran {
    /// Reads what is known, where the release has hooks that it matters for. Writes nothing.
    pub(super) async fn read(
        cluster: &Cluster,
        api: &ApiTable,
        product: &str,
        members: &[Member],
    ) -> Result<Self, ApplyError> {
        let mut ran = Ran::default();
        let parent = applyset::parent_key(cluster.home(), product);
        if !members.iter().any(goes_when_done) {
            return Ok(ran);
        }
        let live = cluster.get(inventory::served(api, "Secret")?, &parent).await;
        let live = live.map_err(|error| cluster.failed(error))?;
        let text = live.as_ref().and_then(|live| live["metadata"]["annotations"][RAN].as_str());
        if let Some(text) = text {
            ran.fingerprints = serde_json::from_str(text).map_err(|error| ApplyError::ApplySetForeign {
                parent,
                problem: format!("its annotation {RAN} cannot be read: {error}"),
            })?;
        }
        ran.visit(cluster, api, members).await?;
        Ok(ran)
    }

    /// Learns which namespaces the hooks live in, as they are now.
    async fn visit(&mut self, cluster: &Cluster, api: &ApiTable, members: &[Member]) -> Result<(), ApplyError> {
        let kind = inventory::served(api, "Namespace")?;
        for name in members.iter().filter(|one| goes_when_done(one)).map(|one| &one.key.namespace) {
            if name.is_empty() || self.homes.contains_key(name) {
                continue;
            }
            let live = cluster.get(kind, &namespace_key(name)).await.map_err(|error| cluster.failed(error))?;
            if let Some(live) = live {
                self.homes.insert(name.clone(), preflight::uid(&live));
            }
        }
        Ok(())
    }

    /// Whether this very hook ran here.
    pub(super) fn has(&self, member: &Member) -> bool {
        let known = self.fingerprints.get(&member.key.to_string());
        known.is_some_and(|known| self.fingerprint(member).as_ref() == Some(known))
    }

    /// `None` where its namespace is not there, so that it cannot have run in it.
    fn fingerprint(&self, member: &Member) -> Option<String> {
        let home = match member.key.namespace.as_str() {
            "" => "",
            name => self.homes.get(name)?,
        };
        let text = json!([home, member.object]).to_string();
        Some(Digest::of(text.as_bytes()).hex()[..32].to_owned())
    }
}

impl Work<'_> {
    /// Whether a batch holds hooks that go once they are done: then it is waited for.
    pub(super) fn has_passing_hooks(&self, range: Range<usize>) -> bool {
        let is_forward = self.order.direction == Direction::Forward;
        is_forward && range.into_iter().any(|index| self.is_passing(index))
    }

    fn is_passing(&self, index: usize) -> bool {
        goes_when_done(&self.prepared.members.list[index]) && self.prepared.verdicts[index] != Verdict::Ran
    }

    /// Deletes the hooks of a phase that is through and well, and remembers them first.
    pub(super) async fn end_hooks(
        &mut self,
        phase: Range<usize>,
        changes: &mut ChangeSet,
        on: &mut OnEvent<'_>,
    ) -> Result<(), ApplyError> {
        if !self.has_passing_hooks(phase.clone()) {
            return Ok(());
        }
        let passing: Vec<usize> = phase.filter(|index| self.is_passing(*index)).collect();
        self.remember(&passing).await?;
        for index in passing {
            self.delete_hook(index, "a hook that is done", changes, on).await?;
        }
        Ok(())
    }

    /// Deletes the hooks that failed and ask for it. The report has said why they failed.
    pub(super) async fn drop_failed_hooks(
        &self,
        report: &HealthReport,
        changes: &mut ChangeSet,
        on: &mut OnEvent<'_>,
    ) -> Result<(), ApplyError> {
        for one in report.unhealthy.iter().filter(|one| one.failed) {
            let list = &self.prepared.members.list;
            let Some(index) = list.iter().position(|member| member.is_hook && member.key == one.key) else { continue };
            if hooks::deletion(&list[index].object["metadata"]["annotations"]).failed {
                self.delete_hook(index, "a hook that failed", changes, on).await?;
            }
        }
        Ok(())
    }

    async fn remember(&mut self, hooks: &[usize]) -> Result<(), ApplyError> {
        let (cluster, api, members) = (self.prepared.cluster, &self.prepared.api, &self.prepared.members.list);
        let ran = &mut self.prepared.ran;
        ran.visit(cluster, api, members).await?;
        let before = ran.fingerprints.clone();
        ran.fingerprints.retain(|name, _| members.iter().any(|member| member.key.to_string() == *name));
        for member in hooks.iter().map(|index| &members[*index]) {
            if let Some(fingerprint) = ran.fingerprint(member) {
                ran.fingerprints.insert(member.key.to_string(), fingerprint);
            }
        }
        if ran.fingerprints == before {
            return Ok(());
        }
        let parent = applyset::parent_key(cluster.home(), &self.order.desired.product);
        let patch = json!({"metadata": {"annotations": {RAN: json!(ran.fingerprints).to_string()}}});
        let written = cluster.merge(inventory::served(api, "Secret")?, &parent, &patch, RECORDER).await;
        written.map_err(|error| preflight::into_error(cluster, preflight::objection(&parent, error)))?;
        Ok(())
    }

    async fn delete_hook(
        &self,
        index: usize,
        note: &str,
        changes: &mut ChangeSet,
        on: &mut OnEvent<'_>,
    ) -> Result<(), ApplyError> {
        let member = &self.prepared.members.list[index];
        let (cluster, served) = (self.prepared.cluster, self.served(member)?);
        let live: Option<Value> =
            cluster.get(served, &member.key).await.map_err(|error| self.refused(member, error))?;
        let Some(live) = live else { return Ok(()) };
        let gone = cluster.delete(served, &member.key, &preflight::uid(&live)).await;
        if gone.map_err(|error| self.refused(member, error))? {
            on(Event::Object(changes.push(member.key.clone(), Action::Deleted, Some(note.to_owned())).clone()));
        }
        Ok(())
    }
}
