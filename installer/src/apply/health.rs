//! Whether a live object does what it was applied for: a pure function of the object, kind by kind.
//!
//! Starts from kstatus and mends its traps: there a Pod that failed and a Job that has merely started count as current.
//! Asks nobody and knows no clock; what only time can tell is said as [`Health::Failing`], and the waiting loop times it.

use std::time::Duration;

use serde_json::Value;

use crate::handoff::GroupKind;

pub(crate) mod workload;

/// The health of one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// It does what was asked.
    Current,
    /// It is on its way.
    InProgress {
        /// What it waits for.
        reason: String,
    },
    /// It looks bad, and has failed once it has looked bad for this long.
    Failing {
        /// What is bad.
        reason: String,
        /// For how long that may be a passing thing.
        patience: Duration,
    },
    /// It has failed for good.
    Failed {
        /// How.
        reason: String,
    },
    /// It is being deleted.
    Terminating,
}

impl Health {
    fn waits(reason: impl Into<String>) -> Health {
        Health::InProgress { reason: reason.into() }
    }

    fn failed(reason: impl Into<String>) -> Health {
        Health::Failed { reason: reason.into() }
    }
}

/// Assesses a live object.
pub fn assess(kind: &GroupKind, object: &Value) -> Health {
    if object["metadata"]["deletionTimestamp"].is_string() {
        return Health::Terminating;
    }
    match (kind.group.as_str(), kind.kind.as_str()) {
        ("apps", "Deployment") => workload::deployment(object),
        ("apps", "StatefulSet") => workload::stateful_set(object),
        ("apps", "DaemonSet") => workload::daemon_set(object),
        ("apps", "ReplicaSet") | ("", "ReplicationController") => workload::replica_set(object),
        ("batch", "Job") => workload::job(object),
        ("", "Pod") => workload::pod(object),
        ("", "PersistentVolumeClaim") => claim(object, false),
        ("", "Namespace") => namespace(object),
        ("apiextensions.k8s.io", "CustomResourceDefinition") => definition(object),
        ("apiregistration.k8s.io", "APIService") => by_condition(object, "Available"),
        (group, _) if is_custom(group) => custom(object),
        _ => Health::Current,
    }
}

/// Tells whether objects of a kind can be anything but current; the others need not be looked at again.
pub fn can_wait(kind: &GroupKind) -> bool {
    let watched = match kind.group.as_str() {
        "apps" => &["Deployment", "StatefulSet", "DaemonSet", "ReplicaSet"][..],
        "" => &["ReplicationController", "Pod", "PersistentVolumeClaim", "Namespace"],
        "batch" => &["Job"],
        "apiextensions.k8s.io" => &["CustomResourceDefinition"],
        "apiregistration.k8s.io" => &["APIService"],
        group => return is_custom(group),
    };
    watched.contains(&kind.kind.as_str())
}

fn is_custom(group: &str) -> bool {
    group.contains('.') && !group.ends_with(".k8s.io")
}

/// Finds a condition by type.
pub(crate) fn condition<'a>(object: &'a Value, kind: &str) -> Option<&'a Value> {
    object["status"]["conditions"].as_array()?.iter().find(|one| one["type"] == kind)
}

/// Says a condition in words: `reason: message`.
pub(crate) fn condition_in_words(condition: &Value) -> String {
    let text = |name: &str| condition[name].as_str().unwrap_or_default();
    match (text("reason"), text("message")) {
        ("", "") => format!("{} is {}", text("type"), text("status")),
        (reason, "") => reason.to_owned(),
        ("", message) => message.to_owned(),
        (reason, message) => format!("{reason}: {message}"),
    }
}

/// Whether the controller has not yet seen the object as it is now.
fn unseen(object: &Value) -> bool {
    let observed = object["status"]["observedGeneration"].as_i64();
    let generation = object["metadata"]["generation"].as_i64();
    matches!((observed, generation), (observed, Some(generation)) if observed.is_none_or(|seen| seen < generation))
}

fn by_condition(object: &Value, kind: &str) -> Health {
    match condition(object, kind) {
        Some(found) if found["status"] == "True" => Health::Current,
        Some(found) => Health::waits(condition_in_words(found)),
        None => Health::waits(format!("condition {kind} is not reported yet")),
    }
}

/// Assesses a PersistentVolumeClaim. `binds_on_use` tells that its class waits for the first consumer:
/// then a pending claim is as good as it gets before a pod comes, and the pod's own health tells the rest.
pub fn claim(object: &Value, binds_on_use: bool) -> Health {
    match object["status"]["phase"].as_str() {
        Some("Bound") => Health::Current,
        Some("Lost") => Health::failed("the volume it was bound to is lost"),
        _ if binds_on_use => Health::Current,
        _ => Health::waits("not bound to a volume yet"),
    }
}

fn namespace(object: &Value) -> Health {
    match object["status"]["phase"].as_str() {
        Some("Active") | None => Health::Current,
        Some(phase) => Health::waits(format!("its phase is {phase}")),
    }
}

