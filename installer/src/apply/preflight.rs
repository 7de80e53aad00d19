//! Asks the server about every object before the first write, and reports all that it finds, not the first.
//!
//! What depends on a namespace or kind of this very release cannot be asked about yet: it is predicted,
//! and asked about when its stage's prerequisites stand. Writes nothing.

use std::collections::BTreeSet;

use futures_util::StreamExt;
use serde_json::Value;

use super::api_table::{ApiTable, Served};
use super::cluster::CallError;
use super::error::{Conflict, Refusal, Tracked};
use super::hook_ends::Ran;
use super::members::Member;
use super::refusal::{self, Refused};
use super::scaling::with_live_replicas;
use super::tracking::Tracker;
use super::verbs::How;
use super::{ApplyError, Cluster, Direction, MANAGER, drift, fields, inherit, recreate, rewritten, tracking};
use crate::handoff::{Event, GroupKind, ObjectDiff, ObjectKey, OnEvent, Owner, Policy};
use crate::pod_spec;

/// How many objects are asked about at once.
const AT_ONCE: usize = 6;
/// How many questions are prepared at once.
const CHUNK: usize = 96;

/// What the server said about one object.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Verdict {
    /// Not there; the server would take it.
    Create,
    /// There, and different.
    Configure(Box<Change>),
    /// There, as desired.
    Unchanged {
        /// Its uid, for pruning.
        uid: String,
    },
    /// A hook that ran before and differs now: it is deleted and runs again, as Helm and Argo CD do by default.
    Rerun {
        /// The uid of the one that ran.
        uid: String,
    },
    /// There, and different in what never changes; its author lets it be made anew.
    Recreate {
        /// The uid of the one that goes.
        uid: String,
        /// What allows it.
        why: String,
    },
    /// A hook that ran, and is gone because it asked for that.
    Ran,
    /// A hook, while going back: not asked about, not touched.
    LeftAlone,
    /// Cannot be asked about yet: its kind or namespace is not there, or what was there is on its way out.
    Predicted,
}

/// How an object that is there and differs is brought to what is desired.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Change {
    /// The merge patch that takes another tool's marks off, where the object is adopted from one.
    pub(crate) marks_off: Option<Value>,
    /// Take fields that others hold: all of them are let go of by the policy.
    pub(crate) force: bool,
    /// Make what adopted tools have applied ours before anything else.
    pub(crate) inherits: bool,
    /// What is written, where it is not the release's own object: an autoscaler's number of replicas in it.
    pub(crate) scaled: Option<Value>,
    /// What changes in it.
    pub(crate) diff: ObjectDiff,
}

impl Change {
    /// What is worth telling beside the fields.
    pub(crate) fn note(&self) -> Option<String> {
        let taken = self.inherits || self.marks_off.is_some();
        taken.then(|| "taken over; what the other tool had applied and the release does not hold goes".to_owned())
    }
}

/// Everything that stands against applying.
#[derive(Debug, Default)]
struct Findings {
    tracked: Vec<Tracked>,
    conflicts: Vec<Conflict>,
    immutable: Vec<Refusal>,
    refused: Vec<Refusal>,
    rewritten: Vec<Refusal>,
}

/// Why one object may not be applied.
#[derive(Debug)]
pub(crate) enum Objection {
    Tracked(Tracked),
    Refused(Refused),
    /// Its images would be others.
    Rewritten(Refusal),
    Call(CallError),
}

/// What a check looks at beside the object.
#[derive(Clone, Copy)]
pub(crate) struct Check<'a> {
    pub(crate) cluster: &'a Cluster,
    pub(crate) api: &'a ApiTable,
    pub(crate) set_id: &'a str,
    pub(crate) policy: &'a Policy,
    /// What an autoscaler of the release scales.
    pub(crate) scaled: &'a BTreeSet<ObjectKey>,
    /// Hooks that ran and are gone.
    pub(super) ran: &'a Ran,
    /// To a release, or back to one.
    pub(crate) direction: Direction,
}

