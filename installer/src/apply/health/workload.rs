//! Health of what runs pods. Numbers first, since they are what a person looks for.

use std::time::Duration;

use serde_json::Value;

use super::{Health, condition, condition_in_words, unseen};

/// How long a pod may find no node: a scheduler retries, and a node may be joining.
const UNSCHEDULABLE: Duration = Duration::from_secs(15);
/// How long a bare pod's container may fail to start: a mirror may be restarting.
const NOT_STARTING: Duration = Duration::from_secs(15);

fn number(object: &Value, pointer: &str) -> i64 {
    object.pointer(pointer).and_then(Value::as_i64).unwrap_or(0)
}

/// `spec.replicas`, 1 where absent.
fn wanted(object: &Value) -> i64 {
    object["spec"]["replicas"].as_i64().unwrap_or(1)
}

/// Adds the condition `ReplicaFailure` (a quota, an admission webhook), without which nobody learns why no pod comes.
fn with_replica_failure(object: &Value, reason: String) -> String {
    match condition(object, "ReplicaFailure").filter(|one| one["status"] == "True") {
        Some(failure) => format!("{reason}; {}", condition_in_words(failure)),
        None => reason,
    }
}

pub(super) fn deployment(object: &Value) -> Health {
    if unseen(object) {
        return Health::waits("its controller has not seen it yet");
    }
    let wanted = wanted(object);
    let [updated, total, ready, available] = ["updatedReplicas", "replicas", "readyReplicas", "availableReplicas"]
        .map(|name| object["status"][name].as_i64().unwrap_or(0));
    let reason = with_replica_failure(object, format!("{ready} of {wanted} pods ready"));
    // A paused Deployment makes no progress by its owner's wish.
    let late = condition(object, "Progressing").filter(|one| one["reason"] == "ProgressDeadlineExceeded");
    if late.is_some() && object["spec"]["paused"] != true {
        return Health::failed(format!("{reason}; it made no progress within its deadline"));
    }
    if ready < wanted {
        return Health::waits(reason);
    }
    if updated < wanted {
        return Health::waits(format!("{updated} of {wanted} pods updated"));
    }
    if total > updated {
        return Health::waits(format!("{} old pods still there", total - updated));
    }
    if available < updated {
        return Health::waits(format!("{available} of {wanted} pods available"));
    }
    match condition(object, "Available").filter(|one| one["status"] != "True") {
        Some(not) => Health::waits(condition_in_words(not)),
        None => Health::Current,
    }
}

pub(super) fn replica_set(object: &Value) -> Health {
    if unseen(object) {
        return Health::waits("its controller has not seen it yet");
    }
    let (wanted, ready) = (wanted(object), number(object, "/status/availableReplicas"));
    if ready < wanted {
        Health::waits(with_replica_failure(object, format!("{ready} of {wanted} pods ready")))
    } else {
        Health::Current
    }
}

pub(super) fn stateful_set(object: &Value) -> Health {
    if unseen(object) {
        return Health::waits("its controller has not seen it yet");
    }
    let wanted = wanted(object);
    let ready = number(object, "/status/readyReplicas");
    if ready < wanted {
        return Health::waits(format!("{ready} of {wanted} pods ready"));
    }
    if number(object, "/status/replicas") > wanted {
        return Health::waits("pods beyond the wanted number still there");
    }
    // With OnDelete somebody replaces the pods by hand; old ones are as healthy as they get.
    if object["spec"]["updateStrategy"]["type"] == "OnDelete" {
        return Health::Current;
    }
    let partition = number(object, "/spec/updateStrategy/rollingUpdate/partition");
    let updated = number(object, "/status/updatedReplicas");
    if updated < wanted - partition {
        return Health::waits(format!("{updated} of {} pods updated", wanted - partition));
    }
    let status = &object["status"];
    if partition == 0
        && wanted > 0
        && status["updateRevision"].is_string()
        && status["currentRevision"] != status["updateRevision"]
    {
        return Health::waits("its rolling update is not finished");
    }
    Health::Current
}

pub(super) fn daemon_set(object: &Value) -> Health {
    if unseen(object) {
        return Health::waits("its controller has not seen it yet");
    }
    let [wanted, updated, available, ready] =
        ["desiredNumberScheduled", "updatedNumberScheduled", "numberAvailable", "numberReady"]
            .map(|name| object["status"][name].as_i64().unwrap_or(0));
    if ready < wanted {
        return Health::waits(format!("{ready} of {wanted} pods ready"));
    }
    if object["spec"]["updateStrategy"]["type"] != "OnDelete" && updated < wanted {
        return Health::waits(format!("{updated} of {wanted} pods updated"));
    }
    if available < wanted { Health::waits(format!("{available} of {wanted} pods available")) } else { Health::Current }
}

