//! Waits for health: asks in rounds, fails fast, and says why in the words of pods and events.
//!
//! Polls rather than watches: a bounded number of small requests per round, nothing to re-list when a connection breaks,
//! and an API server that restarts in the middle is only a round without an answer.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use futures_util::StreamExt;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::api_table::ApiTable;
use super::cluster::CallError;
use super::health::{self, Health};
use super::members::Member;
use super::reasons;
use super::verbs::Selector;
use super::{ApplyError, Cluster};
use crate::handoff::{Event, GroupKind, HealthReport, ObjectKey, OnEvent, Unhealthy};

/// How many objects are asked about at once.
const AT_ONCE: usize = 6;
/// How many questions are prepared at once.
const CHUNK: usize = 96;
/// Pause between the first rounds, and the longest one.
const PAUSE: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(2));
/// In how many rounds pods and events are asked once, for people who watch.
const DEEP: usize = 5;
/// How many unhealthy objects get their pods and events asked.
const EXPLAINED: usize = 20;

/// An object that is not current, and the live object where there is one.
struct Open<'m> {
    member: &'m Member,
    health: Health,
    live: Option<Value>,
}

/// Waits for objects to become healthy.
pub(crate) struct Wait<'a> {
    pub(crate) cluster: &'a Cluster,
    pub(crate) api: &'a ApiTable,
}