impl Check<'_> {
    /// Asks about all members; `absent` are namespaces that are not there yet. Answers in the order of `members`.
    pub(crate) async fn all(
        &self,
        members: &[Member],
        absent: &BTreeSet<String>,
        on: &mut OnEvent<'_>,
    ) -> Result<Vec<Verdict>, ApplyError> {
        let total = members.len();
        let mut verdicts = Vec::with_capacity(total);
        let mut findings = Findings::default();
        // In chunks: a question not asked yet takes room too, and a release may have many thousand objects.
        for chunk in members.chunks(CHUNK) {
            let questions: Vec<_> = chunk.iter().map(|member| self.one(member, absent)).collect();
            let mut answers = futures_util::stream::iter(questions).buffered(AT_ONCE);
            while let Some(answer) = answers.next().await {
                match answer {
                    Ok(verdict) => verdicts.push(verdict),
                    Err(objection) => {
                        findings.add(objection).map_err(|error| self.cluster.failed(error))?;
                        verdicts.push(Verdict::Predicted);
                    }
                }
                on(Event::Checked { done: verdicts.len(), total });
            }
        }
        findings.into_result(verdicts)
    }

    async fn one(&self, member: &Member, absent: &BTreeSet<String>) -> Result<Verdict, Objection> {
        if member.is_hook && self.direction == Direction::Back {
            return Ok(Verdict::LeftAlone);
        }
        let Some(served) = self.api.get(&member.api_version, &member.key.kind.kind) else {
            return Ok(Verdict::Predicted);
        };
        if absent.contains(&member.key.namespace) {
            return Ok(Verdict::Predicted);
        }
        match self.ask(served, member).await {
            Err(Objection::Refused(Refused::Other(refusal))) if waits_for_another(&member.key.kind, &refusal) => {
                Ok(Verdict::Predicted)
            }
            other => other,
        }
    }

    /// Asks about one object whose kind and namespace stand.
    pub(crate) async fn ask(&self, served: &Served, member: &Member) -> Result<Verdict, Objection> {
        let live = self.cluster.get(served, &member.key).await.map_err(|error| objection(&member.key, error))?;
        if live.as_ref().is_some_and(is_leaving) {
            return Ok(Verdict::Predicted);
        }
        if live.is_none() && self.ran.has(member) {
            return Ok(Verdict::Ran);
        }
        let trackers =
            live.as_ref().map(|live| tracking::trackers(live, &member.object, self.set_id)).unwrap_or_default();
        let adopt = &self.policy.adopt;
        let is_ours = |one: &&Tracker| one.owner.as_ref().is_some_and(|owner| adopt.contains(owner));
        if let Some(stranger) = trackers.iter().find(|one| !is_ours(one)) {
            let tracked =
                Tracked { key: member.key.clone(), by: stranger.words.clone(), owner: stranger.owner.clone() };
            return Err(Objection::Tracked(tracked));
        }
        let is_scaled = self.scaled.contains(&member.key);
        let scaled =
            live.as_ref().filter(|_| is_scaled).and_then(|live| with_live_replicas(&member.object, live, MANAGER));
        let object = scaled.as_ref().unwrap_or(&member.object);
        let (answer, force) = match (self.rehearse(served, &member.key, object).await, &live) {
            (Err(Objection::Refused(Refused::Immutable(refusal))), Some(live)) => {
                return self.anew(member, live).ok_or(Objection::Refused(Refused::Immutable(refusal)));
            }
            (answer, _) => answer?,
        };
        if let Some(reason) = self.exchanged(member, &answer) {
            return Err(Objection::Rewritten(Refusal { key: member.key.clone(), reason }));
        }
        let Some(live) = live else { return Ok(Verdict::Create) };
        let inherits = inherit::inherited(&live, adopt).is_some();
        if trackers.is_empty() && !inherits && !drift::differs(&live, &answer, MANAGER) {
            return Ok(Verdict::Unchanged { uid: uid(&live) });
        }
        let marks_off = tracking::marks_off(&live, &member.object).filter(|_| !trackers.is_empty());
        let diff = fields::between(&member.key, &live, &answer);
        Ok(Verdict::Configure(Box::new(Change { marks_off, force, inherits, scaled, diff })))
    }

    /// Applies without keeping anything. Conflicts with those alone from whom fields may be taken are no objection;
    /// says whether there were any.
    async fn rehearse(&self, served: &Served, key: &ObjectKey, object: &Value) -> Result<(Value, bool), Objection> {
        let how = |force| How { manager: MANAGER, force, dry_run: true };
        let force = self.policy.force_conflicts;
        let answer = self.cluster.apply(served, key, object, how(force)).await;
        match answer.map_err(|error| objection(key, error)) {
            Err(Objection::Refused(Refused::Conflict(mut held))) => {
                held.retain(|one| !self.policy.adopt.contains(&Owner::of_manager(&one.manager)));
                if !held.is_empty() {
                    return Err(Objection::Refused(Refused::Conflict(held)));
                }
                let answer = self.cluster.apply(served, key, object, how(true)).await;
                Ok((answer.map_err(|error| objection(key, error))?, true))
            }
            answer => Ok((answer?, force)),
        }
    }

    /// The images that the server would exchange in an object. On the way back nothing is asked: those ran before.
    fn exchanged(&self, member: &Member, answer: &Value) -> Option<String> {
        let is_asked = self.direction == Direction::Forward;
        let asked = pod_spec::pod_of(&member.key, &member.object).filter(|_| is_asked)?;
        let answered = pod_spec::pod_of(&member.key, answer)?;
        rewritten::exchanged(&rewritten::between(asked, answered))
    }

    /// What becomes of an object that cannot be changed to what is desired: made anew, where that is allowed.
    fn anew(&self, member: &Member, live: &Value) -> Option<Verdict> {
        if runs_once(member) {
            return Some(Verdict::Rerun { uid: uid(live) });
        }
        let why = recreate::allowed(&member.key.kind, &member.object, live, self.direction)?;
        Some(Verdict::Recreate { uid: uid(live), why })
    }
}

