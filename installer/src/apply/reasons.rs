//! Why something is not healthy, in plain words, from its pods and events. Pure: what to ask is asked elsewhere.

use std::collections::BTreeMap;

use serde_json::Value;

use super::health::workload::{trouble, unschedulable};
use super::health::{condition, condition_in_words};

/// How many pods a reason names before it only counts.
const NAMED: usize = 2;
/// Longest message repeated from an event or a container.
const LONGEST: usize = 300;

/// The label selector by which a workload finds its pods; `None` where it has none, or one that cannot be written.
pub fn pod_selector(workload: &Value) -> Option<String> {
    let selector = workload["spec"].get("selector")?.as_object()?;
    let mut parts = Vec::new();
    for (name, value) in selector.get("matchLabels").and_then(Value::as_object).into_iter().flatten() {
        parts.push(format!("{name}={}", value.as_str()?));
    }
    for one in selector.get("matchExpressions").and_then(Value::as_array).into_iter().flatten() {
        let name = one["key"].as_str()?;
        let values: Vec<_> = one["values"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        parts.push(match one["operator"].as_str()? {
            "In" => format!("{name} in ({})", values.join(",")),
            "NotIn" => format!("{name} notin ({})", values.join(",")),
            "Exists" => name.to_owned(),
            "DoesNotExist" => format!("!{name}"),
            _ => return None,
        });
    }
    (!parts.is_empty()).then(|| parts.join(","))
}

/// The pods that are not ready and not on their way out.
pub fn not_ready(pods: &[Value]) -> Vec<&Value> {
    let ready = |pod: &Value| condition(pod, "Ready").is_some_and(|one| one["status"] == "True");
    let done = |pod: &Value| pod["status"]["phase"] == "Succeeded" || pod["metadata"]["deletionTimestamp"].is_string();
    pods.iter().filter(|pod| !ready(pod) && !done(pod)).collect()
}

/// What is wrong with pods, alike ones together: `pod viewer-abc: container app: ImagePullBackOff: … (and 2 more pods)`.
/// `events` are the warnings about each pod, by uid. `None` where nothing is known to be wrong.
pub fn of_pods(pods: &[&Value], events: &BTreeMap<String, Vec<Value>>) -> Option<String> {
    let mut seen: Vec<(String, &str, usize)> = Vec::new();
    for pod in pods {
        let uid = pod["metadata"]["uid"].as_str().unwrap_or_default();
        let warnings = events.get(uid).map(Vec::as_slice).unwrap_or_default();
        let Some(reason) = of_pod(pod, warnings) else { continue };
        match seen.iter_mut().find(|(known, _, _)| *known == reason) {
            Some((_, _, more)) => *more += 1,
            None => seen.push((reason, pod["metadata"]["name"].as_str().unwrap_or("?"), 0)),
        }
    }
    let others = seen.len().saturating_sub(NAMED);
    let mut words: Vec<_> = seen
        .iter()
        .take(NAMED)
        .map(|(reason, name, more)| match more {
            0 => format!("pod {name}: {reason}"),
            1 => format!("pod {name}: {reason} (and 1 more pod)"),
            more => format!("pod {name}: {reason} (and {more} more pods)"),
        })
        .collect();
    if others > 0 {
        words.push(format!("and other trouble in {others} more"));
    }
    (!words.is_empty()).then(|| words.join("; "))
}

fn of_pod(pod: &Value, warnings: &[Value]) -> Option<String> {
    let not_yet = || {
        let ready = condition(pod, "Ready").or_else(|| condition(pod, "ContainersReady"))?;
        ready["message"].as_str().map(|_| condition_in_words(ready))
    };
    let found = trouble(pod).or_else(|| unschedulable(pod));
    // A pod that runs and is not ready: the probe's own words are in the events.
    found.or_else(|| of_events(warnings)).or_else(not_yet).map(|text| shortened(&text))
}

/// Warnings of the kubelet's about the node's own set-up, said again of every pod for ever: no reason why one is not ready.
const ASIDE: [&str; 2] = ["MissingClusterDNS", "DNSConfigForming"];

/// The latest warning: `FailedCreate: …`.
pub fn of_events(warnings: &[Value]) -> Option<String> {
    let when = |event: &&Value| {
        let time = ["lastTimestamp", "eventTime", "firstTimestamp"].iter().find_map(|name| event[name].as_str());
        time.unwrap_or_default().to_owned()
    };
    let tells =
        |event: &&Value| event["type"] == "Warning" && !ASIDE.contains(&event["reason"].as_str().unwrap_or_default());
    let latest = warnings.iter().filter(tells).max_by_key(when)?;
    let text = |name: &str| latest[name].as_str().unwrap_or_default();
    Some(shortened(&format!("{}: {}", text("reason"), text("message"))))
}

/// What container runtimes say of a pull that failed, and what that means at a site.
const PULLS: [(&[&str], &str); 8] = [
    (&["x509:", "certificate"], "it does not trust the registry's certificate"),
    (&["no such host", "server misbehaving", "name resolution"], "it does not find the registry by its name"),
    (&["connection refused", "no route to host", "network is unreachable"], "it does not reach the registry"),
    (&["i/o timeout", "deadline exceeded", "Timeout exceeded"], "the registry does not answer it in time"),
    (&["no space left", "DiskPressure", "ephemeral-storage"], "its disk has no room"),
    (&["unauthorized", "401", "authentication required", "denied", "403"], "the registry does not let it in"),
    (&["not found", "manifest unknown", "404"], "the registry it asks does not have the image"),
    (&["no match for platform", "exec format"], "the image is not for its platform"),
];

/// Why a node could not pull: in plain words where they are known, and in those of its runtime.
pub fn pull_in_words(said: &str) -> String {
    let known = PULLS.iter().find(|(words, _)| words.iter().any(|word| said.contains(word)));
    let said = shortened(said);
    known.map_or(said.clone(), |(_, plain)| format!("{plain} ({said})"))
}

fn shortened(text: &str) -> String {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match text.char_indices().nth(LONGEST) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod(name: &str, waiting: &str) -> Value {
        json!({"metadata": {"name": name, "uid": name}, "status": {"phase": "Pending", "containerStatuses": [
            {"name": "app", "state": {"waiting": {"reason": waiting, "message": "Back-off pulling image \"x\""}}}]}})
    }

    #[test]
    fn selectors_are_written_as_the_server_reads_them() {
        let workload = json!({"spec": {"selector": {"matchLabels": {"app": "viewer"}, "matchExpressions": [
            {"key": "tier", "operator": "In", "values": ["a", "b"]}, {"key": "old", "operator": "DoesNotExist"}]}}});
        assert_eq!(pod_selector(&workload).unwrap(), "app=viewer,tier in (a,b),!old");
        assert_eq!(pod_selector(&json!({"spec": {"selector": {}}})), None);
        assert_eq!(pod_selector(&json!({"spec": {}})), None);
    }

    #[test]
    fn alike_pods_are_told_once() {
        let pods = [pod("a", "ImagePullBackOff"), pod("b", "ImagePullBackOff"), pod("c", "ImagePullBackOff")];
        let words = of_pods(&not_ready(&pods), &BTreeMap::new()).unwrap();
        assert_eq!(words, "pod a: container app: ImagePullBackOff: Back-off pulling image \"x\" (and 2 more pods)");
    }

    #[test]
    fn a_pull_that_failed_is_told_in_plain_words() {
        for (said, plain) in [
            ("ErrImagePull: tls: failed to verify certificate: x509: certificate signed by unknown authority", "trust"),
            ("ErrImagePull: dial tcp: lookup registry.site: no such host", "find the registry by its name"),
            ("ErrImagePull: dial tcp 10.0.0.1:5000: connect: connection refused", "reach"),
            ("ErrImagePull: write /var/lib/containerd/x: no space left on device", "no room"),
            ("Evicted: The node had condition: [DiskPressure].", "no room"),
            ("ErrImagePull: registry.site/a@sha256:0: not found", "does not have the image"),
        ] {
            let words = pull_in_words(said);
            assert!(words.contains(plain) && words.ends_with(&format!("({said})")), "{words}");
        }
        assert_eq!(pull_in_words("something else"), "something else");
    }

    #[test]
    fn ready_and_leaving_pods_are_not_asked() {
        let pods = [
            json!({"status": {"conditions": [{"type": "Ready", "status": "True"}]}}),
            json!({"metadata": {"deletionTimestamp": "now"}}),
            json!({"status": {"phase": "Succeeded"}}),
            pod("d", "ContainerCreating"),
        ];
        assert_eq!(not_ready(&pods).len(), 1);
        assert_eq!(of_pods(&not_ready(&pods), &BTreeMap::new()), None);
    }

    #[test]
    fn the_latest_warning_speaks_where_the_pod_does_not() {
        let event = |time: &str, reason: &str, kind: &str| json!({"type": kind, "reason": reason, "message": "m", "lastTimestamp": time});
        let events = [
            event("2026-01-01", "Old", "Warning"),
            event("2026-01-03", "Fine", "Normal"),
            event("2026-01-04", "MissingClusterDNS", "Warning"),
            event("2026-01-02", "Unhealthy", "Warning"),
        ];
        assert_eq!(of_events(&events).unwrap(), "Unhealthy: m");
        let pods = [pod("a", "ContainerCreating")];
        let by_uid = BTreeMap::from([("a".to_owned(), events.to_vec())]);
        assert_eq!(of_pods(&not_ready(&pods), &by_uid).unwrap(), "pod a: Unhealthy: m");
        assert_eq!(of_events(&[]), None);
    }
}