fn definition(object: &Value) -> Health {
    if let Some(names) = condition(object, "NamesAccepted").filter(|one| one["status"] == "False") {
        return Health::failed(condition_in_words(names));
    }
    by_condition(object, "Established")
}

/// A custom resource: the conditions that its author's controller reports, where there are any (kstatus' generic rules).
fn custom(object: &Value) -> Health {
    if object["status"]["observedGeneration"].is_i64() && unseen(object) {
        return Health::waits("its controller has not seen it yet");
    }
    let holds = |kind: &str| condition(object, kind).filter(|one| one["status"] == "True");
    if let Some(stalled) = holds("Stalled") {
        return Health::failed(condition_in_words(stalled));
    }
    if let Some(reconciling) = holds("Reconciling") {
        return Health::waits(condition_in_words(reconciling));
    }
    match condition(object, "Ready").or_else(|| condition(object, "Available")) {
        Some(found) if found["status"] != "True" => Health::waits(condition_in_words(found)),
        _ => Health::Current,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[track_caller]
    fn expect(kind: &str, object: Value, expected: &str) {
        let health = assess(&GroupKind::from_dotted(kind), &object);
        let seen = match &health {
            Health::Current => "current".to_owned(),
            Health::InProgress { reason } => format!("waits: {reason}"),
            Health::Failing { reason, patience } => format!("failing {}s: {reason}", patience.as_secs()),
            Health::Failed { reason } => format!("failed: {reason}"),
            Health::Terminating => "terminating".to_owned(),
        };
        assert_eq!(seen, expected, "{object}");
    }

    #[test]
    fn what_merely_exists_is_current() {
        for kind in [
            "ConfigMap",
            "Secret",
            "CronJob.batch",
            "Service",
            "Ingress.networking.k8s.io",
            "PodDisruptionBudget.policy",
            "HorizontalPodAutoscaler.autoscaling",
        ] {
            expect(kind, json!({"metadata": {"generation": 3}, "spec": {"type": "LoadBalancer"}}), "current");
        }
        expect("ConfigMap", json!({"metadata": {"deletionTimestamp": "now"}}), "terminating");
    }

    #[test]
    fn claims_and_namespaces() {
        let claim = |phase: &str| json!({"status": {"phase": phase}});
        expect("PersistentVolumeClaim", claim("Bound"), "current");
        expect("PersistentVolumeClaim", claim("Pending"), "waits: not bound to a volume yet");
        expect("PersistentVolumeClaim", claim("Lost"), "failed: the volume it was bound to is lost");
        assert_eq!(super::claim(&claim("Pending"), true), Health::Current);
        assert!(matches!(super::claim(&claim("Lost"), true), Health::Failed { .. }));
        expect("Namespace", claim("Active"), "current");
        expect("Namespace", claim("Terminating"), "waits: its phase is Terminating");
    }

    #[test]
    fn definitions_are_served_or_not() {
        let kind = "CustomResourceDefinition.apiextensions.k8s.io";
        let with = |conditions: Value| json!({"status": {"conditions": conditions}});
        expect(kind, json!({}), "waits: condition Established is not reported yet");
        expect(
            kind,
            with(json!([{"type": "NamesAccepted", "status": "True"}, {"type": "Established", "status": "True"}])),
            "current",
        );
        expect(
            kind,
            with(
                json!([{"type": "NamesAccepted", "status": "False", "reason": "Conflict", "message": "viewers is taken"}]),
            ),
            "failed: Conflict: viewers is taken",
        );
    }

    #[test]
    fn custom_resources_speak_through_conditions() {
        let kind = "Viewer.example.dev";
        let with = |status: Value| json!({"metadata": {"generation": 2}, "status": status});
        expect(kind, json!({"metadata": {"generation": 2}}), "current");
        expect(kind, with(json!({"observedGeneration": 1})), "waits: its controller has not seen it yet");
        expect(kind, with(json!({"conditions": [{"type": "Ready", "status": "True"}]})), "current");
        expect(
            kind,
            with(json!({"conditions": [{"type": "Ready", "status": "False", "reason": "Pulling"}]})),
            "waits: Pulling",
        );
        expect(
            kind,
            with(json!({"conditions": [{"type": "Available", "status": "Unknown"}]})),
            "waits: Available is Unknown",
        );
        expect(
            kind,
            with(json!({"conditions": [{"type": "Stalled", "status": "True", "message": "bad spec"}]})),
            "failed: bad spec",
        );
        expect(
            kind,
            with(json!({"conditions": [{"type": "Reconciling", "status": "True", "reason": "Busy"}]})),
            "waits: Busy",
        );
    }

    #[test]
    fn api_services_wait_for_available() {
        let kind = "APIService.apiregistration.k8s.io";
        expect(
            kind,
            json!({"status": {"conditions": [{"type": "Available", "status": "False", "reason": "MissingEndpoints"}]}}),
            "waits: MissingEndpoints",
        );
        expect(kind, json!({"status": {"conditions": [{"type": "Available", "status": "True"}]}}), "current");
    }
}
