//! The kit's cluster, held to what the other suites take for granted: real controllers, simulated pods, no collisions.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::disallowed_methods, reason = "tests")]

use std::io::{BufRead as _, BufReader};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use consign_tests::cluster::Cluster;
use consign_tests::cluster::pods::{Behaviour, EXIT_CODE, MESSAGE, WAITING};
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, StatefulSet};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, PersistentVolumeClaim, Pod};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::core::NamespaceResourceScope;
use kube::{Client, Resource};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// Bounds a hang; nothing is measured by it.
const PATIENCE: Duration = Duration::from_secs(120);

#[tokio::test]
async fn a_deployment_gets_available_and_its_service_has_endpoints() {
    let namespace = Space::new("deployment").await;
    namespace.create::<Deployment>(workload("apps/v1", "Deployment", json!({"replicas": 3}), json!({}))).await;
    let service = json!({"metadata": {"name": "web"}, "spec": {"selector": {"app": "web"}, "ports": [{"port": 80}]}});
    namespace.create::<k8s_openapi::api::core::v1::Service>(service).await;
    let available = |one: &Value| one["status"]["availableReplicas"] == 3;
    namespace.until::<Deployment>("web", "three replicas are available", available).await;
    let slices: Api<EndpointSlice> = namespace.api();
    eventually("three ready endpoints", || async {
        let ready = |slice: EndpointSlice| {
            let ends = slice.endpoints.into_iter().flatten();
            ends.filter(|end| end.conditions.as_ref().is_some_and(|said| said.ready == Some(true))).count()
        };
        slices.list(&ListParams::default()).await.unwrap().items.into_iter().map(ready).sum::<usize>() == 3
    })
    .await;
}

#[tokio::test]
async fn a_stateful_set_and_a_daemon_set_get_ready() {
    let namespace = Space::new("sets").await;
    let claim = json!({"metadata": {"name": "data"}, "spec": {
        "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}},
    }});
    let spec = json!({"replicas": 2, "serviceName": "web", "volumeClaimTemplates": [claim]});
    namespace.create::<StatefulSet>(workload("apps/v1", "StatefulSet", spec, json!({}))).await;
    namespace.create::<DaemonSet>(workload("apps/v1", "DaemonSet", json!({}), json!({}))).await;
    namespace.until::<StatefulSet>("web", "two are ready", |one| one["status"]["readyReplicas"] == 2).await;
    let bound = |one: &Value| one["status"]["phase"] == "Bound";
    namespace.until::<PersistentVolumeClaim>("data-web-1", "it is bound", bound).await;
    namespace.until::<DaemonSet>("web", "one is ready", |one| one["status"]["numberReady"] == 1).await;
}

#[tokio::test]
async fn a_job_completes_and_one_that_exits_with_a_code_fails() {
    let namespace = Space::new("jobs").await;
    namespace.create::<Job>(job("migrate", json!({}))).await;
    namespace.create::<Job>(job("broken", json!({EXIT_CODE: "3"}))).await;
    namespace.until::<Job>("migrate", "it is complete", |one| condition(one, "Complete").is_some()).await;
    let failed = namespace.until::<Job>("broken", "it has failed", |one| condition(one, "Failed").is_some()).await;
    assert_eq!(condition(&failed, "Failed").unwrap()["reason"], "BackoffLimitExceeded");
}

#[tokio::test]
async fn an_image_that_cannot_be_pulled_exceeds_the_progress_deadline() {
    let namespace = Space::new("no-image").await;
    let annotations = json!({WAITING: "ImagePullBackOff", MESSAGE: "not in any registry"});
    let spec = json!({"replicas": 1, "progressDeadlineSeconds": 1});
    namespace.create::<Deployment>(workload("apps/v1", "Deployment", spec, annotations)).await;
    let given_up = |one: &Value| condition(one, "Progressing").is_some_and(|said| said["status"] == "False");
    let deployment = namespace.until::<Deployment>("web", "the controller gives up", given_up).await;
    assert_eq!(condition(&deployment, "Progressing").unwrap()["reason"], "ProgressDeadlineExceeded");
    let pods = namespace.api::<Pod>().list(&ListParams::default()).await.unwrap();
    let pod = serde_json::to_value(&pods.items[0]).unwrap();
    let waiting = &pod["status"]["containerStatuses"][0]["state"]["waiting"];
    assert_eq!(*waiting, json!({"reason": "ImagePullBackOff", "message": "not in any registry"}));
}