impl Wait<'_> {
    /// Waits until all `members` are healthy, one has failed, or `timeout` is over.
    ///
    /// # Errors
    /// The server refuses to answer, or has not answered when the time is over.
    pub(crate) async fn until_healthy<'m>(
        &self,
        members: &'m [Member],
        timeout: Duration,
        on: &mut OnEvent<'_>,
    ) -> Result<HealthReport, ApplyError> {
        let watched: Vec<&'m Member> = members.iter().filter(|member| health::can_wait(&member.key.kind)).collect();
        let deadline = Instant::now() + timeout;
        let lazy = self.classes_that_bind_on_use(&watched).await;
        let mut bad_since = HashMap::new();
        let mut asked = watched.clone();
        let mut pause = PAUSE.0;
        let mut told = (usize::MAX, Vec::new());
        for round in 1.. {
            let open = match self.round(&asked, &lazy).await {
                Ok(open) if open.is_empty() && asked.len() == watched.len() => return Ok(healthy(members)),
                // All that was open is current; look at everything once more, since what was healthy may not be now.
                Ok(open) if open.is_empty() => {
                    asked = watched.clone();
                    continue;
                }
                Ok(open) => time_failing(open, &mut bad_since, Instant::now()),
                Err(error) if Instant::now() >= deadline || is_final(&error) => return Err(self.cluster.failed(error)),
                Err(_) => {
                    sleep(pause).await;
                    continue;
                }
            };
            let failed = open.iter().any(|one| matches!(one.health, Health::Failed { .. }));
            if failed || Instant::now() >= deadline {
                return Ok(self.report(members, &open).await);
            }
            self.tell(&open, watched.len(), round, &mut told, on).await;
            asked = open.iter().map(|one| one.member).collect();
            sleep(pause.min(deadline.saturating_duration_since(Instant::now()))).await;
            pause = (pause * 3 / 2).min(PAUSE.1);
        }
        Ok(healthy(members))
    }

    async fn round<'m>(&self, members: &[&'m Member], lazy: &LazyClasses) -> Result<Vec<Open<'m>>, CallError> {
        let mut open = Vec::new();
        for chunk in members.chunks(CHUNK) {
            let questions: Vec<_> = chunk.iter().map(|member| self.one(member, lazy)).collect();
            let mut answers = futures_util::stream::iter(questions).buffered(AT_ONCE);
            while let Some(answer) = answers.next().await {
                open.extend(answer?);
            }
        }
        Ok(open)
    }

    async fn one<'m>(&self, member: &'m Member, lazy: &LazyClasses) -> Result<Option<Open<'m>>, CallError> {
        let missing =
            |reason: &str| Some(Open { member, health: Health::InProgress { reason: reason.to_owned() }, live: None });
        let Some(served) = self.api.get(&member.api_version, &member.key.kind.kind) else {
            return Ok(missing("the cluster does not serve its kind"));
        };
        let Some(live) = self.cluster.get(served, &member.key).await? else { return Ok(missing("it is not there")) };
        let health = match member.key.kind.is("", "PersistentVolumeClaim") {
            true => health::claim(&live, lazy.has(&live)),
            false => health::assess(&member.key.kind, &live),
        };
        Ok((health != Health::Current).then_some(Open { member, health, live: Some(live) }))
    }

    async fn tell(
        &self,
        open: &[Open<'_>],
        total: usize,
        round: usize,
        told: &mut (usize, Vec<String>),
        on: &mut OnEvent<'_>,
    ) {
        let ready = total - open.len().min(total);
        let reasons: Vec<_> = open.iter().map(|one| format!("{}: {}", one.member.key, in_words(&one.health))).collect();
        let deep = round.is_multiple_of(DEEP);
        if !deep && (ready, &reasons) == (told.0, &told.1) {
            return;
        }
        *told = (ready, reasons.clone());
        let reasons = if deep {
            self.explain(open).await.iter().map(|one| format!("{}: {}", one.key, one.reason)).collect()
        } else {
            reasons
        };
        on(Event::Waiting { ready, total, reasons });
    }

    async fn report(&self, members: &[Member], open: &[Open<'_>]) -> HealthReport {
        let mut unhealthy = self.explain(open).await;
        unhealthy.sort_by_key(|one| !one.failed);
        HealthReport { objects: members.len() as u64, unhealthy }
    }

    async fn explain(&self, open: &[Open<'_>]) -> Vec<Unhealthy> {
        let mut explained = Vec::with_capacity(open.len());
        for (index, one) in open.iter().enumerate() {
            let mut reason = in_words(&one.health);
            let asked = if index < EXPLAINED { self.ask(one).await.unwrap_or_default() } else { None };
            if let Some(more) = asked.filter(|more| !reason.contains(more.as_str())) {
                reason = format!("{reason}; {more}");
            }
            let failed = matches!(one.health, Health::Failed { .. });
            explained.push(Unhealthy { key: one.member.key.clone(), reason, failed });
        }
        explained
    }

    /// Asks pods and events. What cannot be asked leaves the reason without them: a report is due all the same.
    async fn ask(&self, open: &Open<'_>) -> Result<Option<String>, CallError> {
        let Some(live) = &open.live else { return Ok(None) };
        let key = &open.member.key;
        if let (Some(selector), Some(kind)) = (reasons::pod_selector(live), self.api.get("v1", "Pod")) {
            let selector = Selector { labels: &selector, fields: "" };
            let pods = self.cluster.list(kind, &key.namespace, &selector).await?;
            let not_ready = reasons::not_ready(&pods);
            let mut events = BTreeMap::new();
            for pod in not_ready.iter().take(3) {
                let uid = super::preflight::uid(pod);
                events.insert(uid.clone(), self.warnings(&key.namespace, &uid).await?);
            }
            if let Some(words) = reasons::of_pods(&not_ready, &events) {
                return Ok(Some(words));
            }
        }
        Ok(reasons::of_events(&self.warnings(&key.namespace, &super::preflight::uid(live)).await?))
    }

    /// The warnings about an object.
    pub(super) async fn warnings(&self, namespace: &str, uid: &str) -> Result<Vec<Value>, CallError> {
        let Some(kind) = self.api.get("v1", "Event") else { return Ok(Vec::new()) };
        let fields = format!("involvedObject.uid={uid},type=Warning");
        self.cluster.list(kind, namespace, &Selector { labels: "", fields: &fields }).await
    }

    /// StorageClasses that wait for the first consumer; asked only where claims are waited for.
    async fn classes_that_bind_on_use(&self, watched: &[&Member]) -> LazyClasses {
        let claims = watched.iter().any(|member| member.key.kind.is("", "PersistentVolumeClaim"));
        let kind = self.api.preferred(&GroupKind::new("storage.k8s.io", "StorageClass"));
        // Classes belong to the cluster: a tenant may not ask, and waits until the claim is bound.
        let (true, Some(kind)) = (claims && !self.cluster.is_tenant(), kind) else { return LazyClasses::default() };
        let classes = self.cluster.list(kind, "", &Selector::default()).await.unwrap_or_default();
        LazyClasses::read(&classes)
    }
}

/// The StorageClasses that bind a claim only when a pod uses it.
#[derive(Debug, Default, PartialEq)]
struct LazyClasses(BTreeSet<String>);

impl LazyClasses {
    fn read(classes: &[Value]) -> Self {
        let lazy = classes.iter().filter(|class| class["volumeBindingMode"] == "WaitForFirstConsumer");
        LazyClasses(lazy.filter_map(|class| class["metadata"]["name"].as_str()).map(str::to_owned).collect())
    }

    /// The server has filled in the default class by the time the claim is live.
    fn has(&self, claim: &Value) -> bool {
        claim["spec"]["storageClassName"].as_str().is_some_and(|class| self.0.contains(class))
    }
}

fn healthy(members: &[Member]) -> HealthReport {
    HealthReport { objects: members.len() as u64, unhealthy: Vec::new() }
}

/// A server that says "no" to us will say it again; one that is not there may come back.
pub(super) fn is_final(error: &CallError) -> bool {
    matches!(error, CallError::Said(status) if matches!(status.code, 400..=428))
}

/// Turns what has been failing for longer than its patience into failed, and remembers since when the rest has been.
fn time_failing<'m>(open: Vec<Open<'m>>, bad_since: &mut HashMap<ObjectKey, Instant>, now: Instant) -> Vec<Open<'m>> {
    let still: BTreeSet<_> = open
        .iter()
        .filter(|one| matches!(one.health, Health::Failing { .. }))
        .map(|one| one.member.key.clone())
        .collect();
    bad_since.retain(|key, _| still.contains(key));
    open.into_iter()
        .map(|mut one| {
            if let Health::Failing { reason, patience } = &one.health {
                let since = *bad_since.entry(one.member.key.clone()).or_insert(now);
                if now.duration_since(since) >= *patience {
                    one.health = Health::Failed { reason: reason.clone() };
                }
            }
            one
        })
        .collect()
}

