//! A webhook of the site's that changes what it is shown. One that exchanges images is found, beforehand where the
//! server can be asked, by the pods that run where it cannot; any other is neither fought nor taken for drift.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use consign_installer::handoff::Event;
use consign_tests::webhook::{Verdict, Webhook};
use serde_json::{Value, json};

use super::bench::*;
use super::guards::refused;

const KEEPS_DIGESTS: u8 = 0;
const EXCHANGES: u8 = 1;
const RESTS: u8 = 2;

const PINNED: &str = "registry.example/web:1@sha256:2222222222222222222222222222222222222222222222222222222222222222";
const MOVED: &str = "mirror.example/web:1@sha256:2222222222222222222222222222222222222222222222222222222222222222";

/// A webhook that changes the images of what is made in a namespace, as its mood is.
fn rewriter(folder: &tempfile::TempDir, namespace: &str, resources: &[&str]) -> Arc<AtomicU8> {
    let mood = Arc::new(AtomicU8::new(EXCHANGES));
    let ours = Arc::clone(&mood);
    let webhook = Webhook::start(folder.path(), move |review| {
        let path = if review.kind == "Pod" { "" } else { "/spec/template" };
        let path = format!("{path}/spec/containers/0/image");
        let change = |image: &str| Verdict::Patch(json!([{"op": "replace", "path": path, "value": image}]));
        match ours.load(Ordering::SeqCst) {
            KEEPS_DIGESTS => change(MOVED),
            EXCHANGES => change("mirror.example/web:1"),
            _ => Verdict::Allow,
        }
    });
    kubectl_with(&["create"], &webhook.mutating(namespace, namespace, resources)).unwrap();
    mood
}

fn noted(bench: &Bench, words: &str) -> bool {
    bench.events.iter().any(|event| matches!(event, Event::Note(text) if text.contains(words)))
}

/// Tells whether the API server asks the webhook already; it takes a moment to obey.
fn is_asked(namespace: &str, object: &Value, image: &str) -> bool {
    kubectl_with(&["create", "-n", namespace, "--dry-run=server", "-o", "yaml"], object).unwrap().contains(image)
}

fn pod() -> Value {
    let spec = json!({"containers": [{"name": "a", "image": "a:1"}]});
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "probe"}, "spec": spec})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_that_exchanges_images_of_pods_is_found_before_anything_is_applied() {
    let mut bench = Bench::new().await;
    let folder = tempfile::tempdir().unwrap();
    kubectl(&["create", "namespace", "exchanged"]).unwrap();
    let mood = rewriter(&folder, "exchanged", &["pods"]);
    until(|| is_asked("exchanged", &pod(), "mirror.example/web:1"));
    let desired = release("exchanged", vec![config_map("a"), deployment("web", PINNED)]);

    let becomes = format!("Deployment exchanged/web: {PINNED} becomes mirror.example/web:1");
    refused(bench.apply(&desired).await.unwrap_err(), "image-rewritten", &[&becomes]);
    assert_eq!(live("cm a -n exchanged"), None);

    // The same image from elsewhere is the site's own business, and is told.
    mood.store(KEEPS_DIGESTS, Ordering::SeqCst);
    bench.apply(&desired).await.unwrap();
    let words = format!("Deployment exchanged/web: the cluster's admission changes its pods: {PINNED} becomes {MOVED}");
    assert!(noted(&bench, &words), "{:?}", bench.events);
    let report = bench.healthy(&desired, LONG).await;
    assert!(report.is_healthy(), "{:?}", report.reasons());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_that_exchanges_images_of_workloads_is_found_too() {
    let mut bench = Bench::new().await;
    let folder = tempfile::tempdir().unwrap();
    kubectl(&["create", "namespace", "exchangedabove"]).unwrap();
    let mood = rewriter(&folder, "exchangedabove", &["deployments"]);
    let web = deployment("web", PINNED);
    until(|| is_asked("exchangedabove", &web, "mirror.example/web:1"));
    let desired = release("exchangedabove", vec![config_map("a"), web]);
    refused(bench.apply(&desired).await.unwrap_err(), "image-rewritten", &["becomes mirror.example/web:1"]);
    assert_eq!(live("cm a -n exchangedabove"), None);
    mood.store(RESTS, Ordering::SeqCst);
    bench.apply(&desired).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_namespace_that_comes_with_the_release_the_pods_that_run_tell() {
    let mut bench = Bench::new().await;
    let folder = tempfile::tempdir().unwrap();
    kubectl(&["create", "namespace", "exchangedlate"]).unwrap();
    let mood = rewriter(&folder, "exchangedlate", &["pods"]);
    until(|| is_asked("exchangedlate", &pod(), "mirror.example/web:1"));
    kubectl(&["delete", "namespace", "exchangedlate", "--wait=true"]).unwrap();
    let desired = release("exchangedlate", vec![deployment("web", PINNED)]);
    bench.apply(&desired).await.unwrap();
    let report = bench.healthy(&desired, LONG).await;
    let says = format!("runs other images than the release's: {PINNED} becomes mirror.example/web:1");
    let reasons = report.reasons();
    assert!(reasons.len() == 1 && reasons[0].starts_with("Deployment exchangedlate/web: pod web-"), "{reasons:?}");
    assert!(reasons[0].contains(&says) && report.unhealthy[0].failed, "{reasons:?}");

    // The webhook mended, pods made anew are the release's.
    mood.store(RESTS, Ordering::SeqCst);
    kubectl(&["delete", "pods", "--all", "-n", "exchangedlate", "--wait=true"]).unwrap();
    let report = bench.healthy(&desired, LONG).await;
    assert!(report.is_healthy(), "{:?}", report.reasons());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_webhook_makes_of_other_fields_is_no_drift() {
    let mut bench = Bench::new().await;
    let folder = tempfile::tempdir().unwrap();
    let webhook = Webhook::start(folder.path(), |_| {
        Verdict::Patch(json!([
            {"op": "add", "path": "/metadata/annotations", "value": {"site.example/seen": "yes"}},
            {"op": "replace", "path": "/data/name", "value": "the site's"}]))
    });
    kubectl(&["create", "namespace", "rewritten"]).unwrap();
    kubectl_with(&["create"], &webhook.mutating("rewritten", "rewritten", &["configmaps"])).unwrap();
    let map = |value: &str| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"name": "a", "more": value}});
    until(|| is_asked("rewritten", &map("1"), "site.example/seen"));
    bench.apply(&release("rewritten", vec![map("1")])).await.unwrap();
    let made = live("cm a -n rewritten").unwrap();
    assert_eq!((&made["data"]["name"], &made["data"]["more"]), (&json!("the site's"), &json!("1")));
    assert!(bench.apply(&release("rewritten", vec![map("1")])).await.unwrap().is_unchanged());
    // What the release changes is still seen and written.
    let plan = bench.plan(&release("rewritten", vec![map("2")])).await;
    assert_eq!(plan.fields.len(), 1, "{plan:?}");
    bench.apply(&release("rewritten", vec![map("2")])).await.unwrap();
    assert_eq!(live("cm a -n rewritten").unwrap()["data"]["more"], json!("2"));
    assert_eq!(live("cm a -n rewritten").unwrap()["metadata"]["uid"], made["metadata"]["uid"]);
}
