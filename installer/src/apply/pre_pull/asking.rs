//! Asking one node: a pod is made, followed until all its images are there or one cannot come, and deleted.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::super::api_table::{ApiTable, Served};
use super::super::cluster::CallError;
use super::super::preflight::{uid, waits_for_another};
use super::super::refusal::{self, Refused};
use super::super::verbs::Selector;
use super::super::wait::Wait;
use super::super::{ApplyError, Cluster, MANAGER, reasons};
use super::NotPulled;
use super::pod::{self, Ask, LABEL, State};
use crate::handoff::{GroupKind, ObjectKey};

/// Pause between the first looks, and the longest one.
const PAUSE: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(2));
/// How long a pull may fail before the node counts as one that cannot: the kubelet tries again, and a mirror may be
/// restarting.
const PATIENCE: Duration = Duration::from_secs(15);
/// How long the account of a new namespace may take to come.
const ACCOUNT: Duration = Duration::from_secs(20);

/// What came of asking one node.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// How many images it needs.
    pub(super) images: usize,
    /// Those that it cannot pull.
    pub(super) troubles: Vec<NotPulled>,
    /// Why it was not asked to the end.
    pub(super) unasked: Option<String>,
}

/// How one pod ended.
enum End {
    Pulled,
    Cannot(Vec<NotPulled>),
    Unasked(String),
}

/// Asks nodes.
pub(super) struct Asking<'a> {
    pub(super) cluster: &'a Cluster,
    pub(super) api: &'a ApiTable,
    pub(super) pods: &'a Served,
    pub(super) product: &'a str,
    pub(super) within: Duration,
}

impl Asking<'_> {
    /// Deletes the pods that an earlier run of this product left. What may not be listed is left to the kubelet, which ends them.
    pub(super) async fn clear(&self, namespaces: &BTreeSet<&str>) -> Result<(), ApplyError> {
        let labels = format!("{LABEL}={}", self.product);
        for namespace in namespaces.iter().filter(|namespace| !namespace.is_empty()) {
            let selector = Selector { labels: &labels, fields: "" };
            match self.cluster.list(self.pods, namespace, &selector).await {
                Ok(pods) => {
                    for pod in pods {
                        self.delete(&pod).await.map_err(|error| self.cluster.failed(error))?;
                    }
                }
                Err(CallError::Said(status)) if status.code == 403 => {}
                Err(error) => return Err(self.cluster.failed(error)),
            }
        }
        Ok(())
    }

    /// Asks one node for all that it needs, one pod after the other.
    pub(super) async fn node(&self, asks: &[Ask]) -> Result<Outcome, ApplyError> {
        let images = asks.iter().map(|ask| ask.images.len()).sum();
        let deadline = Instant::now() + self.within;
        for ask in asks {
            match self.one(ask, deadline).await? {
                End::Pulled => {}
                End::Cannot(troubles) => return Ok(Outcome { images, troubles, unasked: None }),
                End::Unasked(why) => return Ok(Outcome { images, unasked: Some(why), ..Outcome::default() }),
            }
        }
        Ok(Outcome { images, ..Outcome::default() })
    }

    async fn one(&self, ask: &Ask, deadline: Instant) -> Result<End, ApplyError> {
        let made = match self.make(ask).await? {
            Ok(made) => made,
            Err(why) => return Ok(End::Unasked(why)),
        };
        let end = self.follow(ask, &made, deadline).await;
        // One that cannot be deleted now is found by the next run, and ended by the kubelet before.
        let _ = self.delete(&made).await;
        end
    }

    /// Makes the pod, or says why the server takes none.
    async fn make(&self, ask: &Ask) -> Result<Result<Value, String>, ApplyError> {
        let (wanted, start) = (pod::of(ask, self.product, self.within), Instant::now());
        let kind = GroupKind::new("", "Pod");
        loop {
            let status = match self.cluster.create(self.pods, &ask.namespace, &wanted, MANAGER).await {
                Ok(made) => return Ok(Ok(made)),
                Err(CallError::Said(status)) if !refusal::is_own_trouble(&status) => status,
                Err(error) => return Err(self.cluster.failed(error)),
            };
            let key = ObjectKey::new(kind.clone(), ask.namespace.clone(), "");
            let Refused::Other(refused) = refusal::read(&key, &status) else { return Ok(Err(status.message)) };
            if !waits_for_another(&kind, &refused) || start.elapsed() > ACCOUNT {
                let why = pod::unnamed(&refused.reason);
                return Ok(Err(format!("the server takes no pod for it in {}: {why}", ask.namespace)));
            }
            sleep(PAUSE.0).await;
        }
    }

    async fn follow(&self, ask: &Ask, made: &Value, deadline: Instant) -> Result<End, ApplyError> {
        let (mut pause, mut failing) = (PAUSE.0, Failing::default());
        loop {
            let late = Instant::now() >= deadline;
            let end = match self.cluster.get(self.pods, &key(made)).await {
                Ok(Some(live)) if uid(&live) == uid(made) => self.judge(ask, &live, &mut failing, late).await,
                Ok(_) => Some(End::Unasked("somebody deleted the pod that asked it".to_owned())),
                Err(CallError::Said(status)) if status.code == 403 => Some(End::Unasked(status.message)),
                Err(error) if late => return Err(self.cluster.failed(error)),
                // A server that is not there may come back.
                Err(_) => None,
            };
            if let Some(end) = end {
                return Ok(end);
            }
            sleep(pause.min(deadline.saturating_duration_since(Instant::now()))).await;
            pause = (pause * 3 / 2).min(PAUSE.1);
        }
    }

    /// What a look at the pod says; `None` where it is to be waited for.
    async fn judge(&self, ask: &Ask, live: &Value, failing: &mut Failing, late: bool) -> Option<End> {
        let states = pod::states(live, ask.images.len());
        if states.iter().all(|state| *state == State::Pulled) {
            return Some(End::Pulled);
        }
        failing.look(&states, Instant::now());
        if late || failing.for_long(Instant::now()) {
            let failed = failing.in_words();
            if !failed.is_empty() {
                return Some(End::Cannot(not_pulled(ask, failed)));
            }
        }
        let open = |why: &str| {
            let open = states.iter().enumerate().filter(|(_, state)| **state != State::Pulled);
            End::Cannot(not_pulled(ask, open.map(|(index, _)| (index, why.to_owned()))))
        };
        match pod::turned_away(live) {
            Some((why, true)) => Some(open(&why)),
            Some((why, false)) => Some(End::Unasked(format!("its node does not take the pod: {why}"))),
            None if late => Some(open(&self.late(live).await)),
            None => None,
        }
    }

    /// What is said when the time is over.
    async fn late(&self, live: &Value) -> String {
        let wait = Wait { cluster: self.cluster, api: self.api };
        let namespace = live["metadata"]["namespace"].as_str().unwrap_or_default();
        let warnings = wait.warnings(namespace, &uid(live)).await.unwrap_or_default();
        let more = reasons::of_events(&warnings).map(|words| format!("; {words}")).unwrap_or_default();
        format!("it was not there within {} minutes{more}", self.within.as_secs().div_ceil(60))
    }

    /// Deletes a pod at once: it runs nothing that could end in good order.
    async fn delete(&self, pod: &Value) -> Result<bool, CallError> {
        self.cluster.delete(self.pods, &key(pod), &uid(pod)).await
    }
}

