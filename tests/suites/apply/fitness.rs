//! What a cluster must be for a release, found before the first write: version, APIs, platforms, rights, rules for pods.

use std::path::PathBuf;

use consign_format::Digest;
use consign_format::release::Image;
use consign_installer::apply::{Cluster, Direct, Lookup};
use consign_installer::handoff::{Always, Event, Handoff, Needs, Policy, Stopped};
use consign_installer::images::Brought;
use consign_tests::cluster::Cluster as TestCluster;
use serde_json::{Value, json};

use super::bench::*;
use super::guards::refused;

fn needing(product: &str, objects: Vec<Value>, needs: Needs) -> consign_installer::handoff::Desired {
    consign_installer::handoff::Desired { needs, ..release(product, objects) }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_cluster_is_refused_and_a_newer_one_is_told() {
    let mut bench = Bench::new().await;
    let rendered = |version: &str| Needs { kubernetes: Some(version.into()), ..Needs::default() };
    let stopped = bench.apply(&needing("fitold", vec![config_map("a")], rendered("1.99"))).await.unwrap_err();
    refused(stopped, "cluster-too-old", &["older than 1.99"]);
    assert_eq!(live("namespace fitold"), None);
    bench.apply(&needing("fitold", vec![config_map("a")], rendered("1.28"))).await.unwrap();
    let told = |event: &Event| matches!(event, Event::Note(text) if text.contains("rendered for Kubernetes 1.28"));
    assert!(bench.events.iter().any(told), "{:?}", bench.events);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_api_that_the_release_was_rendered_for_is_served_or_brought() {
    let mut bench = Bench::new().await;
    let apis = |names: &[&str]| Needs { apis: names.iter().map(ToString::to_string).collect(), ..Needs::default() };
    let wanted = apis(&["apps/v1", "monitoring.example/v1", "fitapis.example/v1", "fitapis.example/v1/Other"]);
    let definition = json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "things.fitapis.example"},
        "spec": {"group": "fitapis.example", "scope": "Namespaced", "names": {"kind": "Thing", "plural": "things"},
            "versions": [{"name": "v1", "served": true, "storage": true,
                "schema": {"openAPIV3Schema": {"type": "object"}}}]}});
    let stopped = bench.apply(&needing("fitapis", vec![definition.clone()], wanted)).await.unwrap_err();
    let said = stopped.failure.to_string();
    refused(stopped, "api-missing", &["monitoring.example/v1 (", "fitapis.example/v1/Other ("]);
    assert!(!said.contains("apps/v1") && !said.contains("fitapis.example/v1 ("), "{said}");
    let brought = apis(&["apps/v1/Deployment", "fitapis.example/v1/Thing", "v1"]);
    bench.apply(&needing("fitapis", vec![definition], brought)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn images_must_be_for_the_nodes() {
    let mut bench = Bench::new().await;
    let digest = Digest::of(b"image");
    let for_platform = |platform: &str| {
        let image = Image {
            reference: format!("registry.example/web:1@{digest}"),
            digest,
            platforms: vec![platform.to_owned()],
            referrers: Vec::new(),
            found_in: Vec::new(),
        };
        Needs { images: Brought::of(&[image]), ..Needs::default() }
    };
    let web = deployment("web", &format!("registry.example/web:1@{digest}"));
    let stopped = bench.apply(&needing("fitnodes", vec![web.clone()], for_platform("linux/s390x"))).await.unwrap_err();
    let says = "Deployment fitnodes/web: its images are for linux/s390x, and it may come to nodes of linux/amd64";
    refused(stopped, "node-platform", &[says]);
    assert_eq!(live("namespace fitnodes"), None);
    bench.apply(&needing("fitnodes", vec![web], for_platform("linux/amd64"))).await.unwrap();
}

/// A handoff with the rights of a service account.
#[expect(clippy::disallowed_methods, reason = "a temporary file")]
async fn as_account(namespace: &str, name: &str) -> (Direct, tempfile::NamedTempFile) {
    let token = kubectl(&["create", "token", name, "-n", namespace]).unwrap();
    let text = kubectl(&["config", "view", "--raw", "-o", "json"]).unwrap();
    let mut config: Value = serde_json::from_str(&text).unwrap();
    config["users"][0]["user"] = json!({"token": token.trim()});
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), config.to_string()).unwrap();
    let lookup =
        Lookup { flag: Some(file.path().to_owned()), root: PathBuf::from("/nonexistent"), ..Lookup::default() };
    let cluster = Cluster::connect(&lookup).await.unwrap();
    (Direct::new(cluster, Box::new(|_: &mut [u8]| Ok(()))), file)
}

