//! Fields that never change: an object is made anew where its author says so, and never what holds state.

use consign_installer::handoff::Action;
use serde_json::{Value, json};

use super::bench::*;

fn marked(mut object: Value, name: &str, value: &str) -> Value {
    object["metadata"]["annotations"][name] = json!(value);
    object
}

#[tokio::test(flavor = "multi_thread")]
async fn a_marked_object_is_made_anew_and_its_finalizers_are_waited_for() {
    let mut bench = Bench::new().await;
    let with =
        |image: &str| marked(job("migrate", image), "argocd.argoproj.io/sync-options", "Force=true,Replace=true");
    let mut first = with("demo/migrate:1");
    first["metadata"]["finalizers"] = json!(["example.dev/slow"]);
    bench.apply(&release("anew", vec![first])).await.unwrap();
    let old = live("job migrate -n anew").unwrap()["metadata"]["uid"].clone();

    let next = release("anew", vec![with("demo/migrate:2")]);
    let plan = bench.plan(&next).await;
    let said = "Job anew/migrate recreated (argocd.argoproj.io/sync-options says Force=true)";
    assert_eq!(changed(&plan.changes), [said]);
    assert_eq!(live("job migrate -n anew").unwrap()["metadata"]["uid"], old);
    let free = std::thread::spawn(|| {
        // Only once the deletion has begun is there something to wait for.
        loop {
            let job = live("job migrate -n anew").unwrap();
            if job["metadata"]["deletionTimestamp"].is_string() {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        let none = r#"{"metadata":{"finalizers":null}}"#;
        kubectl(&["patch", "job", "migrate", "-n", "anew", "--type=merge", "-p", none]).unwrap();
    });
    let changes = bench.apply(&next).await.unwrap();
    free.join().unwrap();
    assert_eq!(changed(&changes), [said]);
    assert_eq!(changes.counts().recreated, 1);
    let new = live("job migrate -n anew").unwrap();
    assert_ne!(new["metadata"]["uid"], old);
    assert_eq!(new["spec"]["template"]["spec"]["containers"][0]["image"], "demo/migrate:2");
    assert!(bench.healthy(&next, LONG).await.is_healthy());
    assert!(bench.apply(&next).await.unwrap().is_unchanged());
}

#[tokio::test(flavor = "multi_thread")]
async fn going_back_makes_anew_what_the_release_that_is_left_had_marked() {
    let mut bench = Bench::new().await;
    let selecting = |label: &str| {
        let mut web = deployment("web", "demo/web");
        web["spec"]["selector"] = json!({"matchLabels": {"app": label}});
        web["spec"]["template"]["metadata"]["labels"] = json!({"app": label});
        web
    };
    let first = release("anewback", vec![selecting("old")]);
    bench.apply(&first).await.unwrap();
    let next = release("anewback", vec![marked(selecting("new"), "consign.dev/recreate", "on-immutable")]);
    let changes = bench.apply(&next).await.unwrap();
    assert_eq!(changes.having(Action::Recreated).count(), 1, "{changes:?}");
    let back = bench.rollback(&first).await;
    assert_eq!(back.changes.having(Action::Recreated).count(), 1, "{:?}", back.changes);
    assert!(back.health.is_healthy(), "{:?}", back.health.reasons());
    let selector = &live("deploy web -n anewback").unwrap()["spec"]["selector"]["matchLabels"];
    assert_eq!(*selector, json!({"app": "old"}));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_is_never_made_anew_whatever_it_is_marked_with() {
    let mut bench = Bench::new().await;
    let claim = |class: &str| {
        let claim = json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data"},
            "spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": class, "resources": {"requests": {"storage": "1Gi"}}}});
        marked(marked(claim, "consign.dev/recreate", "on-immutable"), "argocd.argoproj.io/sync-options", "Force=true")
    };
    bench.apply(&release("anewclaim", vec![claim("one")])).await.unwrap();
    let uid = live("pvc data -n anewclaim").unwrap()["metadata"]["uid"].clone();
    let stopped = bench.apply(&release("anewclaim", vec![claim("two")])).await.unwrap_err();
    assert_eq!(stopped.failure.code().name, "immutable-field");
    assert_eq!(live("pvc data -n anewclaim").unwrap()["metadata"]["uid"], uid);
}
