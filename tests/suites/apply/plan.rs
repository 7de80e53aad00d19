//! A plan says field by field what an apply would change, writes nothing, and shows no Secret.

use serde_json::json;

use super::bench::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_names_every_field_that_would_change_and_hides_what_secrets_hold() {
    let mut bench = Bench::new().await;
    let secret = |value: &str| json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "login"}, "stringData": {"password": value}});
    let first = release("plandiff", vec![deployment("web", "demo/web:1"), config_map("settings"), secret("hunter2")]);
    bench.apply(&first).await.unwrap();

    let mut web = deployment("web", "demo/web:2");
    web["spec"]["replicas"] = json!(3);
    let mut settings = config_map("settings");
    settings["data"] = json!({"b": "2"});
    let next = release("plandiff", vec![web, settings, secret("correct horse"), config_map("new")]);
    let before = versions("plandiff", "deploy,cm,secret");
    let plan = bench.plan(&next).await;
    assert_eq!(versions("plandiff", "deploy,cm,secret"), before, "a plan writes nothing");
    let said: Vec<String> = plan
        .fields
        .iter()
        .flat_map(|diff| diff.lines().into_iter().map(move |line| format!("{}: {line}", diff.key)))
        .collect();
    assert_eq!(
        said,
        [
            "ConfigMap plandiff/settings: - data.a: 1",
            "ConfigMap plandiff/settings: + data.b: 2",
            "Secret plandiff/login: ~ data.password: (secret) → (secret)",
            "Deployment plandiff/web: ~ spec.replicas: 2 → 3",
            "Deployment plandiff/web: ~ spec.template.spec.containers[0].image: demo/web:1 → demo/web:2",
        ]
    );
    let json = serde_json::to_string(&plan).unwrap();
    for value in ["hunter2", "aHVudGVyMg", "correct horse", "Y29ycmVjdCBob3JzZQ"] {
        assert!(!json.contains(value), "{json}");
    }

    // What the plan foretold is what the server then holds: nothing of it is left to change.
    bench.apply(&next).await.unwrap();
    assert_eq!(live("deploy web -n plandiff").unwrap()["spec"]["replicas"], 3);
    let plan = bench.plan(&next).await;
    assert!(plan.changes.is_unchanged() && plan.fields.is_empty(), "{plan:?}");
}