pub(super) fn job(object: &Value) -> Health {
    let holds = |kind: &str| condition(object, kind).filter(|one| one["status"] == "True");
    if let Some(failed) = holds("Failed") {
        return Health::failed(condition_in_words(failed));
    }
    if holds("Complete").is_some() {
        return Health::Current;
    }
    if holds("Suspended").is_some() {
        return Health::Current;
    }
    let failed = number(object, "/status/failed");
    let wanted = object["spec"]["completions"].as_i64().unwrap_or(1);
    let done = number(object, "/status/succeeded");
    let tries = if failed > 0 { format!(", {failed} pods failed so far") } else { String::new() };
    Health::waits(format!("{done} of {wanted} completions{tries}"))
}

pub(super) fn pod(object: &Value) -> Health {
    match object["status"]["phase"].as_str() {
        Some("Succeeded") => return Health::Current,
        Some("Failed") => {
            let message = object["status"]["message"].as_str().or(object["status"]["reason"].as_str());
            return Health::failed(
                trouble(object).or(message.map(str::to_owned)).unwrap_or_else(|| "it failed".to_owned()),
            );
        }
        _ => {}
    }
    if condition(object, "Ready").is_some_and(|one| one["status"] == "True") {
        return Health::Current;
    }
    if let Some(reason) = unschedulable(object) {
        return Health::Failing { reason, patience: UNSCHEDULABLE };
    }
    match trouble(object) {
        Some(reason) => Health::Failing { reason, patience: NOT_STARTING },
        None => Health::waits("not ready"),
    }
}

/// Why no node takes the pod.
pub(crate) fn unschedulable(pod: &Value) -> Option<String> {
    let found =
        condition(pod, "PodScheduled").filter(|one| one["status"] == "False" && one["reason"] == "Unschedulable")?;
    Some(format!("no node takes it: {}", found["message"].as_str().unwrap_or("unschedulable")))
}

/// The first container that is in trouble, and the trouble: `container app: ImagePullBackOff: …`.
pub(crate) fn trouble(pod: &Value) -> Option<String> {
    let statuses =
        ["initContainerStatuses", "containerStatuses"].into_iter().flat_map(|name| pod["status"][name].as_array());
    statuses.flatten().find_map(|status| {
        let name = status["name"].as_str().unwrap_or("?");
        let waiting = &status["state"]["waiting"];
        let reason = waiting["reason"].as_str().unwrap_or_default();
        let last =
            ended_badly(&status["lastState"]["terminated"]).or_else(|| ended_badly(&status["state"]["terminated"]));
        if is_bad(reason) {
            let message = waiting["message"].as_str().filter(|text| !text.is_empty());
            // There the kubelet's own words are of how long it waits, and say nothing of why.
            let why = if reason == CRASHED { last.as_deref().or(message) } else { message.or(last.as_deref()) };
            let why = why.map(|text| format!(": {text}")).unwrap_or_default();
            return Some(format!("container {name}: {reason}{why}"));
        }
        ended_badly(&status["state"]["terminated"]).map(|how| format!("container {name}: {how}"))
    })
}

/// The container ended, and is started again after a while.
const CRASHED: &str = "CrashLoopBackOff";

/// Waiting reasons that do not pass by themselves.
fn is_bad(reason: &str) -> bool {
    reason.starts_with("Err")
        || reason.ends_with("Error")
        || reason.ends_with("BackOff")
        || reason == "InvalidImageName"
}

