//! The cluster: whether its API answers and lets us in; then what it says of versions, nodes, permissions and pulls.

use serde_json::Value;

use super::{Check, Finding, NO_CONFIG, PATIENCE, Patient, nodes, permissions, versions};
use crate::apply::cluster::CallError;
use crate::apply::{Cluster, Lookup};
use crate::config::HandoffKind;
use crate::held_objects::{HeldObjects, held_objects};

const CLUSTER: Check =
    Check { id: "cluster", why: "what is installed is handed to the Kubernetes API, and to nobody else" };
const PULLS: Check = Check {
    id: "image-pulls",
    why: "a pod whose image a node cannot pull does not start; this is what the nodes themselves report",
};

pub(super) async fn look(patient: &Patient<'_>, lookup: &Lookup) -> Vec<Finding> {
    let unasked = |why: &str| {
        let others = [&versions::VERSIONS, &nodes::NODES, &permissions::PERMISSIONS, &PULLS];
        others.iter().map(|check| check.skipped(why)).collect::<Vec<_>>()
    };
    let first = |finding: Finding, why: &str| [vec![finding], unasked(why)].concat();
    match patient.config.map(|config| config.handoff) {
        None => return first(CLUSTER.skipped(NO_CONFIG), NO_CONFIG),
        Some(HandoffKind::Export) => {
            let why = "the handoff is export: somebody else applies what is exported";
            return first(CLUSTER.skipped(why), why);
        }
        Some(HandoffKind::Direct) => {}
    }
    let cluster = match tokio::time::timeout(PATIENCE, Cluster::connect(lookup)).await {
        Ok(Ok(cluster)) => cluster,
        Ok(Err(error)) => return first(CLUSTER.failed(&error), "the cluster was not reached"),
        Err(_) => {
            let what = format!("the cluster did not answer in {} seconds", PATIENCE.as_secs());
            let fix =
                "is its control plane running (systemctl status k3s, rke2-server or kubelet), and reached from here?";
            return first(CLUSTER.fail(what, fix), "the cluster was not reached");
        }
    };
    let answers =
        CLUSTER.ok(format!("Kubernetes {} answers at {} and lets us in", cluster.version(), cluster.server()));
    let held = held_objects(patient.store);
    let nodes_said = ask(&cluster, "/api/v1/nodes?limit=500").await;
    let mut findings = vec![answers];
    findings.extend(versions::look(patient, &cluster, nodes_said.as_ref()));
    findings.extend(nodes::look(patient, nodes_said.as_ref()));
    match &held {
        Ok(held) => {
            findings.push(permissions::look(&cluster, held).await);
            findings.push(pulls(&cluster, held).await);
        }
        Err(error) => {
            findings.extend([&permissions::PERMISSIONS, &PULLS].map(|check| check.skipped(error.to_string())));
        }
    }
    findings
}

/// One GET, bounded. An error is why there is no answer, in words.
pub(crate) async fn ask(cluster: &Cluster, path: &str) -> Result<Value, String> {
    let request = http::Request::get(path).body(Vec::new()).map_err(|error| error.to_string())?;
    match tokio::time::timeout(PATIENCE, cluster.call::<Value>(request)).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(CallError::Said(status))) if matches!(status.code, 401 | 403) => {
            Err("the user of the kubeconfig may not look there".to_owned())
        }
        Ok(Err(CallError::Said(status))) => Err(status.message.clone()),
        Ok(Err(CallError::Unreachable(reason))) => Err(reason),
        Err(_) => Err(format!("no answer in {} seconds", PATIENCE.as_secs())),
    }
}

/// The items of a list; none where it is no list.
pub(crate) fn items(list: &Value) -> &[Value] {
    list["items"].as_array().map(Vec::as_slice).unwrap_or_default()
}

async fn pulls(cluster: &Cluster, held: &HeldObjects) -> Finding {
    if held.namespaces.is_empty() {
        return PULLS.skipped("nothing is installed yet, so no pod of ours could tell");
    }
    let (mut failing, mut pods) = (Vec::new(), 0);
    for namespace in &held.namespaces {
        let path = format!("/api/v1/namespaces/{namespace}/pods?limit=500");
        match ask(cluster, &path).await {
            Ok(list) => {
                pods += items(&list).len();
                failing.extend(items(&list).iter().filter_map(failing_pull));
            }
            Err(reason) => return PULLS.skipped(format!("pods of {namespace}: {reason}")),
        }
    }
    judge_pulls(pods, &failing)
}

/// `node NODE cannot pull IMAGE: MESSAGE`, if a pod waits for that.
fn failing_pull(pod: &Value) -> Option<String> {
    let containers = ["initContainerStatuses", "containerStatuses"].map(|name| pod["status"][name].as_array());
    containers.into_iter().flatten().flatten().find_map(|container| {
        let waiting = &container["state"]["waiting"];
        let reason = waiting["reason"].as_str().filter(|one| ["ErrImagePull", "ImagePullBackOff"].contains(one))?;
        let node = pod["spec"]["nodeName"].as_str().unwrap_or("unknown");
        let message = waiting["message"].as_str().unwrap_or(reason);
        Some(format!("node {node} cannot pull {}: {message}", container["image"].as_str().unwrap_or("an image")))
    })
}

/// No complaint is no proof: nodes that have not pulled since cannot complain.
fn judge_pulls(pods: usize, failing: &[String]) -> Finding {
    match failing {
        [] => PULLS.skipped(format!(
            "none of {pods} pods of our products waits for an image; that every node pulls from here is proven on it alone: consign-site nodes check"
        )),
        [first, ..] => PULLS.fail(
            format!("{} of {pods} pods wait for an image; {first}", failing.len()),
            "run consign-site nodes check on that node, as root",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Level;
    use serde_json::json;

    #[test]
    fn a_node_that_cannot_pull_is_named_and_silence_is_no_proof() {
        let pod = json!({"spec": {"nodeName": "n1"}, "status": {"containerStatuses": [
            {"image": "quay.io/a:1", "state": {"running": {}}},
            {"image": "quay.io/b:1", "state": {"waiting": {"reason": "ImagePullBackOff", "message": "no route"}}}]}});
        let said = failing_pull(&pod).unwrap();
        assert_eq!(said, "node n1 cannot pull quay.io/b:1: no route");
        assert_eq!(judge_pulls(2, &[said]).level, Level::Fail);
        assert_eq!(judge_pulls(2, &[]).level, Level::Skipped);
        assert_eq!(
            failing_pull(
                &json!({"status": {"containerStatuses": [{"state": {"waiting": {"reason": "CrashLoopBackOff"}}}]}})
            ),
            None
        );
    }
}
