//! A site and its cluster through a life of four releases, against a real API server.

use std::path::{Path, PathBuf};

use consign_format::Digest;
use consign_format::receipt::{self, Action, Outcome, Receipt};
use consign_format::trust::keys::PublicKey;
use consign_tests::cluster::Cluster;
use consign_tests::command::Invocation;
use consign_tests::desk::Desk;
use consign_tests::images::run;
use consign_tests::sample::{self, NETWORK_POLICY, replace};
use consign_tests::site::Site;
use serde_json::Value;

use super::cluster_holds::{HOOK, drift_is_found_and_corrected, grow, holds};

/// The objects of a release in files, as the handoff `export` leaves them at a second site.
struct Objects {
    site: Site,
}

impl Objects {
    fn of(desk: &Desk, bundle: &Path) -> Self {
        let site = Site::enrolled(&desk.trust());
        site.export(bundle).succeeds();
        Self { site }
    }

    fn folder(&self) -> PathBuf {
        self.site.exported("lumen")
    }

    fn count(&self) -> usize {
        let names = std::fs::read_dir(self.folder()).unwrap().map(|entry| entry.unwrap().file_name());
        names.filter(|name| name.to_string_lossy().ends_with(".yaml")).count()
    }
}

fn install(site: &Site, cluster: &Cluster, bundle: &Path) -> Invocation {
    site.install(bundle).option("--kubeconfig", cluster.kubeconfig())
}

/// How often `action` was taken.
fn count(done: &Value, action: &str) -> usize {
    done["changes"].as_array().unwrap().iter().filter(|entry| entry["action"] == action).count()
}

/// One JSON field of an object in the namespace of the sample, by kubectl.
fn field(cluster: &Cluster, object: &str, path: &str) -> String {
    run(cluster.kubectl().args(["get", "-n", "lumen", object, "-o", &format!("jsonpath={path}")]))
}

#[test]
fn a_site_through_four_releases() {
    if !Desk::is_possible() {
        return;
    }
    let cluster = Cluster::start();
    let mut desk = Desk::sample();
    let site = Site::bare();
    let key = enrol(&site, &desk);

    let first = desk.build();
    let objects = Objects::of(&desk, &first);
    installs_everything(&site, &cluster, &first, &objects);
    holds(&cluster, &objects.folder());
    changes_nothing_the_second_time(&site, &cluster, &first);

    let second = desk.build_next("2026.11.1", grow);
    grows_and_prunes_exactly_one_object(&site, &cluster, &second, &objects);
    let grown = Objects::of(&desk, &second);
    holds(&cluster, &grown.folder());
    drift_is_found_and_corrected(&site, &cluster, &grown.folder());

    let third = desk.build_next("2026.11.2", |tree| {
        sample::break_router(tree);
        replace(&tree.join("release.yaml"), "healthTimeout: 2m", "healthTimeout: 20s");
    });
    goes_back_from_what_is_never_ready(&site, &cluster, &third);
    holds(&cluster, &grown.folder());

    let fourth = desk.build_next("2026.11.3", |tree| {
        let router = tree.join("deploy/plain/router.yaml");
        run(std::process::Command::new("git")
            .args(["checkout", "--quiet", "v2026.11.1", "--"])
            .arg(&router)
            .current_dir(tree));
    });
    let done = install(&site, &cluster, &fourth).arg("--json").succeeds().json();
    assert_eq!((count(&done, "created"), count(&done, "deleted")), (0, 0), "{done}");
    receipts_are_chained(&site, &key);
}

fn enrol(site: &Site, desk: &Desk) -> PublicKey {
    let root = desk.trust().join("1.root.json");
    let fingerprint = Digest::of(&std::fs::read(&root).unwrap()).hex();
    let enrol = site.invoke(["enrol", "--json", "--site", "ward-7", "--root-sha256", &fingerprint]);
    let said = enrol.option("--root", root).succeeds().json();
    serde_json::from_value(said["publicKey"].clone()).unwrap()
}

fn installs_everything(site: &Site, cluster: &Cluster, bundle: &Path, objects: &Objects) {
    let done = install(site, cluster, bundle).arg("--json").succeeds().json();
    assert_eq!(done["outcome"], "applied", "{done}");
    assert_eq!(count(&done, "created"), done["changes"].as_array().unwrap().len(), "{done}");
    assert!(count(&done, "created") >= objects.count(), "{done}");
    // Fails if any of them is absent.
    let shown = run(cluster.kubectl().args(["get", "-o", "name", "-f"]).arg(objects.folder()));
    assert_eq!(shown.lines().count(), objects.count(), "{shown}");
    for (object, path, expected) in [
        ("deployment/viewer", "{.status.availableReplicas}", "2"),
        ("deployment/archive", "{.status.availableReplicas}", "2"),
        ("deployment/router", "{.status.availableReplicas}", "1"),
        ("statefulset/archive-db", "{.status.readyReplicas}", "1"),
        ("daemonset/node-agent", "{.status.numberReady}", "1"),
        ("job/archive-migrate", "{.status.succeeded}", "1"),
        ("model/nodule", "{.spec.threshold}", "80"),
    ] {
        assert_eq!(field(cluster, object, path), expected, "{object}");
    }
    let image = field(cluster, "model/nodule", "{.spec.image}");
    assert!(image.starts_with("registry.lumen.example/models/nodule:7@sha256:"), "{image}");
    assert!(!field(cluster, "secret/archive-db", "{.data.password}").is_empty());
}

