//! What every test here stands on: a handoff on the shared cluster, releases made of a few lines, live objects read back.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use consign_installer::apply::{Cluster, Direct, Lookup};
use consign_installer::handoff::{
    Always, ChangeSet, Desired, Event, Handoff, HealthReport, Plan, Policy, RolledBack, Stopped,
};
use consign_tests::cluster::Cluster as TestCluster;
use serde_json::{Value, json};

/// Long enough for a busy machine; nothing here measures time.
pub(crate) const LONG: Duration = Duration::from_secs(120);
/// Long enough for the simulated pods to have a status, short enough to wait for in vain.
pub(crate) const SHORT: Duration = Duration::from_secs(8);

pub(crate) struct Bench {
    pub(crate) direct: Direct,
    pub(crate) events: Vec<Event>,
}

impl Bench {
    pub(crate) async fn new() -> Bench {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let lookup = Lookup {
            flag: Some(TestCluster::shared().kubeconfig().to_owned()),
            root: PathBuf::from("/nonexistent"),
            ..Lookup::default()
        };
        let cluster = Cluster::connect(&lookup).await.unwrap();
        // Counting up is enough to tell one value from the next.
        let counter = std::sync::atomic::AtomicU8::new(1);
        let random = move |bytes: &mut [u8]| {
            bytes.fill(counter.fetch_add(1, std::sync::atomic::Ordering::Relaxed));
            Ok(())
        };
        Bench { direct: Direct::new(cluster, Box::new(random)), events: Vec::new() }
    }

    pub(crate) async fn apply(&mut self, desired: &Desired) -> Result<ChangeSet, Stopped> {
        self.apply_with(desired, &Policy::default()).await
    }

    pub(crate) async fn apply_with(&mut self, desired: &Desired, policy: &Policy) -> Result<ChangeSet, Stopped> {
        let events = &mut self.events;
        self.direct.apply(desired, policy, &Always, &mut |event| events.push(event)).await
    }

    pub(crate) async fn plan(&mut self, desired: &Desired) -> Plan {
        let events = &mut self.events;
        self.direct.plan(desired, &Policy::default(), &mut |event| events.push(event)).await.unwrap()
    }

    pub(crate) async fn healthy(&mut self, desired: &Desired, timeout: Duration) -> HealthReport {
        let events = &mut self.events;
        self.direct.await_healthy(desired, timeout, &mut |event| events.push(event)).await.unwrap()
    }

    pub(crate) async fn rollback(&mut self, previous: &Desired) -> RolledBack {
        let events = &mut self.events;
        self.direct.rollback(previous, &Policy::default(), LONG, &mut |event| events.push(event)).await.unwrap()
    }
}

/// A release of a product that has a namespace of its own name.
pub(crate) fn release(product: &str, objects: Vec<Value>) -> Desired {
    Desired {
        product: product.into(),
        version: "1".into(),
        tooling: "0.1.0".into(),
        namespace: Some(product.into()),
        objects,
        secrets: Vec::new(),
        sealed: None,
        needs: Default::default(),
    }
}

pub(crate) fn config_map(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"a": "1"}})
}

pub(crate) fn pod_template(app: &str, image: &str) -> Value {
    json!({"metadata": {"labels": {"app": app}}, "spec": {"containers": [{"name": "app", "image": image}]}})
}

pub(crate) fn deployment(name: &str, image: &str) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
        "spec": {"replicas": 2, "selector": {"matchLabels": {"app": name}}, "template": pod_template(name, image)}})
}

pub(crate) fn job(name: &str, image: &str) -> Value {
    let mut template = pod_template(name, image);
    template["spec"]["restartPolicy"] = json!("Never");
    json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": {"backoffLimit": 0, "template": template}})
}

/// Runs kubectl as the administrator; the answer is what it printed, or what it complained about.
pub(crate) fn kubectl(arguments: &[&str]) -> Result<String, String> {
    let output = TestCluster::shared().kubectl().args(arguments).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

/// Runs kubectl with a manifest on its input.
#[expect(clippy::disallowed_methods, reason = "a temporary file")]
pub(crate) fn kubectl_with(arguments: &[&str], manifest: &Value) -> Result<String, String> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), manifest.to_string()).unwrap();
    let path = file.path().to_str().unwrap();
    kubectl(&[arguments, &["-f", path]].concat())
}

/// One object, as the server has it now.
pub(crate) fn live(arguments: &str) -> Option<Value> {
    let mut words: Vec<&str> = vec!["get"];
    words.extend(arguments.split_whitespace());
    words.extend(["-o", "json", "--show-managed-fields"]);
    match kubectl(&words) {
        Ok(text) => Some(serde_json::from_str(&text).unwrap()),
        Err(complaint) if complaint.contains("NotFound") || complaint.contains("not found") => None,
        Err(complaint) => panic!("{arguments}: {complaint}"),
    }
}

/// Resource versions of everything that carries the set's label, and of its parent, by kind and name.
pub(crate) fn versions(product: &str, kinds: &str) -> BTreeMap<String, String> {
    let parent = live(&format!("secret -n consign-system consign-{product}")).unwrap();
    let id = parent["metadata"]["labels"]["applyset.kubernetes.io/id"].as_str().unwrap().to_owned();
    let label = format!("-lapplyset.kubernetes.io/part-of={id}");
    let found = kubectl(&["get", kinds, "-A", &label, "-o", "json"]).unwrap();
    let found: Value = serde_json::from_str(&found).unwrap();
    let items = found["items"].as_array().unwrap().iter().chain([&parent]);
    items
        .map(|one| {
            let text = |pointer: &str| one.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
            (format!("{} {}", text("/kind"), text("/metadata/name")), text("/metadata/resourceVersion"))
        })
        .collect()
}

/// The lines of a change set without what did not change.
pub(crate) fn changed(changes: &ChangeSet) -> Vec<String> {
    use consign_installer::handoff::Action;
    changes.entries.iter().filter(|one| one.action != Action::Unchanged).map(ToString::to_string).collect()
}

/// Waits until something holds that controllers bring about.
#[track_caller]
pub(crate) fn until(mut holds: impl FnMut() -> bool) {
    let start = std::time::Instant::now();
    while !holds() {
        assert!(start.elapsed() < LONG, "it does not come about");
        std::thread::sleep(Duration::from_millis(100));
    }
}