fn runs_once(member: &Member) -> bool {
    member.is_hook && (member.key.kind.is("batch", "Job") || member.key.kind.is("", "Pod"))
}

/// Tells whether a live object is being deleted; a write to it would be lost with it.
pub(crate) fn is_leaving(live: &Value) -> bool {
    live["metadata"]["deletionTimestamp"].is_string()
}

/// A bare Pod is refused as long as the ServiceAccount, PriorityClass or RuntimeClass that it names is not there,
/// and those may come with this release. Its stage asks again.
pub(super) fn waits_for_another(kind: &GroupKind, refusal: &Refusal) -> bool {
    kind.is("", "Pod") && ["not found", "was found"].iter().any(|words| refusal.reason.contains(words))
}

/// The uid of a live object.
pub(crate) fn uid(live: &Value) -> String {
    live["metadata"]["uid"].as_str().unwrap_or_default().to_owned()
}

/// Reads a failed request about an object.
pub(crate) fn objection(key: &ObjectKey, error: CallError) -> Objection {
    match error {
        CallError::Said(status) if !refusal::is_own_trouble(&status) => Objection::Refused(refusal::read(key, &status)),
        other => Objection::Call(other),
    }
}

/// One objection as the error it is when nothing else is asked.
pub(crate) fn into_error(cluster: &Cluster, objection: Objection) -> ApplyError {
    let mut findings = Findings::default();
    match findings.add(objection) {
        Err(error) => cluster.failed(error),
        Ok(()) => match findings.into_result(()) {
            Err(error) => error,
            Ok(()) => ApplyError::Refused { refusals: Vec::new() },
        },
    }
}

impl Findings {
    fn add(&mut self, objection: Objection) -> Result<(), CallError> {
        match objection {
            Objection::Tracked(one) => self.tracked.push(one),
            Objection::Refused(Refused::Conflict(more)) => self.conflicts.extend(more),
            Objection::Refused(Refused::Immutable(one)) => self.immutable.push(one),
            Objection::Refused(Refused::Other(one)) => self.refused.push(one),
            Objection::Rewritten(one) => self.rewritten.push(one),
            Objection::Call(error) => return Err(error),
        }
        Ok(())
    }

    /// The gravest class of findings is the error; the others would come up again after it is mended.
    fn into_result<T>(self, good: T) -> Result<T, ApplyError> {
        if !self.tracked.is_empty() {
            return Err(ApplyError::ForeignTracking { objects: self.tracked });
        }
        if !self.refused.is_empty() {
            return Err(ApplyError::Refused { refusals: self.refused });
        }
        if !self.rewritten.is_empty() {
            return Err(ApplyError::ImageRewritten { objects: self.rewritten });
        }
        if !self.immutable.is_empty() {
            return Err(ApplyError::Immutable { objects: self.immutable });
        }
        if !self.conflicts.is_empty() {
            return Err(ApplyError::Conflicts { conflicts: self.conflicts });
        }
        Ok(good)
    }
}
