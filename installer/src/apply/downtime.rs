//! Whether an update goes by without an interruption, as far as manifests can say: for sites that demand it. Pure.

use serde_json::Value;

use super::error::Refusal;
use super::members::Member;
use super::preflight::Verdict;
use crate::handoff::ObjectKey;
use crate::pod_spec;

/// What every workload lacks that it would need to be replaced without an interruption; one entry each.
pub(super) fn lacking(members: &[Member], verdicts: &[Verdict]) -> Vec<Refusal> {
    let found = members.iter().zip(verdicts).filter_map(|(member, verdict)| {
        let lacks = lacks(member, verdict, members);
        (!lacks.is_empty()).then(|| Refusal { key: member.key.clone(), reason: format!("lacks {}", lacks.join(", ")) })
    });
    found.collect()
}

fn lacks(member: &Member, verdict: &Verdict, members: &[Member]) -> Vec<String> {
    let kind = &member.key.kind;
    let is = |name: &str| kind.is("apps", name);
    if member.is_hook || !(is("Deployment") || is("StatefulSet") || is("DaemonSet")) {
        return Vec::new();
    }
    let mut lacks = Vec::new();
    if matches!(verdict, Verdict::Recreate { .. }) {
        lacks.push("a change that needs no deletion".to_owned());
    }
    if !is("DaemonSet") && replicas(member, members) < 2 {
        lacks.push("a second replica".to_owned());
    }
    lacks.extend(update(member, members).map(str::to_owned));
    let Some(pod) = pod_spec::pod_of(&member.key, &member.object) else { return lacks };
    for container in pod["spec"]["containers"].as_array().into_iter().flatten() {
        let name = container["name"].as_str().unwrap_or_default();
        if !container["readinessProbe"].is_object() {
            lacks.push(format!("a readinessProbe of {name}"));
        }
        if !container.pointer("/lifecycle/preStop").is_some_and(Value::is_object) {
            lacks.push(format!("a preStop hook of {name}"));
        }
    }
    lacks
}

/// How many there are at least: an autoscaler of the release has the say.
fn replicas(member: &Member, members: &[Member]) -> u64 {
    let scaler = members.iter().find(|one| {
        let target = &one.object["spec"]["scaleTargetRef"];
        one.key.kind.is("autoscaling", "HorizontalPodAutoscaler")
            && one.key.namespace == member.key.namespace
            && target["kind"] == *member.key.kind.kind
            && target["name"] == *member.key.name
    });
    let number = match scaler {
        Some(scaler) => &scaler.object["spec"]["minReplicas"],
        None => &member.object["spec"]["replicas"],
    };
    number.as_u64().unwrap_or(1)
}

/// What is wrong with how its pods are replaced.
fn update(member: &Member, members: &[Member]) -> Option<&'static str> {
    let spec = &member.object["spec"];
    let strategy = if spec["strategy"].is_object() { &spec["strategy"] } else { &spec["updateStrategy"] };
    if strategy["type"].as_str().is_some_and(|kind| kind != "RollingUpdate") {
        return Some("the strategy RollingUpdate");
    }
    let never_less = ["0", "0%"].map(Value::from).contains(&strategy["rollingUpdate"]["maxUnavailable"])
        || strategy["rollingUpdate"]["maxUnavailable"] == 0;
    if member.key.kind.is("apps", "DaemonSet") {
        let surges = !matches!(strategy["rollingUpdate"]["maxSurge"].as_u64(), Some(0))
            && !strategy["rollingUpdate"]["maxSurge"].is_null();
        return (!(never_less && surges)).then_some("maxUnavailable 0 with a maxSurge");
    }
    let labels = &spec["template"]["metadata"]["labels"];
    let is_budgeted = members.iter().any(|one| guards(&one.key, &one.object, &member.key, labels));
    (!never_less && !is_budgeted).then_some("maxUnavailable 0 or a PodDisruptionBudget")
}

fn guards(key: &ObjectKey, budget: &Value, workload: &ObjectKey, labels: &Value) -> bool {
    let wanted = budget["spec"]["selector"]["matchLabels"].as_object();
    key.kind.is("policy", "PodDisruptionBudget")
        && key.namespace == workload.namespace
        && wanted.is_some_and(|wanted| wanted.iter().all(|(name, value)| labels[name] == *value))
}

#[cfg(test)]
mod tests {
    use super::super::stage::Position;
    use super::*;
    use serde_json::json;

    fn member(object: Value) -> Member {
        let key = ObjectKey::of(&object).unwrap();
        let position = Position::of(&key.kind, &object);
        let api_version = object["apiVersion"].as_str().unwrap().to_owned();
        Member { key, api_version, position, object, is_hook: false }
    }

    fn workload(kind: &str, spec: Value, container: Value) -> Value {
        let mut object =
            json!({"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": "web", "namespace": "n"}, "spec": spec});
        object["spec"]["template"] =
            json!({"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [container]}});
        object
    }

    fn good() -> Value {
        json!({"name": "c", "readinessProbe": {"httpGet": {}}, "lifecycle": {"preStop": {"sleep": {"seconds": 5}}}})
    }

    fn said(objects: Vec<Value>) -> Vec<String> {
        let members: Vec<_> = objects.into_iter().map(member).collect();
        let verdicts = vec![Verdict::Create; members.len()];
        lacking(&members, &verdicts).into_iter().map(|one| format!("{}: {}", one.key, one.reason)).collect()
    }

    #[test]
    fn everything_that_is_lacking_is_named() {
        let bare = workload("Deployment", json!({}), json!({"name": "c"}));
        assert_eq!(
            said(vec![bare]),
            [
                "Deployment n/web: lacks a second replica, maxUnavailable 0 or a PodDisruptionBudget, a readinessProbe of c, a preStop hook of c"
            ]
        );
        let strategy = json!({"replicas": 2, "strategy": {"type": "Recreate"}});
        assert_eq!(
            said(vec![workload("Deployment", strategy, good())]),
            ["Deployment n/web: lacks the strategy RollingUpdate"]
        );
        let daemon = json!({"updateStrategy": {"rollingUpdate": {"maxUnavailable": 0}}});
        assert_eq!(
            said(vec![workload("DaemonSet", daemon, good())]),
            ["DaemonSet n/web: lacks maxUnavailable 0 with a maxSurge"]
        );
    }

    #[test]
    fn what_is_well_made_passes() {
        let rolling = |max: Value| json!({"replicas": 2, "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": max}}});
        for max in [json!(0), json!("0"), json!("0%")] {
            assert!(said(vec![workload("Deployment", rolling(max), good())]).is_empty());
        }
        let budget = |label: &str| {
            json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "b", "namespace": "n"},
            "spec": {"selector": {"matchLabels": {"app": label}}}})
        };
        let two = || workload("StatefulSet", json!({"replicas": 2}), good());
        assert!(said(vec![two(), budget("web")]).is_empty());
        assert_eq!(said(vec![two(), budget("other")]).len(), 1);
        let scaler = |least: u64| {
            json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "h", "namespace": "n"},
            "spec": {"minReplicas": least, "scaleTargetRef": {"kind": "StatefulSet", "name": "web"}}})
        };
        assert_eq!(said(vec![two(), budget("web"), scaler(1)]), ["StatefulSet n/web: lacks a second replica"]);
        assert!(said(vec![workload("StatefulSet", json!({}), good()), budget("web"), scaler(2)]).is_empty());
        assert!(
            said(vec![json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "j", "namespace": "n"}})])
                .is_empty()
        );
    }
}
