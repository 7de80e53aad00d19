//! What an apply waits for between its writes: definitions that are served, waves that are healthy, objects that go.

use std::ops::Range;
use std::time::Duration;

use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::api_table::ApiTable;
use super::error::Refusal;
use super::members::{self, Member};
use super::preflight::{self, Verdict};
use super::stages::Work;
use super::wait::Wait;
use super::{ApplyError, SERVED_WITHIN};
use crate::handoff::{ChangeSet, GroupKind, ObjectKey, OnEvent};

/// Pause between two looks at something that comes or goes by itself.
const PAUSE: Duration = Duration::from_millis(200);

impl Work<'_> {
    /// Waits until a namesake that is being deleted has gone: what a release brings back may just have been pruned.
    pub(super) async fn gone(&self, member: &Member) -> Result<(), ApplyError> {
        let served = self.served(member)?;
        let deadline = Instant::now() + SERVED_WITHIN;
        loop {
            let live = self.prepared.cluster.get(served, &member.key).await;
            let live = live.map_err(|error| self.prepared.cluster.failed(error))?;
            if !live.as_ref().is_some_and(preflight::is_leaving) {
                return Ok(());
            }
            if Instant::now() >= deadline {
                let held = finalizers(live.as_ref());
                let reason = format!("it is being deleted and has not gone within {} s{held}", SERVED_WITHIN.as_secs());
                return Err(ApplyError::Refused { refusals: vec![Refusal { key: member.key.clone(), reason }] });
            }
            sleep(PAUSE).await;
        }
    }

    /// What was applied must be served before anything names it: Established and NamesAccepted, then the API anew.
    pub(super) async fn gate(
        &mut self,
        range: Range<usize>,
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

    /// A batch must be healthy before the next one starts. Hooks that ran and are gone are not missed.
    pub(super) async fn healthy(
        &self,
        members: Vec<usize>,
        timeout: Duration,
        changes: &mut ChangeSet,
        on: &mut OnEvent<'_>,
    ) -> Result<(), ApplyError> {
        let wait = Wait { cluster: self.prepared.cluster, api: &self.prepared.api };
        let waited = members.into_iter().filter(|index| self.prepared.verdicts[*index] != Verdict::Ran);
        let batch: Vec<Member> = waited.map(|index| self.prepared.members.list[index].clone()).collect();
        if batch.is_empty() {
            return Ok(());
        }
        let report = wait.until_healthy(&batch, timeout, on).await?;
        if report.is_healthy() {
            return Ok(());
        }
        self.drop_failed_hooks(&report, changes, on).await?;
        Err(ApplyError::Unhealthy { report })
    }
}

/// What keeps an object from going.
fn finalizers(live: Option<&Value>) -> String {
    let list = live.and_then(|live| live["metadata"]["finalizers"].as_array());
    let names: Vec<&str> = list.into_iter().flatten().filter_map(Value::as_str).collect();
    if names.is_empty() { String::new() } else { format!("; it waits for {}", names.join(", ")) }
}
