//! An API server that crashes, is too busy, errs, or takes a write and loses the answer; webhooks and policies that say
//! no. Each has a code of its own, nothing is half known, and running again finishes.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};

use consign_installer::apply::{Cluster, Direct, Lookup};
use consign_installer::handoff::{Always, Event, Handoff, Policy, Stopped};
use consign_tests::cluster::Cluster as TestCluster;
use consign_tests::meddler::{Asked, Fate, Meddler};
use serde_json::{Value, json};

use super::bench::*;
use super::guards::refused;

async fn handoff(kubeconfig: &Path) -> Direct {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let lookup = Lookup { flag: Some(kubeconfig.to_owned()), root: PathBuf::from("/nonexistent"), ..Lookup::default() };
    Direct::new(Cluster::connect(&lookup).await.unwrap(), Box::new(|_: &mut [u8]| Ok(())))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_server_that_crashes_midway_is_told_and_the_next_run_finishes() {
    let cluster = Arc::new(Mutex::new(TestCluster::start()));
    let kubeconfig = cluster.lock().unwrap().kubeconfig().to_owned();
    let direct = handoff(&kubeconfig).await;
    let desired = release("crashing", (0..6).map(|n| config_map(&format!("map-{n}"))).collect());
    let (ours, mut written) = (Arc::clone(&cluster), 0);
    let mut on = move |event: Event| {
        if matches!(&event, Event::Object(entry) if entry.key.kind.is("", "ConfigMap")) {
            written += 1;
            if written == 3 {
                ours.lock().unwrap().kill_api_server();
            }
        }
    };
    let Stopped { failure, changes } = direct.apply(&desired, &Policy::default(), &Always, &mut on).await.unwrap_err();
    assert_eq!((failure.code().name, failure.code().exit.code()), ("cluster-unreachable", 21), "{failure}");
    assert_eq!(changes.counts().created, 4, "the namespace and three maps: {:?}", changed(&changes));

    cluster.lock().unwrap().restart_api_server();
    let direct = handoff(&kubeconfig).await;
    let changes = direct.apply(&desired, &Policy::default(), &Always, &mut |_| {}).await.unwrap();
    assert_eq!((changes.counts().unchanged, changes.counts().created), (3, 3), "{:?}", changed(&changes));
    let again = direct.apply(&desired, &Policy::default(), &Always, &mut |_| {}).await.unwrap();
    assert!(again.is_unchanged());
}

/// `kubectl proxy`: the API of the shared cluster without TLS, so that somebody can stand in between.
struct Plain {
    child: Child,
    address: String,
}

impl Plain {
    fn start() -> Self {
        let mut command = TestCluster::shared().kubectl();
        let mut child = command.args(["proxy", "--port=0"]).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().rsplit(' ').next().unwrap().to_owned();
        Plain { child, address }
    }
}

impl Drop for Plain {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[expect(clippy::disallowed_methods, reason = "a temporary file")]
async fn through(meddler: &Meddler) -> Direct {
    let config = json!({"apiVersion": "v1", "kind": "Config", "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "c"}}], "users": [{"name": "c", "user": {}}],
        "clusters": [{"name": "c", "cluster": {"server": format!("http://{}", meddler.address())}}]});
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), config.to_string()).unwrap();
    handoff(file.path()).await
}