fn changes_nothing_the_second_time(site: &Site, cluster: &Cluster, bundle: &Path) {
    let versions =
        || run(cluster.kubectl().args(["get", "all,cm,secret,networkpolicy", "-n", "lumen", "-o", RESOURCE_VERSIONS]));
    let before = versions();
    let done = install(site, cluster, bundle).arg("--json").succeeds().json();
    assert_eq!((count(&done, "created"), count(&done, "configured"), count(&done, "deleted")), (0, 0, 0), "{done}");
    assert_eq!(versions(), before, "something was written that did not change");
}

const RESOURCE_VERSIONS: &str =
    "jsonpath={range .items[*]}{.kind} {.metadata.name} {.metadata.resourceVersion}{'\\n'}{end}";

fn grows_and_prunes_exactly_one_object(site: &Site, cluster: &Cluster, bundle: &Path, before: &Objects) {
    let done = install(site, cluster, bundle).arg("--json").succeeds().json();
    let (kind, namespace, name) = NETWORK_POLICY;
    let entries = done["changes"].as_array().unwrap().iter();
    let went: Vec<&Value> = entries.filter(|entry| entry["action"] == "deleted").collect();
    let (hooks, deleted): (Vec<_>, Vec<_>) = went.into_iter().partition(|entry| entry["name"] == HOOK);
    assert_eq!((hooks.len(), deleted.len()), (1, 1), "{done}");
    assert_eq!(
        (&deleted[0]["kind"], &deleted[0]["namespace"], &deleted[0]["name"]),
        (&kind.into(), &namespace.into(), &name.into())
    );
    assert_eq!((count(&done, "created"), count(&done, "configured")), (2, 2), "{done}");
    let listed = run(cluster.kubectl().args(["get", "--ignore-not-found", "-o", "name", "-f"]).arg(before.folder()));
    assert_eq!(listed.lines().count(), before.count() - 1, "{listed}");
    assert!(!listed.contains("networkpolicy"), "{listed}");
}

fn goes_back_from_what_is_never_ready(site: &Site, cluster: &Cluster, bundle: &Path) {
    let before = field(cluster, "deployment/router", "{.spec.template}");
    let outcome = install(site, cluster, bundle).run();
    assert_eq!(outcome.exit, Some(22), "{outcome}");
    outcome.says("lumen/router").says("ImagePullBackOff").says("rolled back");
    assert_eq!(field(cluster, "deployment/router", "{.spec.template}"), before, "the previous template is not back");
    run(cluster.kubectl().args(["rollout", "status", "-n", "lumen", "deployment/router", "--timeout=60s"]));
    let product = &site.status()["products"][0];
    assert_eq!(product["current"]["release"]["version"], "2026.11.1", "{product}");
    assert_eq!(product["failed"]["version"], "2026.11.2", "{product}");
    // Remembered, and not tried again unasked.
    install(site, cluster, bundle).fails("failed-before", 24);
}

fn receipts_are_chained(site: &Site, key: &PublicKey) {
    let folder = site.root().join("carried-back");
    site.invoke(["receipts", "export"]).arg(&folder).succeeds();
    let mut files: Vec<PathBuf> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let mut previous = None;
    let mut activations = Vec::new();
    for (n, file) in (1..).zip(&files) {
        let bytes = std::fs::read(file).unwrap();
        let receipt: Receipt = receipt::verify(&bytes, key).unwrap();
        assert_eq!((receipt.n, receipt.previous), (n, previous), "{}", file.display());
        previous = Some(Digest::of(&bytes));
        if let (Action::Activate | Action::Rollback, Some(release)) = (receipt.action, &receipt.release) {
            activations.push((release.version.clone(), receipt.outcome, receipt.refused));
        }
    }
    let said: Vec<(&str, Outcome)> =
        activations.iter().map(|(version, outcome, _)| (version.as_str(), *outcome)).collect();
    for expected in [
        ("2026.11.0", Outcome::Applied),
        ("2026.11.1", Outcome::Applied),
        ("2026.11.2", Outcome::RolledBack),
        ("2026.11.3", Outcome::Applied),
    ] {
        assert!(said.contains(&expected), "no {expected:?} in {said:?}");
    }
    assert_eq!(activations.last().unwrap().2, 1, "the refusal is counted into the receipt after it: {activations:?}");
}