#[tokio::test(flavor = "multi_thread")]
async fn all_rights_that_are_missing_are_told_at_once() {
    assert!(TestCluster::shared().kubeconfig().is_file());
    kubectl(&["create", "namespace", "fitrights"]).unwrap();
    kubectl(&["create", "serviceaccount", "installer", "-n", "fitrights"]).unwrap();
    let bind = |role: &str, verbs: &str, resources: &str| {
        let (verbs, resources) = (format!("--verb={verbs}"), format!("--resource={resources}"));
        kubectl(&["create", "clusterrole", role, &verbs, &resources]).unwrap();
        let to = ["--clusterrole", role, "--serviceaccount=fitrights:installer"];
        kubectl(&[&["create", "clusterrolebinding", role][..], &to].concat()).unwrap();
    };
    bind("fitrights-some", "get,list,create,patch,delete", "configmaps,namespaces");
    let (direct, _kept) = as_account("fitrights", "installer").await;
    let desired = release("fitrights", vec![config_map("a"), deployment("web", "demo/web")]);
    let Stopped { failure, changes } =
        direct.apply(&desired, &Policy::default(), &Always, &mut |_| {}).await.unwrap_err();
    assert_eq!(changed(&changes), Vec::<String>::new());
    assert_eq!(failure.code().name, "cluster-forbidden");
    let said = failure.to_string();
    assert!(said.contains("create, delete, get, list, patch deployments.apps in fitrights"), "{said}");
    assert!(said.contains("create, get, patch secrets in consign-system"), "{said}");
    assert!(!said.contains("configmaps"), "{said}");
    assert_eq!(live("cm a -n fitrights"), None);

    // With just these, and no administrator's, it is applied; nodes may not be listed, which is only told.
    bind("fitrights-rest", "get,list,create,patch,delete", "deployments.apps,secrets");
    let mut events = Vec::new();
    direct.apply(&desired, &Policy::default(), &Always, &mut |event| events.push(event)).await.unwrap();
    assert!(live("deploy web -n fitrights").is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_that_the_server_would_not_take_are_found_before_their_workload_is_applied() {
    let mut bench = Bench::new().await;
    kubectl(&["create", "namespace", "fitpods"]).unwrap();
    kubectl(&["label", "namespace", "fitpods", "pod-security.kubernetes.io/enforce=baseline"]).unwrap();
    let mut root = deployment("root", "demo/web");
    root["spec"]["template"]["spec"]["hostNetwork"] = json!(true);
    let stopped = bench.apply(&release("fitpods", vec![deployment("web", "demo/web"), root])).await.unwrap_err();
    assert!(!stopped.failure.to_string().contains("fitpods/web"), "{}", stopped.failure);
    refused(stopped, "apply-refused", &["Deployment fitpods/root: its pods would be refused", "violates PodSecurity"]);
    assert_eq!(live("deploy web -n fitpods"), None);
    // An account that comes with the release is not missed.
    let mut web = deployment("web", "demo/web");
    web["spec"]["template"]["spec"]["serviceAccountName"] = json!("runner");
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "runner"}});
    bench.apply(&release("fitpods", vec![web.clone(), account.clone()])).await.unwrap();

    // No room for one pod more: what is new is refused, what is changed is told, since the old pods go.
    let quota = json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "room"}, "spec": {"hard": {"pods": "0"}}});
    kubectl_with(&["create", "-n", "fitpods"], &quota).unwrap();
    until(|| live("quota room -n fitpods").unwrap()["status"]["hard"]["pods"] == "0");
    let stopped =
        bench.apply(&release("fitpods", vec![web.clone(), account.clone(), deployment("more", "demo/more")])).await;
    refused(
        stopped.unwrap_err(),
        "apply-refused",
        &["Deployment fitpods/more: its pods would be refused", "exceeded quota"],
    );
    web["spec"]["template"]["spec"]["containers"][0]["image"] = json!("demo/web:2");
    bench.apply(&release("fitpods", vec![web, account])).await.unwrap();
    let told = |event: &Event| matches!(event, Event::Note(text) if text.contains("exceeded quota"));
    assert!(bench.events.iter().any(told), "{:?}", bench.events);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_site_that_demands_it_takes_no_update_that_interrupts() {
    let mut bench = Bench::new().await;
    let strict = Policy { require_zero_downtime: true, ..Policy::default() };
    let mut well = deployment("well", "demo/web");
    well["spec"]["strategy"] = json!({"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}});
    let container = &mut well["spec"]["template"]["spec"]["containers"][0];
    container["readinessProbe"] = json!({"httpGet": {"path": "/ready", "port": 80}});
    container["lifecycle"] = json!({"preStop": {"exec": {"command": ["sleep", "5"]}}});
    let desired = release("fitdown", vec![well.clone(), deployment("bare", "demo/web")]);
    let stopped = bench.apply_with(&desired, &strict).await.unwrap_err();
    assert_eq!(stopped.failure.code().exit.code(), 25);
    assert!(!stopped.failure.to_string().contains("fitdown/well"), "{}", stopped.failure);
    refused(stopped, "downtime", &["Deployment fitdown/bare: lacks maxUnavailable 0", "a readinessProbe of app"]);
    bench.apply_with(&release("fitdown", vec![well]), &strict).await.unwrap();
}
