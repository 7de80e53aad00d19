//! What others do to a cluster between two installs: autoscalers scale, power fails, objects take time to go.

use std::sync::atomic::{AtomicUsize, Ordering};

use consign_installer::handoff::{Always, Event, Handoff, Policy};
use serde_json::json;

use super::bench::*;

#[tokio::test(flavor = "multi_thread")]
async fn an_autoscaler_keeps_what_it_scaled() {
    let mut bench = Bench::new().await;
    let scaler = json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "web"},
        "spec": {"maxReplicas": 9, "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}}});
    let desired = release("scaled", vec![deployment("web", "demo/web:1"), scaler.clone()]);
    bench.apply(&desired).await.unwrap();
    assert!(bench.apply(&desired).await.unwrap().is_unchanged(), "nobody scaled yet");
    kubectl(&["scale", "-n", "scaled", "deployment", "web", "--replicas=5"]).unwrap();
    assert!(bench.apply(&desired).await.unwrap().is_unchanged());
    let next = release("scaled", vec![deployment("web", "demo/web:2"), scaler]);
    bench.apply(&next).await.unwrap();
    let web = live("deploy web -n scaled").unwrap();
    assert_eq!(web["spec"]["replicas"], 5);
    assert_eq!(web["spec"]["template"]["spec"]["containers"][0]["image"], "demo/web:2");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_apply_cut_anywhere_is_finished_by_the_next_one() {
    let mut bench = Bench::new().await;
    let first = release("powercut", vec![config_map("a"), config_map("b"), config_map("leaves")]);
    bench.apply(&first).await.unwrap();
    let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "new-kind"}, "spec": {"ports": [{"port": 80}]}});
    let next = release("powercut", vec![config_map("a"), config_map("c"), config_map("d"), service]);
    // Cut after the first write, the second, and so on; the next run starts where that left the cluster.
    for after in 1..5 {
        let written = AtomicUsize::new(0);
        let (send, mut cut) = tokio::sync::mpsc::unbounded_channel();
        let mut on = |event| {
            if matches!(event, Event::Object(_)) && written.fetch_add(1, Ordering::Relaxed) + 1 == after {
                send.send(()).unwrap();
            }
        };
        let policy = Policy::default();
        tokio::select! {
            biased;
            _ = cut.recv() => {}
            _ = bench.direct.apply(&next, &policy, &Always, &mut on) => {}
        }
    }
    bench.apply(&next).await.unwrap();
    for (name, there) in [("a", true), ("c", true), ("d", true), ("b", false), ("leaves", false)] {
        assert_eq!(live(&format!("cm {name} -n powercut")).is_some(), there, "{name}");
    }
    assert!(live("svc new-kind -n powercut").is_some());
    assert!(bench.apply(&next).await.unwrap().is_unchanged());
    // And back again, a kind less: the parent remembered it.
    bench.apply(&first).await.unwrap();
    assert_eq!(live("svc new-kind -n powercut"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_still_going_is_waited_for_and_made_anew() {
    let mut bench = Bench::new().await;
    let desired = release("leaving", vec![config_map("a")]);
    bench.apply(&desired).await.unwrap();
    let finalizer = r#"{"metadata":{"finalizers":["example.dev/slow"]}}"#;
    kubectl(&["patch", "cm", "a", "-n", "leaving", "--type=merge", "-p", finalizer]).unwrap();
    let old = live("cm a -n leaving").unwrap()["metadata"]["uid"].clone();
    kubectl(&["delete", "cm", "a", "-n", "leaving", "--wait=false"]).unwrap();
    let release_it = std::thread::spawn(|| {
        std::thread::sleep(std::time::Duration::from_secs(2));
        kubectl(&["patch", "cm", "a", "-n", "leaving", "--type=merge", "-p", r#"{"metadata":{"finalizers":null}}"#])
            .unwrap();
    });
    bench.apply(&desired).await.unwrap();
    release_it.join().unwrap();
    let new = live("cm a -n leaving").unwrap();
    assert_ne!(new["metadata"]["uid"], old);
    assert!(!new["metadata"]["deletionTimestamp"].is_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bare_pod_may_bring_its_service_account() {
    let mut bench = Bench::new().await;
    kubectl(&["create", "namespace", "barepod"]).unwrap();
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "runner"}});
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "tool"},
        "spec": {"serviceAccountName": "runner", "containers": [{"name": "app", "image": "demo/tool"}]}});
    let desired = release("barepod", vec![pod, account]);
    bench.apply(&desired).await.unwrap();
    let report = bench.healthy(&desired, LONG).await;
    assert!(report.is_healthy(), "{:?}", report.reasons());
    assert!(bench.apply(&desired).await.unwrap().is_unchanged());
}

