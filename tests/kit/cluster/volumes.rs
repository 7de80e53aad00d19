//! The storage of a test's cluster, simulated: every claim that waits gets a volume made for it.
//!
//! The volume names its claim; binding the two is left to the real controller. Nothing is ever stored.

use futures_util::StreamExt as _;
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::api::storage::v1::StorageClass;
use kube::api::{Api, PostParams};
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher;
use kube::{Client, ResourceExt as _};
use serde_json::json;

/// Name of the storage class, which is the default one. Claims of any other class get their volumes too.
pub const CLASS: &str = "sim";
/// Annotation on a claim, any value: no volume is made for it, it stays pending.
pub const UNBOUND: &str = "sim.consign.dev/unbound";

/// Creates the storage class and lets the simulation run on the current runtime, until that ends.
pub(super) async fn start(client: Client) {
    let class: StorageClass = serde_json::from_value(json!({
        "metadata": {"name": CLASS, "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
        "provisioner": "sim.consign.dev/volumes",
    }))
    .expect("a storage class");
    Api::all(client.clone()).create(&PostParams::default(), &class).await.expect("the storage class is created");
    tokio::spawn(run(client));
}

async fn run(client: Client) {
    let claims: Api<PersistentVolumeClaim> = Api::all(client.clone());
    let volumes: Api<PersistentVolume> = Api::all(client);
    let mut touched = watcher::watcher(claims, watcher::Config::default()).default_backoff().applied_objects().boxed();
    while let Some(event) = touched.next().await {
        // An error is the watcher's to get over. A volume that exists already was made for the same claim.
        if let Ok(claim) = event
            && waits(&claim)
        {
            let _ = volumes.create(&PostParams::default(), &volume_for(&claim)).await;
        }
    }
}

fn waits(claim: &PersistentVolumeClaim) -> bool {
    let named = claim.spec.as_ref().is_some_and(|spec| spec.volume_name.is_some());
    !named && !claim.annotations().contains_key(UNBOUND) && claim.metadata.deletion_timestamp.is_none()
}

fn volume_for(claim: &PersistentVolumeClaim) -> PersistentVolume {
    let uid = claim.uid().unwrap_or_default();
    let spec = claim.spec.clone().unwrap_or_default();
    serde_json::from_value(json!({
        "metadata": {"name": format!("sim-{uid}")},
        "spec": {
            "capacity": spec.resources.and_then(|resources| resources.requests).unwrap_or_default(),
            "accessModes": spec.access_modes,
            "volumeMode": spec.volume_mode,
            "storageClassName": spec.storage_class_name.unwrap_or_default(),
            "persistentVolumeReclaimPolicy": "Retain",
            "hostPath": {"path": format!("/simulated/{uid}")},
            "claimRef": {
                "apiVersion": "v1", "kind": "PersistentVolumeClaim",
                "namespace": claim.namespace(), "name": claim.name_any(), "uid": uid,
            },
        },
    }))
    .expect("a volume")
}