fn ended_badly(terminated: &Value) -> Option<String> {
    let code = terminated["exitCode"].as_i64().filter(|code| *code != 0)?;
    let reason = terminated["reason"].as_str().unwrap_or("Error");
    Some(format!("ended with exit code {code} ({reason})"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[track_caller]
    fn waits(health: Health, reason: &str) {
        assert_eq!(health, Health::InProgress { reason: reason.to_owned() });
    }

    #[test]
    fn a_deployment_is_current_when_every_number_agrees() {
        let at = |status: Value| {
            deployment(&json!({"metadata": {"generation": 2}, "spec": {"replicas": 2}, "status": status}))
        };
        let status = |updated: i64, total: i64, ready: i64, available: i64| {
            at(
                json!({"observedGeneration": 2, "updatedReplicas": updated, "replicas": total, "readyReplicas": ready, "availableReplicas": available}),
            )
        };
        assert_eq!(status(2, 2, 2, 2), Health::Current);
        waits(at(json!({})), "its controller has not seen it yet");
        waits(at(json!({"observedGeneration": 1, "readyReplicas": 2})), "its controller has not seen it yet");
        waits(status(2, 2, 1, 1), "1 of 2 pods ready");
        waits(status(1, 3, 2, 2), "1 of 2 pods updated");
        waits(status(2, 3, 3, 3), "1 old pods still there");
        waits(status(2, 2, 2, 1), "1 of 2 pods available");
    }

    #[test]
    fn a_deployment_fails_at_its_own_deadline_and_says_what_kept_its_pods() {
        let mut object = json!({"spec": {"replicas": 1}, "status": {"conditions": [
            {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": "exceeded quota"},
            {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}]}});
        let reason = "0 of 1 pods ready; FailedCreate: exceeded quota; it made no progress within its deadline";
        assert_eq!(deployment(&object), Health::Failed { reason: reason.into() });
        object["spec"]["paused"] = json!(true);
        waits(deployment(&object), "0 of 1 pods ready; FailedCreate: exceeded quota");
    }

    #[test]
    fn a_deployment_of_no_pods_is_current() {
        assert_eq!(deployment(&json!({"spec": {"replicas": 0}, "status": {}})), Health::Current);
    }

    #[test]
    fn stateful_sets_know_partitions_and_on_delete() {
        let at = |strategy: Value, status: Value| {
            stateful_set(&json!({"spec": {"replicas": 3, "updateStrategy": strategy}, "status": status}))
        };
        let status = |updated: i64, current: &str| json!({"readyReplicas": 3, "replicas": 3, "updatedReplicas": updated, "currentRevision": current, "updateRevision": "b"});
        assert_eq!(at(json!({}), status(3, "b")), Health::Current);
        waits(at(json!({}), status(3, "a")), "its rolling update is not finished");
        waits(at(json!({}), status(1, "a")), "1 of 3 pods updated");
        assert_eq!(at(json!({"rollingUpdate": {"partition": 2}}), status(1, "a")), Health::Current);
        assert_eq!(at(json!({"type": "OnDelete"}), status(0, "a")), Health::Current);
        waits(at(json!({}), json!({"readyReplicas": 1})), "1 of 3 pods ready");
    }

    #[test]
    fn daemon_sets_count_nodes() {
        let at = |status: Value| daemon_set(&json!({"status": status}));
        assert_eq!(at(json!({"desiredNumberScheduled": 0})), Health::Current);
        waits(at(json!({"desiredNumberScheduled": 2, "numberReady": 1})), "1 of 2 pods ready");
        waits(
            at(json!({"desiredNumberScheduled": 2, "numberReady": 2, "updatedNumberScheduled": 1})),
            "1 of 2 pods updated",
        );
    }

    #[test]
    fn a_job_that_has_merely_started_is_not_current() {
        let at = |status: Value| job(&json!({"spec": {"completions": 1}, "status": status}));
        waits(at(json!({"active": 1})), "0 of 1 completions");
        waits(at(json!({"active": 1, "failed": 2})), "0 of 1 completions, 2 pods failed so far");
        assert_eq!(at(json!({"conditions": [{"type": "Complete", "status": "True"}]})), Health::Current);
        let failed = json!({"conditions": [{"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded"}]});
        assert_eq!(at(failed), Health::Failed { reason: "BackoffLimitExceeded".into() });
    }

    #[test]
    fn a_pod_that_failed_is_not_current() {
        assert_eq!(pod(&json!({"status": {"phase": "Succeeded"}})), Health::Current);
        assert_eq!(
            pod(&json!({"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}})),
            Health::Current
        );
        assert_eq!(
            pod(&json!({"status": {"phase": "Failed", "reason": "Evicted"}})),
            Health::Failed { reason: "Evicted".into() }
        );
        waits(pod(&json!({"status": {"phase": "Pending"}})), "not ready");
    }

    #[test]
    fn a_pod_in_trouble_fails_after_some_patience() {
        let pulling = json!({"status": {"phase": "Pending", "containerStatuses": [{"name": "app", "state": {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}}]}});
        let reason = "container app: ImagePullBackOff: no such image".to_owned();
        assert_eq!(pod(&pulling), Health::Failing { reason, patience: NOT_STARTING });
        let homeless = json!({"status": {"conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes"}]}});
        assert_eq!(
            pod(&homeless),
            Health::Failing { reason: "no node takes it: 0/3 nodes".into(), patience: UNSCHEDULABLE }
        );
    }

    #[test]
    fn trouble_tells_how_a_container_ended() {
        let status = |state: Value, last: Value| json!({"status": {"containerStatuses": [{"name": "app", "state": state, "lastState": last}]}});
        let crash = json!({"terminated": {"exitCode": 3, "reason": "Error"}});
        let looping = status(json!({"waiting": {"reason": "CrashLoopBackOff"}}), crash.clone());
        assert_eq!(trouble(&looping).unwrap(), "container app: CrashLoopBackOff: ended with exit code 3 (Error)");
        let message = "back-off 10s restarting failed container=app pod=web-0_demo(6c0b2b6e)";
        let looping = status(json!({"waiting": {"reason": "CrashLoopBackOff", "message": message}}), crash.clone());
        assert_eq!(trouble(&looping).unwrap(), "container app: CrashLoopBackOff: ended with exit code 3 (Error)");
        assert_eq!(trouble(&status(crash, json!({}))).unwrap(), "container app: ended with exit code 3 (Error)");
        assert_eq!(trouble(&status(json!({"waiting": {"reason": "ContainerCreating"}}), json!({}))), None);
        assert_eq!(trouble(&status(json!({"terminated": {"exitCode": 0}}), json!({}))), None);
    }
}