#[tokio::test(flavor = "multi_thread")]
async fn five_hundred_objects_are_a_small_thing() {
    let mut bench = Bench::new().await;
    let desired = release("many", (0..500).map(|n| config_map(&format!("map-{n}"))).collect());
    let start = std::time::Instant::now();
    bench.apply(&desired).await.unwrap();
    let first = start.elapsed();
    let start = std::time::Instant::now();
    assert!(bench.apply(&desired).await.unwrap().is_unchanged());
    let second = start.elapsed();
    // Reported, not asserted.
    let _ = std::io::Write::write_fmt(
        &mut std::io::stderr(),
        format_args!("500 objects: install {first:?}, again {second:?}\n"),
    );
    let changes = bench.apply(&release("many", vec![config_map("map-0")])).await.unwrap();
    assert_eq!(changes.counts().deleted, 499);
}

fn hook_job(image: &str) -> serde_json::Value {
    let mut hook = job("migrate", image);
    hook["metadata"]["annotations"] = json!({"helm.sh/hook": "pre-install,pre-upgrade", "helm.sh/hook-weight": "-5"});
    hook
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hook_runs_before_the_rest_once_for_each_change_and_never_when_going_back() {
    let mut bench = Bench::new().await;
    let test = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "smoke", "annotations": {"helm.sh/hook": "test"}},
        "spec": {"containers": [{"name": "app", "image": "demo/smoke"}]}});
    let first = release("hooked", vec![config_map("a"), hook_job("demo/migrate:1"), test]);
    let policy = Policy { wave_timeout: Some(LONG), ..Policy::default() };
    let changes = bench.apply_with(&first, &policy).await.unwrap();
    assert_eq!(
        changed(&changes),
        [
            "Pod hooked/smoke skipped (hook test is not part of an installation)",
            "Namespace hooked created (the release's namespace)",
            "Job hooked/migrate created",
            "ConfigMap hooked/a created"
        ]
    );
    let ran = live("job migrate -n hooked").unwrap();
    assert_eq!(ran["status"]["succeeded"], 1, "the rest came after it was done");
    assert_eq!(bench.apply_with(&first, &policy).await.unwrap().counts().configured, 0);
    assert_eq!(live("job migrate -n hooked").unwrap()["metadata"]["uid"], ran["metadata"]["uid"]);

    let mut other = hook_job("demo/check:1");
    other["metadata"]["name"] = json!("check");
    let next = release("hooked", vec![config_map("a"), config_map("b"), hook_job("demo/migrate:2"), other]);
    let changes = bench.apply_with(&next, &policy).await.unwrap();
    assert!(
        changed(&changes).contains(&"Job hooked/migrate configured (a hook that runs again)".to_owned()),
        "{:?}",
        changed(&changes)
    );
    let again = live("job migrate -n hooked").unwrap();
    assert_ne!(again["metadata"]["uid"], ran["metadata"]["uid"]);

    let back = bench.rollback(&first).await;
    assert!(back.health.is_healthy(), "{:?}", back.health.reasons());
    assert_eq!(
        changed(&back.changes),
        [
            "Pod hooked/smoke skipped (hook test is not part of an installation)",
            "Job hooked/migrate skipped (a hook does not run again when going back)",
            "ConfigMap hooked/b deleted",
            "Job hooked/check skipped (kept: a hook of the release that is left)"
        ]
    );
    assert_eq!(live("job migrate -n hooked").unwrap()["metadata"]["uid"], again["metadata"]["uid"]);
}
