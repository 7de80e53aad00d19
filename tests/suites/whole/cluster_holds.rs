//! What a cluster holds beside what a release says, and what the site finds when somebody changed it.

use std::collections::BTreeMap;
use std::path::Path;

use consign_tests::cluster::Cluster;
use consign_tests::images::run;
use consign_tests::sample;
use consign_tests::site::Site;
use serde_json::Value;

/// The name of the hook that [`grow`] adds.
pub(crate) const HOOK: &str = "router-tables";

/// The second release: an object in a later wave, a hook that goes when it is done, fields and a custom resource that
/// change, an object that leaves.
pub(crate) fn grow(tree: &Path) {
    sample::drop_network_policy(tree);
    sample::replace(&tree.join("deploy/plain/router.yaml"), "replicas: 1", "replicas: 2");
    sample::replace(&tree.join("deploy/models/nodule.yaml"), "threshold: 80", "threshold: 85");
    let grown = format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: router-late\n  annotations: {{argocd.argoproj.io/sync-wave: \"2\"}}\ndata: {{a: \"1\"}}\n---\n\
         apiVersion: batch/v1\nkind: Job\nmetadata:\n  name: {HOOK}\n  annotations:\n    argocd.argoproj.io/hook: PreSync\n    \
         argocd.argoproj.io/hook-delete-policy: HookSucceeded\nspec:\n  template:\n    spec:\n      restartPolicy: Never\n      containers:\n        \
         - {{name: tables, image: ghcr.io/lumen/router:1.9}}\n"
    );
    std::fs::write(tree.join("deploy/plain/grown.yaml"), grown).unwrap();
}

/// Demands that every object in a folder is in the cluster, with every field as it is there.
pub(crate) fn holds(cluster: &Cluster, folder: &Path) {
    let text = run(cluster.kubectl().args(["get", "--ignore-not-found", "-o", "json", "-f"]).arg(folder));
    let found: Value = serde_json::from_str(&text).unwrap();
    let name = |object: &Value| {
        let metadata = &object["metadata"];
        format!("{} {}/{}", object["kind"], metadata["namespace"], metadata["name"])
    };
    let live: BTreeMap<String, &Value> =
        found["items"].as_array().unwrap().iter().map(|object| (name(object), object)).collect();
    let mut compared = 0;
    for file in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if file.extension().is_none_or(|extension| extension != "yaml") {
            continue;
        }
        let wanted: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        if wanted["metadata"]["name"] == HOOK {
            assert!(!live.contains_key(&name(&wanted)), "the hook is done and still there");
            continue;
        }
        let live = live.get(&name(&wanted)).unwrap_or_else(|| panic!("{} is not there", name(&wanted)));
        is_part(&name(&wanted), &wanted, live);
        compared += 1;
    }
    assert!(compared > 10, "only {compared} objects: this shows nothing");
}

/// Every field of `wanted` is in `live`, with the same value; the server adds its own.
fn is_part(place: &str, wanted: &Value, live: &Value) {
    match (wanted, live) {
        (Value::Object(wanted), _) => {
            wanted.iter().for_each(|(name, value)| is_part(&format!("{place}.{name}"), value, &live[name]));
        }
        (Value::Array(wanted), Value::Array(live)) => {
            assert_eq!(wanted.len(), live.len(), "{place}");
            wanted.iter().zip(live).for_each(|(wanted, live)| is_part(&format!("{place}[]"), wanted, live));
        }
        (wanted, live) => assert_eq!(wanted, live, "{place}"),
    }
}

/// Somebody works on the cluster by hand; the site tells every field, and makes it what was installed when it is told to.
pub(crate) fn drift_is_found_and_corrected(site: &Site, cluster: &Cluster, folder: &Path) {
    let look = |arguments: &[&str]| {
        site.invoke(["run", "--once"]).option("--kubeconfig", cluster.kubeconfig()).args(arguments)
    };
    let calm = look(&["--json"]).succeeds().json();
    assert_eq!(calm["products"][0]["drifted"], serde_json::json!([]), "{calm}");

    let by_hand = |arguments: &[&str]| run(cluster.kubectl().args(arguments).args(["-n", "lumen"]));
    by_hand(&["scale", "deployment", "router", "--replicas=7"]);
    by_hand(&["set", "image", "deployment/router", "router=ghcr.io/lumen/router:0.1"]);
    by_hand(&["delete", "configmap", "router-late"]);
    let outcome = look(&[]).run();
    assert_eq!(outcome.exit, Some(21), "{outcome}");
    outcome.says("drifted").says("ConfigMap lumen/router-late: it is gone");
    outcome.says("~ spec.replicas: 7 → 2").says("image: ghcr.io/lumen/router:0.1 → ghcr.io/lumen/router:1.9@sha256:");
    assert_eq!(by_hand(&["get", "deployment", "router", "-o", "jsonpath={.spec.replicas}"]), "7", "only told");
    look(&["--mode", "ignore"]).succeeds();

    let done = look(&["--mode", "correct", "--json"]).succeeds().json();
    assert_eq!(done["products"][0]["corrected"], true, "{done}");
    holds(cluster, folder);
    assert_eq!(look(&["--json"]).succeeds().json()["products"][0]["drifted"], serde_json::json!([]));
    let journal = std::fs::read_to_string(site.root().join("var/lib/consign/journal/journal")).unwrap();
    let marks: Vec<Value> = journal
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .filter(|entry| entry["step"] == "drift")
        .map(|entry| entry["mark"].clone())
        .collect();
    assert_eq!(marks, ["failed", "begin", "end"], "{journal}");
}
