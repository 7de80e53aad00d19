//! Five nodes, releases whose images are for some of them, and a memory of every pod that asked one to pull.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use consign_format::Digest;
use consign_format::error::Failure;
use consign_format::release::Image;
use consign_installer::handoff::{Desired, Event, Handoff, Needs, Policy};
use consign_installer::images::Brought;
use consign_tests::cluster::Cluster as TestCluster;
use consign_tests::cluster::pods::Machine;
use k8s_openapi::api::core::v1::Pod;
use serde_json::Value;
use tokio::sync::OnceCell;

use crate::bench::*;

/// The label of the pods.
pub(crate) const LABEL: &str = "consign.dev/pre-pull";

/// A bench on the cluster with its nodes: `sim`, `second`, `arm`, `down` and `cordoned`.
pub(crate) async fn bench() -> Bench {
    static NODES: OnceCell<()> = OnceCell::const_new();
    let bench = Bench::new().await;
    NODES
        .get_or_init(|| async {
            let (cluster, amd) =
                (TestCluster::shared(), Machine { name: "second", arch: "amd64", ready: true, cordoned: false });
            let client = cluster.client().await;
            for machine in [
                amd,
                Machine { name: "arm", arch: "arm64", ..amd },
                Machine { name: "down", ready: false, ..amd },
                Machine { name: "cordoned", cordoned: true, ..amd },
            ] {
                cluster.pods().add_node(&client, machine).await;
            }
        })
        .await;
    bench
}

/// An image's name with its digest.
pub(crate) fn pinned(name: &str) -> String {
    format!("registry.example/{name}:1@{}", Digest::of(name.as_bytes()))
}

/// A release whose images are for these platforms.
pub(crate) fn bringing(product: &str, objects: Vec<Value>, images: &[(&str, &[&str])]) -> Desired {
    let image = |(name, platforms): &(&str, &[&str])| Image {
        reference: pinned(name),
        digest: Digest::of(name.as_bytes()),
        platforms: platforms.iter().map(ToString::to_string).collect(),
        referrers: Vec::new(),
        found_in: Vec::new(),
    };
    let images: Vec<Image> = images.iter().map(image).collect();
    Desired { needs: Needs { images: Brought::of(&images), ..Needs::default() }, ..release(product, objects) }
}

pub(crate) const AMD: &[&str] = &["linux/amd64"];

/// Pulling is on, and a node may take this long.
pub(crate) fn on(within: Duration) -> Policy {
    Policy { pre_pull: Some(within), ..Policy::default() }
}

pub(crate) async fn pulls(bench: &mut Bench, desired: &Desired, policy: &Policy) -> Result<(), Failure> {
    let events = &mut bench.events;
    bench.direct.pre_pull(desired, policy, &mut |event| events.push(event)).await
}

pub(crate) fn notes(bench: &Bench) -> Vec<String> {
    let note = |event: &Event| match event {
        Event::Note(text) => Some(text.clone()),
        _ => None,
    };
    bench.events.iter().filter_map(note).collect()
}

/// What was said of each node.
pub(crate) fn said(bench: &Bench) -> Vec<String> {
    let mut said: Vec<String> = bench
        .events
        .iter()
        .filter_map(|event| match event {
            Event::Pulled { node, said, .. } => Some(format!("{node} {said}")),
            _ => None,
        })
        .collect();
    said.sort();
    said
}

/// Every pod of a product that any kubelet has seen from now on.
pub(crate) fn remember(product: &str) -> Arc<Mutex<Vec<Pod>>> {
    let (seen, product) = (Arc::<Mutex<Vec<Pod>>>::default(), product.to_owned());
    let kept = Arc::clone(&seen);
    TestCluster::shared().pods().when(move |pod| {
        let labels = pod.metadata.labels.as_ref();
        if labels.and_then(|labels| labels.get(LABEL)) == Some(&product) {
            let mut kept = kept.lock().unwrap();
            if kept.iter().all(|one| one.metadata.uid != pod.metadata.uid) {
                kept.push(pod.clone());
            }
        }
        None
    });
    seen
}

/// Nothing of a product that asked a node is left.
#[track_caller]
pub(crate) fn nothing_left(product: &str) {
    let left = kubectl(&["get", "pods", "-A", &format!("-l{LABEL}={product}"), "-o", "name"]).unwrap();
    assert_eq!(left, "");
}

/// A refusal with this code and these words, and a hint.
#[track_caller]
pub(crate) fn refused(failure: &Failure, code: &str, says: &[&str]) {
    assert_eq!(failure.code().name, code, "{failure}");
    assert!(failure.hint().is_some());
    for part in says {
        assert!(failure.to_string().contains(part), "{failure}");
    }
}
