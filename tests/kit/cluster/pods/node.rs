//! The one node of a test's cluster: always ready, with room for everything.

use k8s_openapi::api::core::v1::Node;
use kube::Client;
use kube::api::{Api, Patch, PatchParams, PostParams};
use serde_json::json;

use super::NODE;

/// Creates it. It needs no heartbeat, since the node lifecycle controller does not run.
pub(super) async fn create(client: &Client) {
    let api: Api<Node> = Api::all(client.clone());
    let node: Node = serde_json::from_value(json!({
        "metadata": {"name": NODE, "labels": {
            "kubernetes.io/hostname": NODE, "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64",
        }},
    }))
    .expect("a node");
    api.create(&PostParams::default(), &node).await.expect("the node is created");
    // Admission taints every new node as not ready; the controller that would lift it does not run.
    let untainted = json!({"spec": {"taints": null}});
    api.patch(NODE, &PatchParams::default(), &Patch::Merge(untainted)).await.expect("the taint is lifted");
    let room = json!({"cpu": "1000", "memory": "1Ti", "ephemeral-storage": "10Ti", "pods": "10000"});
    let status = json!({"status": {
        "capacity": room,
        "allocatable": room,
        "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}, {"type": "Hostname", "address": NODE}],
        "conditions": [{"type": "Ready", "status": "True", "reason": "Simulated", "message": "it is always ready"}],
        "nodeInfo": {
            "architecture": "amd64", "operatingSystem": "linux", "osImage": "simulated", "kernelVersion": "0",
            "containerRuntimeVersion": "simulated://0", "kubeletVersion": "v0.0.0", "kubeProxyVersion": "",
            "machineID": "", "systemUUID": "", "bootID": "",
        },
    }});
    api.patch_status(NODE, &PatchParams::default(), &Patch::Merge(status)).await.expect("the node gets ready");
}
