//! The signed copy of a site's state in its cluster: it gives the state back, and a forged one does not.

use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use consign_format::trust::keys::{SecretKey, Signer, sign};
use consign_tests::cluster::Cluster;
use consign_tests::images::run;
use consign_tests::site::Site;
use consign_tests::skip;
use consign_tests::tools::Tool;
use serde_json::{Value, json};

use crate::workshop::{FOR_ALL, Workshop};

const SECRET: &str = "secret/consign-state-lumen";

struct Scene {
    cluster: Cluster,
    site: Site,
    old: PathBuf,
    new: PathBuf,
}

impl Scene {
    /// A site that has installed two releases, the second one by a run in which the first one is older.
    fn new() -> Self {
        let workshop = Workshop::new();
        let (cluster, site) = (Cluster::start(), Site::enrolled(&workshop.at("trust")));
        let (old, new) = (workshop.build("1.0.0", FOR_ALL), workshop.build("1.1.0", FOR_ALL));
        // The bundles outlive the folder they were built in.
        let keep = |bundle: &Path| {
            let kept = site.root().join(bundle.file_name().unwrap());
            fs::copy(bundle, &kept).unwrap();
            kept
        };
        let (old, new) = (keep(&old), keep(&new));
        let scene = Self { cluster, site, old, new };
        scene.install(&scene.old, 0);
        scene.install(&scene.new, 0);
        scene
    }

    fn install(&self, bundle: &Path, exit: i32) {
        self.site.install(bundle).option("--kubeconfig", self.cluster.kubeconfig()).exits(exit);
    }

    fn recover(&self) -> consign_tests::command::Invocation {
        self.site.invoke(["enrol", "--recover"]).option("--kubeconfig", self.cluster.kubeconfig())
    }

    fn domain_file(&self) -> PathBuf {
        self.site.kept().join("trust/domains/lumen")
    }

    /// The copy that the cluster keeps.
    fn copy(&self) -> Vec<u8> {
        let arguments = ["get", "-n", "consign-system", SECRET, "-o", r"jsonpath={.data.state\.json}"];
        STANDARD.decode(run(self.cluster.kubectl().args(arguments))).unwrap()
    }

    /// What a workload with the right to write Secrets there can do.
    fn overwrite(&self, bytes: &[u8]) {
        let patch = json!({"data": {"state.json": STANDARD.encode(bytes)}}).to_string();
        run(self.cluster.kubectl().args(["patch", "-n", "consign-system", SECRET, "--type=merge", "-p", &patch]));
    }
}

#[test]
fn the_copy_gives_the_state_back_and_a_forged_one_does_not() {
    let missing = Tool::Cluster.get().err().map(|error| error.to_string());
    if !skip::unless(missing.is_none(), &missing.unwrap_or_default(), "cargo xtask test builds it") {
        return;
    }
    let scene = Scene::new();
    let (good, file) = (scene.copy(), fs::read(scene.domain_file()).unwrap());

    // Torn here and there (at every byte: installer/tests/recovery.rs), nothing is fresh and nothing is applied.
    for length in (0..file.len()).step_by(file.len() / 8 + 1) {
        fs::write(scene.domain_file(), &file[..length]).unwrap();
        scene.install(&scene.old, 17);
        scene.site.invoke(["status"]).fails("state-damaged", 17).says("enrol --recover");
    }

    let before = scene.site.snapshot();
    for (what, copy) in forgeries(&good) {
        scene.overwrite(&copy);
        scene.recover().fails("state-damaged", 17);
        assert_eq!(scene.site.snapshot(), before, "{what}");
        scene.install(&scene.old, 17);
    }
    run(scene.cluster.kubectl().args(["delete", "-n", "consign-system", SECRET]));
    scene.recover().fails("state-damaged", 17).says("it holds none");

    // The true copy: what was accepted before is known again, and the chain of receipts names the one before.
    run(scene.cluster.kubectl().args(["create", "-n", "consign-system", "secret", "generic", "consign-state-lumen"]));
    scene.overwrite(&good);
    scene.recover().succeeds().says("from the copy in the cluster");
    scene.install(&scene.old, 13);
    scene.install(&scene.new, 0);
    let receipt = &scene.site.status()["lastReceipt"];
    assert_eq!(receipt["n"], 1, "{receipt}");
    assert!(receipt["previous"].is_string(), "{receipt}");
    // A copy of the new enrolment has taken the place of the old one.
    assert_ne!(scene.copy(), good);
    fs::write(scene.domain_file(), b"torn").unwrap();
    scene.overwrite(&good);
    scene.recover().fails("state-damaged", 17).says("it belongs to site");
}

fn forgeries(good: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let signed: Value = serde_json::from_slice::<Value>(good).unwrap()["signed"].clone();
    let mut low = signed.clone();
    low["state"]["products"] = json!({});
    let workload = SecretKey::from_seed(&[66; 32]);
    let text = std::str::from_utf8(good).unwrap();
    vec![
        ("signed by a workload", sign(&low, &[&workload as &dyn Signer]).unwrap()),
        ("unsigned, higher", text.replace("\"sequence\":1", "\"sequence\":9").into_bytes()),
        ("no signature at all", serde_json::to_vec(&json!({"signatures": [], "signed": signed})).unwrap()),
        ("cut", good[..good.len() / 2].to_vec()),
        ("empty", Vec::new()),
    ]
}
