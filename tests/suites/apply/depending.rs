//! Objects that say what they depend on (`config.kubernetes.io/depends-on`): that stands and is healthy before them,
//! nothing else holds them up, and what leaves goes the other way round.

use std::time::Duration;

use consign_installer::handoff::{Action, Policy};
use serde_json::{Value, json};

use super::bench::*;
use super::guards::refused;

fn on(mut object: Value, what: &str) -> Value {
    object["metadata"]["annotations"] = json!({"config.kubernetes.io/depends-on": what});
    object
}

/// A deployment whose pods never get ready.
fn stuck(name: &str) -> Value {
    let mut object = deployment(name, "demo/app");
    object["spec"]["template"]["metadata"]["annotations"] = json!({"sim.consign.dev/not-ready": "yes"});
    object
}

/// What a release asks for: each wave, and what others depend on, healthy within so many seconds.
fn patient(seconds: u64) -> Policy {
    Policy { wave_timeout: Some(Duration::from_secs(seconds)), ..Policy::default() }
}

fn names(changes: &consign_installer::handoff::ChangeSet, action: Action) -> Vec<&str> {
    changes.entries.iter().filter(|one| one.action == action).map(|one| one.key.name.as_str()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_needed_is_healthy_first_and_nothing_else_holds_up() {
    let mut bench = Bench::new().await;
    let web = on(deployment("web", "demo/app"), "apps/namespaces/depending/Deployment/db");
    let settings = on(config_map("settings"), "apps/namespaces/depending/Deployment/web");
    // A config map comes before deployments by its kind; what it depends on puts it last.
    let with = |db: Value, aside: Value| release("depending", vec![settings.clone(), web.clone(), db, aside]);

    let stopped = bench.apply_with(&with(stuck("db"), stuck("aside")), &patient(3)).await.unwrap_err();
    assert_eq!(stopped.failure.code().name, "unhealthy", "{}", stopped.failure);
    assert!(stopped.failure.to_string().contains("Deployment depending/db"), "{}", stopped.failure);
    assert!(!stopped.failure.to_string().contains("depending/aside"), "{}", stopped.failure);
    let there = ["deploy/aside", "deploy/db", "deploy/web", "cm/settings"];
    let stands = || there.map(|what| live(&format!("{what} -n depending")).is_some());
    assert_eq!(stands(), [true, true, false, false]);

    // What is stuck aside is of no consequence to those who do not need it.
    let changes = bench.apply_with(&with(deployment("db", "demo/app"), stuck("aside")), &patient(90)).await.unwrap();
    assert_eq!(names(&changes, Action::Created), ["web", "settings"]);
    assert_eq!(stands(), [true; 4]);
    assert!(live("deploy web -n depending").unwrap()["status"]["readyReplicas"] == 2);

    let changes = bench.apply(&release("depending", vec![config_map("other")])).await.unwrap();
    assert_eq!(names(&changes, Action::Deleted), ["settings", "web", "db", "aside"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_orders_across_waves_and_stages() {
    let mut bench = Bench::new().await;
    let mut late = deployment("late", "demo/app");
    late["metadata"]["annotations"] = json!({"argocd.argoproj.io/sync-wave": "5"});
    let first = on(config_map("first"), "apps/namespaces/dependingwaves/Deployment/late,/Namespace/dependingwaves");
    let hook = on(
        json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
            "metadata": {"name": "dependingwaves"}, "webhooks": []}),
        "apps/namespaces/dependingwaves/Deployment/late",
    );
    let desired = release("dependingwaves", vec![hook, first, late]);
    let changes = bench.apply_with(&desired, &patient(90)).await.unwrap();
    assert_eq!(names(&changes, Action::Created), ["dependingwaves", "late", "first", "dependingwaves"]);
    assert!(live("deploy late -n dependingwaves").unwrap()["status"]["readyReplicas"] == 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_put_in_an_order_is_refused_before_anything_is_applied() {
    let mut bench = Bench::new().await;
    for (depends_on, says) in [
        (
            "/namespaces/dependingwrong/ConfigMap/b",
            "ConfigMap dependingwrong/a of the release is not valid: it depends on `/namespaces/dependingwrong/ConfigMap/b`",
        ),
        ("/namespaces/dependingwrong/ConfigMap/a", "it depends on itself"),
        ("b", "`b` in config.kubernetes.io/depends-on is neither"),
        (
            "admissionregistration.k8s.io/ValidatingWebhookConfiguration/dependingwrong",
            "which is one of the webhooks, after the workloads",
        ),
    ] {
        let hook = json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
            "metadata": {"name": "dependingwrong"}, "webhooks": []});
        let desired = release("dependingwrong", vec![on(config_map("a"), depends_on), config_map("c"), hook]);
        refused(bench.apply(&desired).await.unwrap_err(), "object-invalid", &[says]);
        assert_eq!(live("namespace dependingwrong"), None);
    }
}
