//! The nodes of a test's cluster: with room for everything, ready unless a test wants one that is not.

use k8s_openapi::api::core::v1::Node;
use kube::Client;
use kube::api::{Api, Patch, PatchParams, PostParams};
use serde_json::json;

use super::NODE;

/// What a node is like.
#[derive(Debug, Clone, Copy)]
pub struct Machine<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its architecture, as Go names it.
    pub arch: &'a str,
    /// Whether its kubelet lives: else its pods get no status.
    pub ready: bool,
    /// Whether it is cordoned.
    pub cordoned: bool,
}

impl Machine<'static> {
    /// The one that every cluster has.
    pub(super) const FIRST: Machine<'static> = Machine { name: NODE, arch: "amd64", ready: true, cordoned: false };
}

/// Creates it. It needs no heartbeat, since the node lifecycle controller does not run.
pub(super) async fn create(client: &Client, machine: Machine<'_>) {
    let Machine { name, arch, ready, cordoned } = machine;
    let api: Api<Node> = Api::all(client.clone());
    let node: Node = serde_json::from_value(json!({
        "metadata": {"name": name, "labels": {
            "kubernetes.io/hostname": name, "kubernetes.io/os": "linux", "kubernetes.io/arch": arch,
        }},
        "spec": {"unschedulable": cordoned},
    }))
    .expect("a node");
    api.create(&PostParams::default(), &node).await.expect("the node is created");
    // Admission taints every new node as not ready; the controller that would lift it does not run.
    let untainted = json!({"spec": {"taints": null}});
    api.patch(name, &PatchParams::default(), &Patch::Merge(untainted)).await.expect("the taint is lifted");
    let room = json!({"cpu": "1000", "memory": "1Ti", "ephemeral-storage": "10Ti", "pods": "10000"});
    let (ready, says) = if ready { ("True", "its kubelet is simulated") } else { ("Unknown", "its kubelet is gone") };
    let status = json!({"status": {
        "capacity": room,
        "allocatable": room,
        "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}, {"type": "Hostname", "address": name}],
        "conditions": [{"type": "Ready", "status": ready, "reason": "Simulated", "message": says}],
        "nodeInfo": {
            "architecture": arch, "operatingSystem": "linux", "osImage": "simulated", "kernelVersion": "0",
            "containerRuntimeVersion": "simulated://0", "kubeletVersion": "v0.0.0", "kubeProxyVersion": "",
            "machineID": "", "systemUUID": "", "bootID": "",
        },
    }});
    api.patch_status(name, &PatchParams::default(), &Patch::Merge(status)).await.expect("the node has its status");
}