#[tokio::test]
async fn a_rule_breaks_a_running_pod_and_forgetting_it_heals() {
    // Rules concern every pod of a cluster, so this one is not shared.
    let cluster = Cluster::start();
    let namespace = Space::of(&cluster, "rule").await;
    namespace.create::<Deployment>(workload("apps/v1", "Deployment", json!({"replicas": 1}), json!({}))).await;
    namespace.until::<Deployment>("web", "it is ready", |one| one["status"]["readyReplicas"] == 1).await;
    cluster.pods().when_image("registry.test/web", Behaviour::crash_loop());
    namespace.until::<Deployment>("web", "it is not", |one| one["status"]["unavailableReplicas"] == 1).await;
    cluster.pods().forget_rules();
    namespace.until::<Deployment>("web", "it is again", |one| one["status"]["readyReplicas"] == 1).await;
}

#[tokio::test]
async fn server_side_apply_names_owners_and_refuses_conflicts() {
    let namespace = Space::new("apply").await;
    let api: Api<ConfigMap> = namespace.api();
    let object =
        |value: &str| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"k": value}});
    let first = api.patch("c", &PatchParams::apply("first"), &Patch::Apply(object("1"))).await.unwrap();
    assert_eq!(first.metadata.managed_fields.unwrap()[0].manager.as_deref(), Some("first"));
    let refused = api.patch("c", &PatchParams::apply("second"), &Patch::Apply(object("2"))).await.unwrap_err();
    assert!(matches!(refused, kube::Error::Api(status) if status.code == 409));
}

#[tokio::test]
async fn a_deleted_deployment_and_a_deleted_namespace_go_away() {
    let namespace = Space::new("deleted").await;
    namespace.create::<Deployment>(workload("apps/v1", "Deployment", json!({"replicas": 1}), json!({}))).await;
    namespace.until::<Deployment>("web", "it is ready", |one| one["status"]["readyReplicas"] == 1).await;
    namespace.api::<Deployment>().delete("web", &DeleteParams::foreground()).await.unwrap();
    let pods: Api<Pod> = namespace.api();
    eventually("no pod is left", || async { pods.list(&ListParams::default()).await.unwrap().items.is_empty() }).await;
    let all: Api<Namespace> = Api::all(namespace.client.clone());
    all.delete("deleted", &DeleteParams::default()).await.unwrap();
    eventually("the namespace is gone", || async { all.get_opt("deleted").await.unwrap().is_none() }).await;
}

#[tokio::test]
async fn two_clusters_at_once_do_not_collide() {
    let (one, two) =
        tokio::join!(tokio::task::spawn_blocking(Cluster::start), tokio::task::spawn_blocking(Cluster::start));
    let (one, two) = (one.unwrap(), two.unwrap());
    Space::of(&one, "only-in-one").await;
    let all: Api<Namespace> = Api::all(two.client().await);
    assert!(all.get_opt("only-in-one").await.unwrap().is_none());
    let (first, second) = (one.folder().to_owned(), two.folder().to_owned());
    drop(one);
    assert!(all.get_opt("default").await.unwrap().is_some(), "the end of one cluster ended another");
    drop(two);
    assert!(!first.exists() && !second.exists(), "a folder was left behind");
}

