//! Asks the server whether it would take the pods that workloads will make: a workload that is taken says nothing of
//! its pods, and a controller that may not make them waits in silence until the time is over.
//!
//! Pod security, quotas, limits and webhooks all speak when a pod is made; here one of each is made as a dry run, and
//! what webhooks make of its images is looked at too.

use std::collections::BTreeSet;

use futures_util::StreamExt;
use serde_json::{Value, json};

use super::cluster::CallError;
use super::error::Refusal;
use super::members::Member;
use super::preflight::{Verdict, waits_for_another};
use super::refusal::{self, Refused};
use super::rewritten::Rewritten;
use super::{ApplyError, Cluster, MANAGER, rewritten};
use crate::handoff::{Event, GroupKind, ObjectKey, OnEvent};
use crate::pod_spec;

/// How many pods are tried at once.
const AT_ONCE: usize = 6;

/// Tries a pod of every workload that would be made or changed. Those in `absent` namespaces, and in namespaces whose
/// rules this very release changes, cannot be tried.
pub(super) async fn check(
    cluster: &Cluster,
    members: &[Member],
    verdicts: &[Verdict],
    absent: &BTreeSet<String>,
    on: &mut OnEvent<'_>,
) -> Result<(), ApplyError> {
    let moving = changing_rules(members, verdicts);
    let is_tried = |member: &Member, verdict: &Verdict| {
        let namespace = &member.key.namespace;
        let changes = matches!(verdict, Verdict::Create | Verdict::Configure(_));
        changes && !member.key.kind.is("", "Pod") && !absent.contains(namespace) && !moving.contains(namespace)
    };
    let tried: Vec<_> = members.iter().zip(verdicts).filter(|(member, verdict)| is_tried(member, verdict)).collect();
    let questions: Vec<_> = tried.iter().map(|(member, _)| tries(cluster, member)).collect();
    let mut answers = futures_util::stream::iter(questions).buffered(AT_ONCE);
    let (mut refusals, mut rewritten, mut index) = (Vec::new(), Vec::new(), 0);
    while let Some(answer) = answers.next().await {
        let (member, verdict) = tried[index];
        index += 1;
        let reason = match answer.map_err(|error| cluster.failed(error))? {
            Trial::Unknown => continue,
            Trial::Taken(found) => {
                for one in found.iter().filter(|one| one.is_same) {
                    on(Event::Note(format!("{}: the cluster's admission changes its pods: {}", member.key, one.words)));
                }
                let reason = rewritten::exchanged(&found);
                rewritten.extend(reason.map(|reason| Refusal { key: member.key.clone(), reason }));
                continue;
            }
            Trial::Refused(reason) => format!("its pods would be refused: {reason}"),
        };
        // What runs now makes room when it goes.
        if reason.contains("exceeded quota") && matches!(verdict, Verdict::Configure(_)) {
            on(Event::Note(format!("{}: {reason}", member.key)));
        } else {
            refusals.push(Refusal { key: member.key.clone(), reason });
        }
    }
    match (refusals.is_empty(), rewritten.is_empty()) {
        (true, true) => Ok(()),
        (true, false) => Err(ApplyError::ImageRewritten { objects: rewritten }),
        (false, _) => Err(ApplyError::Refused { refusals }),
    }
}

/// What came of one pod that was tried.
enum Trial {
    /// The server would take it, with this done to its images.
    Taken(Vec<Rewritten>),
    /// It would not, and why.
    Refused(String),
    /// There is no pod, or it cannot be said yet.
    Unknown,
}

/// Namespaces whose quotas, limits or labels change with this release.
fn changing_rules(members: &[Member], verdicts: &[Verdict]) -> BTreeSet<String> {
    let changed = members.iter().zip(verdicts).filter(|(_, verdict)| !matches!(verdict, Verdict::Unchanged { .. }));
    let ruled = changed.filter_map(|(member, _)| {
        let kind = &member.key.kind;
        match kind {
            _ if kind.is("", "Namespace") => Some(member.key.name.clone()),
            _ if kind.is("", "ResourceQuota") || kind.is("", "LimitRange") => Some(member.key.namespace.clone()),
            _ => None,
        }
    });
    ruled.collect()
}

/// Makes a pod of this member, as a dry run.
async fn tries(cluster: &Cluster, member: &Member) -> Result<Trial, CallError> {
    let Some(template) = pod_spec::pod_of(&member.key, &member.object) else { return Ok(Trial::Unknown) };
    let mut metadata = json!({"generateName": "consign-trial-"});
    for name in ["labels", "annotations"] {
        if template["metadata"][name].is_object() {
            metadata[name] = template["metadata"][name].clone();
        }
    }
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]});
    let path = format!("/api/v1/namespaces/{}/pods?dryRun=All&fieldManager={MANAGER}", member.key.namespace);
    let status = match cluster.post::<Value>(&path, &pod).await {
        Ok(made) => return Ok(Trial::Taken(rewritten::between(template, &made))),
        Err(CallError::Said(status)) => status,
        Err(error) => return Err(error),
    };
    let pod = ObjectKey::new(GroupKind::new("", "Pod"), member.key.namespace.clone(), "");
    let Refused::Other(refusal) = refusal::read(&pod, &status) else { return Ok(Trial::Unknown) };
    // Whoever may not make pods asks in vain; a webhook that knows no dry runs cannot be asked; a server that is on
    // its way up or down says nothing about pods.
    let mute =
        ["cannot create resource", "does not support dry run"].iter().any(|words| refusal.reason.contains(words));
    let passing = refusal::is_own_trouble(&status);
    let is_silent = mute || passing || waits_for_another(&pod.kind, &refusal);
    Ok(if is_silent { Trial::Unknown } else { Trial::Refused(refusal.reason) })
}
