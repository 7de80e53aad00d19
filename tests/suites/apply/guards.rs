//! What is refused, and that nothing was written before the refusal.

use std::path::PathBuf;

use consign_format::error::Coded;
use consign_installer::apply::{Cluster, Lookup};
use consign_installer::handoff::{Owner, Policy, Stopped};
use serde_json::json;

use super::bench::*;

/// A refusal before the first write, with this code and these words.
#[track_caller]
pub(crate) fn refused(stopped: Stopped, code: &str, says: &[&str]) {
    assert_eq!(stopped.failure.code().name, code, "{}", stopped.failure);
    for part in says {
        assert!(stopped.failure.to_string().contains(part), "{}", stopped.failure);
    }
    assert!(stopped.failure.hint().is_some());
    assert_eq!(changed(&stopped.changes), Vec::<String>::new(), "something was written before");
}

fn namespace(name: &str) {
    kubectl(&["create", "namespace", name]).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn conflicts_are_listed_and_forced_only_on_request() {
    let mut bench = Bench::new().await;
    namespace("conflict");
    let mut theirs = deployment("web", "demo/web");
    theirs["spec"]["replicas"] = json!(3);
    kubectl_with(&["apply", "-n", "conflict"], &theirs).unwrap();
    let desired = release("conflict", vec![config_map("new"), deployment("web", "demo/web:2")]);
    let stopped = bench.apply(&desired).await.unwrap_err();
    refused(
        stopped,
        "apply-conflict",
        &[
            "Deployment conflict/web field .spec.replicas by kubectl-client-side-apply",
            ".image by kubectl-client-side-apply",
        ],
    );
    assert_eq!(live("cm new -n conflict"), None);
    assert_eq!(live("secret consign-conflict -n consign-system"), None);

    let force = Policy { force_conflicts: true, ..Policy::default() };
    bench.apply_with(&desired, &force).await.unwrap();
    assert_eq!(live("deploy web -n conflict").unwrap()["spec"]["replicas"], 2);
    assert!(bench.apply(&desired).await.unwrap().is_unchanged());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_job_is_an_immutable_field() {
    let mut bench = Bench::new().await;
    let first = release("immutable", vec![job("migrate", "demo/migrate:1")]);
    bench.apply(&first).await.unwrap();
    assert!(bench.healthy(&first, LONG).await.is_healthy());
    assert!(bench.apply(&first).await.unwrap().is_unchanged(), "a finished Job that is unchanged is left alone");
    assert!(bench.healthy(&first, LONG).await.is_healthy());

    let next = release("immutable", vec![config_map("new"), job("migrate", "demo/migrate:2")]);
    refused(bench.apply(&next).await.unwrap_err(), "immutable-field", &["Job immutable/migrate", "spec.template"]);
    assert_eq!(live("cm new -n immutable"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_that_the_server_refuses_is_told_at_once() {
    let mut bench = Bench::new().await;
    namespace("refused");
    let mut bad_field = config_map("bad-field");
    bad_field["dota"] = json!({});
    let mut bad_value = deployment("bad-value", "demo/web");
    bad_value["spec"]["replicas"] = json!(-1);
    let desired = release("refused", vec![config_map("good"), bad_field, bad_value]);
    refused(
        bench.apply(&desired).await.unwrap_err(),
        "apply-refused",
        &["ConfigMap refused/bad-field", "dota", "Deployment refused/bad-value", "spec.replicas"],
    );
    assert_eq!(live("cm good -n refused"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kind_nobody_brings_and_a_namespace_nobody_makes_are_refused() {
    let mut bench = Bench::new().await;
    let stranger = json!({"apiVersion": "nowhere.example/v1", "kind": "Stranger", "metadata": {"name": "a"}});
    refused(
        bench.apply(&release("nokind", vec![stranger])).await.unwrap_err(),
        "api-missing",
        &["nowhere.example/v1 Stranger"],
    );
    let mut elsewhere = config_map("a");
    elsewhere["metadata"]["namespace"] = json!("nowhere");
    refused(
        bench.apply(&release("nospace", vec![elsewhere])).await.unwrap_err(),
        "apply-refused",
        &["Namespace nowhere: it does not exist"],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_tool_tracks_is_left_to_it_unless_adopted() {
    let mut bench = Bench::new().await;
    namespace("tracked");
    let mut argos = config_map("argos");
    argos["metadata"]["annotations"] = json!({"argocd.argoproj.io/tracking-id": "app:/ConfigMap:tracked/argos"});
    kubectl_with(&["create", "-n", "tracked"], &argos).unwrap();
    let mut fluxes = config_map("fluxes");
    fluxes["metadata"]["labels"] = json!({"kustomize.toolkit.fluxcd.io/name": "apps"});
    kubectl_with(&["create", "-n", "tracked"], &fluxes).unwrap();

    let desired = release("tracked", vec![config_map("argos"), config_map("fluxes"), config_map("ours")]);
    let stopped = bench.apply(&desired).await.unwrap_err();
    refused(stopped, "foreign-tracking", &["ConfigMap tracked/argos: Argo CD", "ConfigMap tracked/fluxes: Flux"]);
    assert_eq!(live("cm ours -n tracked"), None);

    let adopt = Policy { adopt: vec![Owner::ArgoCd, Owner::Flux], ..Policy::default() };
    let one = Policy { adopt: vec![Owner::ArgoCd], ..Policy::default() };
    let stopped = bench.apply_with(&desired, &one).await.unwrap_err();
    refused(stopped, "foreign-tracking", &["ConfigMap tracked/fluxes: Flux"]);
    bench.apply_with(&desired, &adopt).await.unwrap();
    let adopted = live("cm argos -n tracked").unwrap();
    assert!(adopted["metadata"]["annotations"].get("argocd.argoproj.io/tracking-id").is_none(), "{adopted}");
    assert!(bench.apply(&desired).await.unwrap().is_unchanged(), "adopted once, ours for good");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_belongs_to_one_product() {
    let mut bench = Bench::new().await;
    let shared = |product: &str| {
        let mut map = config_map("shared");
        map["metadata"]["namespace"] = json!("owner");
        release(product, vec![map])
    };
    bench.apply(&release("owner", vec![config_map("shared")])).await.unwrap();
    refused(
        bench.apply(&shared("thief")).await.unwrap_err(),
        "foreign-tracking",
        &["ConfigMap owner/shared: another ApplySet"],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_parent_of_another_tool_is_not_touched() {
    let mut bench = Bench::new().await;
    bench.apply(&release("parent", vec![config_map("a")])).await.unwrap();
    let annotation = "applyset.kubernetes.io/tooling=kubectl/v1.36";
    kubectl(&["annotate", "--overwrite", "secret", "consign-parent", "-n", "consign-system", annotation]).unwrap();
    refused(
        bench.apply(&release("parent", vec![config_map("b")])).await.unwrap_err(),
        "applyset-foreign",
        &["kubectl/v1.36"],
    );
    assert_eq!(live("cm b -n parent"), None);
}

#[expect(clippy::disallowed_methods, reason = "a temporary file")]
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_not_there_is_told_by_its_address() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let file = tempfile::NamedTempFile::new().unwrap();
    let config = json!({"apiVersion": "v1", "kind": "Config", "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "c"}}], "users": [{"name": "c", "user": {}}],
        "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:1"}}]});
    std::fs::write(file.path(), config.to_string()).unwrap();
    let lookup = Lookup { flag: Some(file.path().to_owned()), root: PathBuf::from("/"), ..Lookup::default() };
    let error = Cluster::connect(&lookup).await.unwrap_err();
    assert_eq!(error.code().name, "cluster-unreachable");
    assert_eq!(error.code().exit.code(), 21);
    assert!(error.to_string().starts_with("the API server https://127.0.0.1:1/ does not answer: "), "{error}");
    assert!(error.to_string().contains("refused"), "{error}");
}