/// Whether this is the real write of the object `b` of the release.
fn writes_b(asked: &Asked) -> bool {
    asked.method == "PATCH" && asked.target.contains("/configmaps/b?") && !asked.target.contains("dryRun")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_wrong_on_the_way_is_no_fault_of_the_release_and_the_next_run_finishes() {
    let plain = Plain::start();
    type Rule = fn(&Asked) -> Fate;
    let faults: [(&str, Rule, usize); 4] = [
        ("erring", |asked| if writes_b(asked) { Fate::Answer(500, "") } else { Fate::Pass }, 1),
        ("silent", |asked| if writes_b(asked) { Fate::Silence } else { Fate::Pass }, 1),
        ("cutting", |asked| if writes_b(asked) { Fate::Drop } else { Fate::Pass }, 1),
        // The server has written; nobody knows.
        ("losing", |asked| if writes_b(asked) { Fate::LoseAnswer } else { Fate::Pass }, 0),
    ];
    for (product, rule, missing) in faults {
        let meddler = Meddler::before(&plain.address, rule);
        let direct = through(&meddler).await;
        let desired = release(product, ["a", "b", "c"].map(config_map).to_vec());
        let stopped = direct.apply(&desired, &Policy::default(), &Always, &mut |_| {}).await.unwrap_err();
        assert_eq!(stopped.failure.code().name, "cluster-unreachable", "{product}: {}", stopped.failure);
        assert_eq!(stopped.changes.counts().created, 2, "{product}: {:?}", changed(&stopped.changes));
        assert_eq!(live(&format!("cm b -n {product}")).is_none(), missing == 1, "{product}");
        assert_eq!(live(&format!("cm c -n {product}")), None, "{product}");
        let mut bench = Bench::new().await;
        let changes = bench.apply(&desired).await.unwrap();
        assert_eq!(changes.counts().created as usize, 1 + missing, "{product}: {:?}", changed(&changes));
        assert!(bench.apply(&desired).await.unwrap().is_unchanged(), "{product}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_too_busy_is_asked_again() {
    let plain = Plain::start();
    let busy = |asked: &Asked| match writes_b(asked) {
        // The first writes find it busy, in all the ways that servers and what stands before them say so.
        true if asked.before < 4 => Fate::Answer([429, 503, 504][asked.before - 1], "Retry-After: 1\r\n"),
        _ => Fate::Pass,
    };
    let meddler = Meddler::before(&plain.address, busy);
    let direct = through(&meddler).await;
    let desired = release("busy", ["a", "b", "c"].map(config_map).to_vec());
    let changes = direct.apply(&desired, &Policy::default(), &Always, &mut |_| {}).await.unwrap();
    assert_eq!(changes.counts().created, 4, "{:?}", changed(&changes));
    let tries = meddler.asked().into_iter().filter(writes_b).count();
    assert!(tries > 1, "nobody was turned away: this test shows nothing");
    assert!(live("cm b -n busy").is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn policies_and_webhooks_that_say_no_are_repeated_and_nothing_is_written() {
    let mut bench = Bench::new().await;
    kubectl(&["create", "namespace", "denied"]).unwrap();
    let only_here = json!({"matchLabels": {"kubernetes.io/metadata.name": "denied"}});
    let rules =
        json!([{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["configmaps"]}]);
    let policy = json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": "denied"},
        "spec": {"matchConstraints": {"namespaceSelector": only_here, "resourceRules": rules},
            "validations": [{"expression": "object.metadata.name != 'bad'", "message": "maps are not called bad here"}]}});
    let binding = json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": "denied"}, "spec": {"policyName": "denied", "validationActions": ["Deny"]}});
    kubectl_with(&["create"], &policy).unwrap();
    kubectl_with(&["create"], &binding).unwrap();
    let trial = |name: &str| kubectl(&["create", "configmap", name, "-n", "denied", "--dry-run=server"]);
    // The server takes a moment to obey what it was told.
    until(|| trial("bad").is_err());

    let desired = release("denied", vec![config_map("good"), config_map("bad")]);
    let stopped = bench.apply(&desired).await.unwrap_err();
    refused(stopped, "apply-refused", &["ConfigMap denied/bad: ", "maps are not called bad here"]);
    assert_eq!(live("cm good -n denied"), None);
    kubectl(&["delete", "validatingadmissionpolicybinding", "denied"]).unwrap();
    until(|| trial("bad").is_ok());

    let hook: Value = json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": "denied"}, "webhooks": [{"name": "nobody.denied.example", "sideEffects": "None",
            "admissionReviewVersions": ["v1"], "clientConfig": {"url": "https://127.0.0.1:1/"}, "timeoutSeconds": 2,
            "namespaceSelector": only_here, "rules": rules}]});
    kubectl_with(&["create"], &hook).unwrap();
    until(|| trial("bad").is_err());
    refused(bench.apply(&desired).await.unwrap_err(), "apply-refused", &["failed calling webhook"]);
    assert_eq!(live("cm good -n denied"), None);
    kubectl(&["delete", "validatingwebhookconfiguration", "denied"]).unwrap();
    until(|| trial("bad").is_ok());
    bench.apply(&desired).await.unwrap();
    assert!(live("cm bad -n denied").is_some());
}
