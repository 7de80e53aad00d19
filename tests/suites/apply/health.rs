//! What does not become healthy is named, with the reason that its pods and events give.

use consign_installer::handoff::{Event, Policy};
use serde_json::json;

use super::bench::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_that_never_gets_ready_is_told_in_the_words_of_its_pods() {
    let mut bench = Bench::new().await;
    let mut web = deployment("web", "demo/web");
    web["spec"]["template"]["metadata"]["annotations"] =
        json!({"sim.consign.dev/waiting": "ImagePullBackOff", "sim.consign.dev/message": "no such image demo/web"});
    let desired = release("sick", vec![web, deployment("fine", "demo/fine")]);
    bench.apply(&desired).await.unwrap();
    let report = bench.healthy(&desired, SHORT).await;
    let reasons = report.reasons();
    assert_eq!(reasons.len(), 1, "{reasons:?}");
    let reason = &reasons[0];
    assert!(reason.starts_with("Deployment sick/web: 0 of 2 pods ready; pod web-"), "{reason}");
    assert!(reason.contains(": container app: ImagePullBackOff: no such image demo/web"), "{reason}");
    assert!(!report.unhealthy[0].failed, "it was still trying");
    let waited = |event: &Event| matches!(event, Event::Waiting { total: 2, reasons, .. } if !reasons.is_empty());
    assert!(bench.events.iter().any(waited), "{:?}", bench.events);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_failed_is_not_waited_for() {
    let mut bench = Bench::new().await;
    let mut broken = job("migrate", "demo/migrate");
    broken["spec"]["template"]["metadata"]["annotations"] = json!({"sim.consign.dev/exit-code": "3"});
    let desired = release("sickjob", vec![broken, deployment("web", "demo/web")]);
    bench.apply(&desired).await.unwrap();
    // Far less than an hour passes, or this test never ends.
    let report = bench.healthy(&desired, std::time::Duration::from_secs(3600)).await;
    assert_eq!(report.unhealthy[0].key.to_string(), "Job sickjob/migrate");
    assert!(report.unhealthy[0].failed);
    assert!(report.unhealthy[0].reason.contains("BackoffLimitExceeded"), "{:?}", report.reasons());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_speaks_where_no_pod_can() {
    let mut bench = Bench::new().await;
    let quota = json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "none"}, "spec": {"hard": {"pods": "0"}}});
    let desired = release("sickquota", vec![quota, deployment("web", "demo/web")]);
    bench.apply(&desired).await.unwrap();
    let report = bench.healthy(&desired, SHORT).await;
    assert!(report.reasons()[0].contains("exceeded quota"), "{:?}", report.reasons());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wave_waits_for_the_one_before() {
    let mut bench = Bench::new().await;
    let mut first = deployment("first", "demo/first");
    first["metadata"]["annotations"] = json!({"argocd.argoproj.io/sync-wave": "-1"});
    first["spec"]["template"]["metadata"]["annotations"] = json!({"sim.consign.dev/not-ready": "yes"});
    let desired = release("sickwave", vec![first, config_map("second")]);
    let policy = Policy { wave_timeout: Some(SHORT), ..Policy::default() };
    let stopped = bench.apply_with(&desired, &policy).await.unwrap_err();
    assert_eq!(stopped.failure.code().name, "unhealthy");
    assert_eq!(stopped.failure.code().exit.code(), 22);
    assert!(
        stopped.failure.to_string().contains("Deployment sickwave/first: 0 of 2 pods ready"),
        "{}",
        stopped.failure
    );
    assert_eq!(live("cm second -n sickwave"), None, "the next wave had not begun");
    assert!(changed(&stopped.changes).contains(&"Deployment sickwave/first created".to_owned()));
}
