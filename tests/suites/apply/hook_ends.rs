//! Hooks that ask to be deleted go when they are done or have failed, and do not run again unasked.

use consign_installer::handoff::{Desired, Policy};
use serde_json::{Value, json};

use super::bench::*;

fn waiting() -> Policy {
    Policy { wave_timeout: Some(LONG), ..Policy::default() }
}

fn hook(name: &str, annotations: Value) -> Value {
    let mut hook = job(name, "demo/migrate:1");
    hook["metadata"]["annotations"] = annotations;
    hook
}

fn helm(name: &str, when: &str, weight: &str, policy: &str) -> Value {
    hook(name, json!({"helm.sh/hook": when, "helm.sh/hook-weight": weight, "helm.sh/hook-delete-policy": policy}))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hook_that_is_done_goes_and_runs_again_only_when_it_or_its_namespace_is_new() {
    let mut bench = Bench::new().await;
    let with = |image: &str| -> Desired {
        let mut first = helm("first", "pre-install,pre-upgrade", "-1", "hook-succeeded");
        first["spec"]["template"]["spec"]["containers"][0]["image"] = json!(image);
        let last = hook(
            "last",
            json!({"argocd.argoproj.io/hook": "PostSync", "argocd.argoproj.io/hook-delete-policy": "HookSucceeded"}),
        );
        let stays = helm("stays", "pre-install,pre-upgrade", "1", "before-hook-creation");
        release("hookgoes", vec![config_map("a"), first, last, stays])
    };
    let desired = with("demo/migrate:1");
    let changes = bench.apply_with(&desired, &waiting()).await.unwrap();
    assert_eq!(
        changed(&changes),
        [
            "Namespace hookgoes created (the release's namespace)",
            "Job hookgoes/first created",
            "Job hookgoes/stays created",
            "Job hookgoes/first deleted (a hook that is done)",
            "ConfigMap hookgoes/a created",
            "Job hookgoes/last created",
            "Job hookgoes/last deleted (a hook that is done)",
        ]
    );
    assert!(bench.healthy(&desired, LONG).await.is_healthy(), "what is gone on purpose is not missed");
    let before = versions("hookgoes", "cm,job");
    assert!(bench.plan(&desired).await.changes.is_unchanged());
    let again = bench.apply_with(&desired, &waiting()).await.unwrap();
    assert!(again.is_unchanged(), "{:?}", changed(&again));
    assert_eq!(versions("hookgoes", "cm,job"), before, "and nothing was written, the parent neither");

    let changes = bench.apply_with(&with("demo/migrate:2"), &waiting()).await.unwrap();
    let said = ["Job hookgoes/first created", "Job hookgoes/first deleted (a hook that is done)"];
    assert_eq!(changed(&changes), said, "the one that is new, and no other");

    // Somebody starts anew: what ran in a namespace that is gone has not run.
    kubectl(&["delete", "namespace", "hookgoes"]).unwrap();
    let changes = bench.apply_with(&with("demo/migrate:2"), &waiting()).await.unwrap();
    assert!(changed(&changes).contains(&"Job hookgoes/first created".to_owned()), "{changes:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hook_that_fails_stops_the_rest_and_goes_where_it_asks_to() {
    let mut bench = Bench::new().await;
    let failing = |name: &str, policy: &str| {
        let mut hook = helm(name, "pre-install", "0", policy);
        hook["spec"]["template"]["metadata"]["annotations"] = json!({"sim.consign.dev/exit-code": "3"});
        hook
    };
    let desired = release("hookfails", vec![config_map("after"), failing("goes", "hook-failed")]);
    let stopped = bench.apply_with(&desired, &waiting()).await.unwrap_err();
    assert_eq!(stopped.failure.code().name, "unhealthy");
    assert!(stopped.failure.to_string().contains("Job hookfails/goes"), "{}", stopped.failure);
    assert_eq!(changed(&stopped.changes).last().unwrap(), "Job hookfails/goes deleted (a hook that failed)");
    assert_eq!(live("cm after -n hookfails"), None, "nothing comes after a hook that failed");

    let desired = release("hookfails", vec![config_map("after"), failing("kept", "hook-succeeded")]);
    bench.apply_with(&desired, &waiting()).await.unwrap_err();
    assert!(live("job kept -n hookfails").is_some(), "who wants to look at it can");
}
