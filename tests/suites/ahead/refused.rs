//! A node that cannot pull stops everything; a cluster that does not let itself be asked stops nothing, unless the site
//! demands an update without an interruption.

use std::path::PathBuf;
use std::time::Duration;

use consign_installer::apply::{Cluster, Direct, Lookup};
use consign_installer::handoff::Policy;
use consign_tests::cluster::Cluster as TestCluster;
use consign_tests::cluster::pods::Behaviour;
use serde_json::{Value, json};

use crate::bench::*;
use crate::world::*;

const NO_TRUST: &str =
    "failed to pull and unpack image: tls: failed to verify certificate: x509: certificate signed by unknown authority";

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_cannot_pull_is_named_with_its_reason_and_nothing_is_made() {
    let mut bench = bench().await;
    TestCluster::shared().pods().cannot_pull(Some("second"), "trust-web", NO_TRUST);
    let objects = vec![deployment("web", &pinned("trust-web")), deployment("log", &pinned("trust-log"))];
    let desired = bringing("aheadtrust", objects, &[("trust-web", AMD), ("trust-log", AMD)]);
    let failure = pulls(&mut bench, &desired, &on(LONG)).await.unwrap_err();
    let says = "node second cannot pull registry.example/trust-web:1@sha256:";
    refused(
        &failure,
        "node-cannot-pull",
        &[says, "it does not trust the registry's certificate (ErrImagePull: ", NO_TRUST],
    );
    assert_eq!(failure.code().exit.code(), 21);
    let text = failure.to_string();
    assert!(!text.contains("trust-log") && !text.contains("node sim"), "{text}");
    assert_eq!(
        said(&bench),
        ["second cannot pull 1 of the 2 images that it needs", "sim has the images that it needs (2)"]
    );
    nothing_left("aheadtrust");
    assert_eq!(live("namespace aheadtrust"), None);
    assert_eq!(live("secret consign-aheadtrust -n consign-system"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_not_done_in_time_counts_as_one_that_cannot() {
    let mut bench = bench().await;
    let creating = Behaviour::Waiting { reason: "ContainerCreating".to_owned(), message: String::new() };
    TestCluster::shared().pods().when_image("slow-web", creating);
    let desired = bringing("aheadslow", vec![deployment("web", &pinned("slow-web"))], &[("slow-web", AMD)]);
    let failure = pulls(&mut bench, &desired, &on(Duration::from_secs(2))).await.unwrap_err();
    refused(&failure, "node-cannot-pull", &["node sim cannot pull", "it was not there within 1 minutes"]);
    nothing_left("aheadslow");
}

#[tokio::test(flavor = "multi_thread")]
async fn where_no_pod_may_be_made_that_is_a_note_or_a_refusal() {
    let mut bench = bench().await;
    kubectl(&["create", "namespace", "aheadquota"]).unwrap();
    let quota = json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "room"}, "spec": {"hard": {"pods": "0"}}});
    kubectl_with(&["create", "-n", "aheadquota"], &quota).unwrap();
    until(|| live("quota room -n aheadquota").unwrap()["status"]["hard"]["pods"] == "0");
    let desired = bringing("aheadquota", vec![deployment("web", &pinned("quota-web"))], &[("quota-web", AMD)]);
    pulls(&mut bench, &desired, &on(LONG)).await.unwrap();
    let notes = notes(&bench);
    let told = |note: &String| {
        note.contains("images are not pulled ahead") && note.contains("exceeded quota") && note.contains("second, sim")
    };
    assert!(notes.iter().any(told), "{notes:?}");

    let strict = Policy { require_zero_downtime: true, ..on(LONG) };
    let failure = pulls(&mut bench, &desired, &strict).await.unwrap_err();
    refused(&failure, "downtime", &["nodes could not be asked to pull the images first", "exceeded quota"]);
    assert_eq!(failure.code().exit.code(), 25);
}

/// A handoff with a token of a service account, as a tenant of its namespace.
async fn as_tenant(namespace: &str) -> (Direct, tempfile::NamedTempFile) {
    let token = kubectl(&["create", "token", "installer", "-n", namespace]).unwrap();
    let text = kubectl(&["config", "view", "--raw", "-o", "json"]).unwrap();
    let mut config: Value = serde_json::from_str(&text).unwrap();
    config["users"][0]["user"] = json!({"token": token.trim()});
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), config.to_string()).unwrap();
    let lookup = Lookup {
        flag: Some(file.path().to_owned()),
        root: PathBuf::from("/nonexistent"),
        tenant: Some(namespace.to_owned()),
        ..Lookup::default()
    };
    (Direct::new(Cluster::connect(&lookup).await.unwrap(), Box::new(|_: &mut [u8]| Ok(()))), file)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_who_cannot_see_nodes_is_told_and_one_who_can_pulls_in_its_namespace() {
    let mut bench = bench().await;
    let name = "aheadtenant";
    kubectl(&["create", "namespace", name]).unwrap();
    kubectl(&["create", "serviceaccount", "installer", "-n", name]).unwrap();
    let bind = |kind: &str, role: &str, verbs: &str, resources: &str| {
        let (verbs, resources) = (format!("--verb={verbs}"), format!("--resource={resources}"));
        kubectl(&["create", kind, role, &verbs, &resources, "-n", name]).unwrap();
        let (binding, of) = (format!("{kind}binding"), format!("--{kind}={role}"));
        kubectl(&["create", &binding, role, &of, "--serviceaccount=aheadtenant:installer", "-n", name]).unwrap();
    };
    let (direct, _kept) = as_tenant(name).await;
    bench.direct = direct;
    let desired = bringing(name, vec![deployment("web", &pinned("tenant-web"))], &[("tenant-web", AMD)]);
    pulls(&mut bench, &desired, &on(LONG)).await.unwrap();
    assert_eq!(notes(&bench), ["images are not pulled ahead: nodes may not be listed"]);
    let strict = Policy { require_zero_downtime: true, ..on(LONG) };
    refused(&pulls(&mut bench, &desired, &strict).await.unwrap_err(), "downtime", &["nodes may not be listed"]);

    bind("clusterrole", "aheadtenant-nodes", "list", "nodes");
    until(|| kubectl(&["auth", "can-i", "list", "nodes", "--as=system:serviceaccount:aheadtenant:installer"]).is_ok());
    bench.events.clear();
    pulls(&mut bench, &desired, &on(LONG)).await.unwrap();
    assert!(notes(&bench).iter().any(|note| note.contains("cannot create resource")), "{:?}", notes(&bench));

    bind("role", "aheadtenant-pods", "create,delete,get,list", "pods");
    let may = ["auth", "can-i", "create", "pods", "-n", name, "--as=system:serviceaccount:aheadtenant:installer"];
    until(|| kubectl(&may).is_ok());
    bench.events.clear();
    pulls(&mut bench, &desired, &strict).await.unwrap();
    assert_eq!(said(&bench), ["second has the images that it needs (1)", "sim has the images that it needs (1)"]);
    nothing_left(name);
}
