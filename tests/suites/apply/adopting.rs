//! Objects that kubectl, Helm or a controller applied before: refused with the names of all, and taken over on request
//! so wholly that what later leaves the release leaves the object too.

use std::collections::BTreeSet;

use consign_installer::handoff::{Owner, Policy};
use serde_json::{Value, json};

use super::bench::*;

const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

fn adopting(owners: &[Owner]) -> Policy {
    Policy { adopt: owners.to_vec(), ..Policy::default() }
}

fn managers(object: &Value) -> BTreeSet<String> {
    let entries = object["metadata"]["managedFields"].as_array().unwrap().iter();
    entries
        .filter(|one| one.get("subresource").is_none())
        .map(|one| one["manager"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_kubectl_applied_client_side_is_taken_over_with_the_fields_that_left() {
    let mut bench = Bench::new().await;
    kubectl(&["create", "namespace", "takeover"]).unwrap();
    let mut theirs = config_map("settings");
    theirs["data"] = json!({"a": "1", "theirs": "only kubectl knew", "both": "x"});
    kubectl_with(&["apply", "-n", "takeover"], &theirs).unwrap();
    assert!(live("cm settings -n takeover").unwrap()["metadata"]["annotations"][LAST_APPLIED].is_string());

    let mut ours = config_map("settings");
    ours["data"] = json!({"a": "2", "both": "x"});
    let first = release("takeover", vec![ours]);
    let stopped = bench.apply(&first).await.unwrap_err();
    assert_eq!(stopped.failure.code().name, "apply-conflict");
    assert!(stopped.failure.to_string().contains(".data.a by kubectl-client-side-apply"), "{}", stopped.failure);
    assert!(stopped.failure.hint().unwrap().contains("adopt = [\"kubectl\"]"), "{:?}", stopped.failure.hint());
    // Another tool's name is no permission.
    let other = bench.apply_with(&first, &adopting(&[Owner::Helm])).await.unwrap_err();
    assert_eq!(other.failure.code().name, "apply-conflict");

    let adopt = adopting(&[Owner::Kubectl]);
    let changes = bench.apply_with(&first, &adopt).await.unwrap();
    assert!(changed(&changes)[0].starts_with("ConfigMap takeover/settings configured (taken over;"), "{changes:?}");
    let taken = live("cm settings -n takeover").unwrap();
    assert_eq!(taken["data"], json!({"a": "2", "both": "x"}));
    assert_eq!(taken["metadata"]["annotations"][LAST_APPLIED], Value::Null);
    assert_eq!(managers(&taken), BTreeSet::from(["consign".to_owned()]));
    assert!(bench.apply_with(&first, &adopt).await.unwrap().is_unchanged(), "taken over once");

    // A field that both had set leaves with a later release.
    let mut later = config_map("settings");
    later["data"] = json!({"a": "2"});
    bench.apply(&release("takeover", vec![later])).await.unwrap();
    assert_eq!(live("cm settings -n takeover").unwrap()["data"], json!({"a": "2"}));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_field_of_somebody_who_is_not_named_stays_a_conflict() {
    let mut bench = Bench::new().await;
    kubectl(&["create", "namespace", "twohold"]).unwrap();
    let mut theirs = config_map("settings");
    theirs["data"] = json!({"a": "kubectl's", "b": "1"});
    kubectl_with(&["apply", "-n", "twohold"], &theirs).unwrap();
    let patch = r#"{"data":{"b":"the operator's"}}"#;
    kubectl(&["patch", "cm", "settings", "-n", "twohold", "--field-manager=operator", "--type=merge", "-p", patch])
        .unwrap();
    let mut ours = config_map("settings");
    ours["data"] = json!({"a": "ours", "b": "ours"});
    let desired = release("twohold", vec![ours]);
    let stopped = bench.apply_with(&desired, &adopting(&[Owner::Kubectl])).await.unwrap_err();
    let said = stopped.failure.to_string();
    assert!(said.contains(".data.b by operator") && !said.contains(".data.a"), "{said}");
    assert!(stopped.failure.hint().unwrap().contains("manager:operator"));
    assert_eq!(live("cm settings -n twohold").unwrap()["data"]["a"], "kubectl's");

    let both = adopting(&[Owner::Kubectl, Owner::Manager("operator".into())]);
    bench.apply_with(&desired, &both).await.unwrap();
    assert_eq!(live("cm settings -n twohold").unwrap()["data"], json!({"a": "ours", "b": "ours"}));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_helm_release_is_not_taken_unasked() {
    let mut bench = Bench::new().await;
    kubectl(&["create", "namespace", "helmed"]).unwrap();
    let mut theirs = config_map("settings");
    theirs["metadata"]["annotations"] = json!({"meta.helm.sh/release-name": "web"});
    kubectl_with(&["create", "-n", "helmed", "--field-manager=helm"], &theirs).unwrap();
    let desired = release("helmed", vec![config_map("settings")]);
    let stopped = bench.apply(&desired).await.unwrap_err();
    assert_eq!(stopped.failure.code().name, "foreign-tracking");
    assert!(stopped.failure.hint().unwrap().contains("adopt = [\"helm\"]"));
    bench.apply_with(&desired, &adopting(&[Owner::Helm])).await.unwrap();
    let taken = live("cm settings -n helmed").unwrap();
    assert_eq!(taken["metadata"]["annotations"]["meta.helm.sh/release-name"], Value::Null);
    assert!(bench.apply(&desired).await.unwrap().is_unchanged());
}