fn key(pod: &Value) -> ObjectKey {
    let text = |name: &str| pod["metadata"][name].as_str().unwrap_or_default();
    ObjectKey::new(GroupKind::new("", "Pod"), text("namespace"), text("name"))
}

fn not_pulled(ask: &Ask, failed: impl IntoIterator<Item = (usize, String)>) -> Vec<NotPulled> {
    let one = |(index, why): (usize, String)| NotPulled {
        node: ask.node.clone(),
        image: ask.images[index].clone(),
        reason: reasons::pull_in_words(&why),
    };
    failed.into_iter().map(one).collect()
}

/// The images whose pull fails: since when, and the words that tell most.
#[derive(Debug, Default)]
struct Failing(BTreeMap<usize, (Instant, String)>);

impl Failing {
    fn look(&mut self, states: &[State], now: Instant) {
        for (index, state) in states.iter().enumerate() {
            match state {
                State::Pulled => drop(self.0.remove(&index)),
                // Between two tries nothing is said of the first.
                State::Waits => {}
                State::Fails(why) => {
                    let known = self.0.entry(index).or_insert_with(|| (now, why.clone()));
                    // That the next try waits says less than why there has to be one.
                    if !why.starts_with("ImagePullBackOff") {
                        known.1.clone_from(why);
                    }
                }
            }
        }
    }

    fn for_long(&self, now: Instant) -> bool {
        self.0.values().any(|(since, _)| now.duration_since(*since) >= PATIENCE)
    }

    fn in_words(&self) -> Vec<(usize, String)> {
        self.0.iter().map(|(index, (_, why))| (*index, why.clone())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pull_fails_when_it_goes_on_failing_and_says_why_it_did_at_first() {
        let (start, mut failing) = (Instant::now(), Failing::default());
        let fails = |why: &str| State::Fails(why.to_owned());
        failing.look(&[State::Waits, fails("ErrImagePull: x509")], start);
        failing.look(&[State::Pulled, State::Waits], start + PAUSE.0);
        failing.look(&[State::Pulled, fails("ImagePullBackOff: Back-off")], start + PAUSE.1);
        assert!(!failing.for_long(start + PATIENCE - PAUSE.0));
        assert!(failing.for_long(start + PATIENCE));
        assert_eq!(failing.in_words(), [(1, "ErrImagePull: x509".to_owned())]);
        failing.look(&[State::Pulled, State::Pulled], start + PATIENCE);
        assert!(!failing.for_long(start + PATIENCE) && failing.in_words().is_empty());
    }
}