#[test]
fn a_killed_owner_leaves_nothing_behind() {
    let mut owner = Command::new(env!("CARGO_BIN_EXE_cluster")).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(owner.stdout.take().unwrap()).lines().map_while(Result::ok);
    let kubeconfig = lines.find_map(|line| line.strip_prefix("KUBECONFIG=").map(PathBuf::from)).expect("it starts");
    let config: Value = serde_json::from_slice(&std::fs::read(&kubeconfig).unwrap()).unwrap();
    let server =
        config["clusters"][0]["cluster"]["server"].as_str().unwrap().strip_prefix("https://").unwrap().to_owned();
    assert!(TcpStream::connect(&server).is_ok());
    owner.kill().unwrap();
    owner.wait().unwrap();
    let deadline = Instant::now() + PATIENCE;
    while kubeconfig.parent().unwrap().exists() || TcpStream::connect(&server).is_ok() {
        assert!(Instant::now() < deadline, "something outlived its killed owner: {}", kubeconfig.display());
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn kubectl_is_there_and_of_the_version_that_was_asked_for() {
    let output = Cluster::shared().kubectl().args(["version", "-o", "json"]).output().unwrap();
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    let expected = consign_tests::tools::kubernetes_version().unwrap();
    assert_eq!(said["serverVersion"]["gitVersion"], expected.as_str());
    assert_eq!(said["clientVersion"]["gitVersion"], expected.as_str());
}

/// A namespace of one test.
struct Space {
    client: Client,
    name: &'static str,
}

impl Space {
    async fn new(name: &'static str) -> Self {
        let cluster = tokio::task::spawn_blocking(Cluster::shared).await.unwrap();
        Self::of(cluster, name).await
    }

    async fn of(cluster: &Cluster, name: &'static str) -> Self {
        let client = cluster.client().await;
        let namespace = serde_json::from_value(json!({"metadata": {"name": name}})).unwrap();
        Api::<Namespace>::all(client.clone()).create(&PostParams::default(), &namespace).await.unwrap();
        Self { client, name }
    }

    fn api<K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>>(&self) -> Api<K> {
        Api::namespaced(self.client.clone(), self.name)
    }

    async fn create<K>(&self, object: Value)
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + DeserializeOwned
            + Clone
            + serde::Serialize
            + std::fmt::Debug,
    {
        let object = serde_json::from_value(object).unwrap();
        self.api::<K>().create(&PostParams::default(), &object).await.unwrap();
    }

    /// The object, once it is as wanted.
    async fn until<K>(&self, name: &str, what: &str, wanted: impl Fn(&Value) -> bool) -> Value
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + DeserializeOwned
            + Clone
            + serde::Serialize
            + std::fmt::Debug,
    {
        let api = self.api::<K>();
        let get = async || serde_json::to_value(api.get(name).await.unwrap()).unwrap();
        eventually(what, || async { wanted(&get().await) }).await;
        get().await
    }
}

async fn eventually<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) {
    let wait = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("never happened: {what}"));
}

fn condition<'a>(object: &'a Value, kind: &str) -> Option<&'a Value> {
    object["status"]["conditions"]
        .as_array()?
        .iter()
        .find(|said| said["type"] == kind && (said["status"] == "True" || kind == "Progressing"))
}

/// A workload `web` of one container, `spec` beside its template.
fn workload(version: &str, kind: &str, spec: Value, annotations: Value) -> Value {
    let mut object = json!({"apiVersion": version, "kind": kind, "metadata": {"name": "web"}, "spec": spec});
    object["spec"]["selector"] = json!({"matchLabels": {"app": "web"}});
    object["spec"]["template"] = json!({
        "metadata": {"labels": {"app": "web"}, "annotations": annotations},
        "spec": {"containers": [{"name": "web", "image": "registry.test/web:1"}]},
    });
    object
}

fn job(name: &str, annotations: Value) -> Value {
    json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": {
        "backoffLimit": 0,
        "template": {
            "metadata": {"annotations": annotations},
            "spec": {"restartPolicy": "Never", "containers": [{"name": "main", "image": "registry.test/job:1"}]},
        },
    }})
}