fn in_words(health: &Health) -> String {
    match health {
        Health::Current => "healthy".to_owned(),
        Health::InProgress { reason } | Health::Failing { reason, .. } | Health::Failed { reason } => reason.clone(),
        Health::Terminating => "it is being deleted".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::stage::Position;
    use super::*;
    use serde_json::json;

    fn member() -> Member {
        let kind = GroupKind::new("", "Pod");
        let position = Position::of(&kind, &json!({}));
        Member {
            key: ObjectKey::new(kind, "n", "a"),
            api_version: "v1".into(),
            is_hook: false,
            position,
            object: json!({}),
        }
    }

    fn failing(member: &Member) -> Vec<Open<'_>> {
        let health = Health::Failing { reason: "bad".into(), patience: Duration::from_secs(15) };
        vec![Open { member, health, live: None }]
    }

    #[test]
    fn what_looks_bad_fails_when_it_stays_so() {
        let member = member();
        let (start, mut since) = (Instant::now(), HashMap::new());
        let mut failed_after = |seconds| {
            let open = time_failing(failing(&member), &mut since, start + Duration::from_secs(seconds));
            matches!(open[0].health, Health::Failed { .. })
        };
        assert!(!failed_after(0));
        assert!(!failed_after(14));
        assert!(failed_after(15));
    }

    #[test]
    fn what_recovers_starts_anew() {
        let member = member();
        let (start, mut since) = (Instant::now(), HashMap::new());
        time_failing(failing(&member), &mut since, start);
        time_failing(Vec::new(), &mut since, start + Duration::from_secs(1));
        let open = time_failing(failing(&member), &mut since, start + Duration::from_secs(20));
        assert!(matches!(open[0].health, Health::Failing { .. }));
    }

    #[test]
    fn classes_that_bind_on_use_are_known_by_their_mode() {
        let class = |name: &str, mode: &str| json!({"metadata": {"name": name}, "volumeBindingMode": mode});
        let lazy = LazyClasses::read(&[class("local", "WaitForFirstConsumer"), class("nfs", "Immediate")]);
        let claim = |class: &str| json!({"spec": {"storageClassName": class}});
        assert!(lazy.has(&claim("local")) && !lazy.has(&claim("nfs")) && !lazy.has(&json!({})));
    }
}
