//! Against a real API server: nothing is written to it by what is refused.

use std::fs;

use consign_tests::cluster::Cluster;
use consign_tests::cluster::pods::Behaviour;
use consign_tests::command::Invocation;
use consign_tests::forge::content::Content;
use consign_tests::forge::sheet::root;
use consign_tests::forge::{Forge, ROOT, STRANGER};
use consign_tests::images::run;
use consign_tests::tools;
use serde_json::{Value, json};

use super::ground::{Ground, INSTALLED, Medium, NEXT, enrolled};
use super::trial::{Refusal, Row, Trial, refusal};

pub(crate) const ROWS: &[Row] = &[
    Row { number: 56, lie: "an object or a file outside what the site allows", exits: &[25], show: not_allowed },
    Row {
        number: 81,
        lie: "a release that failed here before, still in the drive",
        exits: &[22, 24],
        show: failed_before,
    },
];

const WHERE: &str = "/var/lib/lamp/data";

fn config_map(version: &str) -> Value {
    let metadata = json!({"name": "lamp", "namespace": "lamp"});
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"version": version}})
}

fn release(sequence: u64, objects: &[Value]) -> Forge {
    Forge::new(sequence).with(|forge| {
        forge.content = Content::of(sequence, objects);
        forge.content.file(WHERE, format!("data of {sequence}").as_bytes());
    })
}

/// A site whose objects go into the cluster, and everything that the cluster keeps, with its versions.
struct Direct<'a> {
    cluster: &'a Cluster,
}

impl Direct<'_> {
    fn install(&self, trial: &mut Trial, medium: &Medium) -> Invocation {
        let site = &trial.ground().site;
        site.install(medium.path()).option("--handoff", "direct").option("--kubeconfig", self.cluster.kubeconfig())
    }

    /// All objects of these kinds in all namespaces; a resource version moves with every write.
    fn dump(&self) -> String {
        let kinds = "configmaps,secrets,deployments,clusterrolebindings,namespaces";
        let path = "jsonpath={range .items[*]}{.kind} {.metadata.namespace}/{.metadata.name} {.metadata.generation}\
                    {\" \"}{.metadata.uid} {.metadata.resourceVersion}{\"\\n\"}{end}";
        let all = run(self.cluster.kubectl().args(["get", kinds, "--all-namespaces", "-o", path]));
        // What the cluster writes by itself all the while is not ours.
        all.lines()
            .filter(|line| line.contains("lamp") || line.contains("consign"))
            .map(|line| format!("{line}\n"))
            .collect()
    }

    fn refuses(&self, trial: &mut Trial, what: &str, bundle: &[u8], expected: Refusal<'_>) {
        let (medium, before) = (Medium::of(bundle), self.dump());
        let outcome = self.install(trial, &medium).run();
        trial.refused(what, &outcome, expected);
        assert_eq!(self.dump(), before, "{what}: the cluster has changed");
        assert!(medium.is_as_it_was());
    }
}

/// A cluster of the row's own, where one can be had: a site keeps a copy of its state in it.
fn cluster(trial: &mut Trial) -> Option<Cluster> {
    let possible = tools::go_is_installed() || tools::cache().is_ok_and(|folder| folder.is_dir());
    trial.needs(possible, "no test cluster (cargo xtask tools)").then(Cluster::start)
}

fn not_allowed(trial: &mut Trial) {
    let Some(cluster) = cluster(trial) else { return };
    let direct = Direct { cluster: &cluster };
    let site = enrolled(&root(1).signed_by(&[ROOT]));
    let file = site.root().join("etc/consign/site.toml");
    let before = fs::read_to_string(&file).unwrap_or_default();
    let allow = "[allow]\nkinds = [\"ConfigMap\"]\nnamespaces = [\"lamp\"]\npaths = [\"/var/lib/lamp\"]\n";
    fs::write(&file, format!("{before}\n{allow}")).unwrap();
    trial.at(Ground::of(site));
    let medium = Medium::of(&release(INSTALLED, &[config_map("1.7")]).bundle());
    direct.install(trial, &medium).succeeds();
    let ground = trial.ground.take().unwrap().again();
    trial.at(ground);
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": "lamp-admin"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
    });
    let mut elsewhere = config_map("1.8");
    elsewhere["metadata"]["namespace"] = json!("kube-system");
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "lamp", "namespace": "lamp"}});
    for (object, subject) in [
        (binding, "ClusterRoleBinding lamp-admin"),
        (elsewhere, "ConfigMap kube-system/lamp"),
        (secret, "Secret lamp/lamp"),
    ] {
        let forge = release(NEXT, &[config_map("1.8"), object]);
        direct.refuses(trial, subject, &forge.bundle(), refusal(25, "not-allowed", subject));
    }
    for to in ["/etc/passwd", "/var/lib/lamp/../../../etc/passwd", "/var/lib/lamps"] {
        let forge = release(NEXT, &[config_map("1.8")]).with(|forge| forge.content.file(to, b"root::0:0"));
        direct.refuses(trial, to, &forge.bundle(), refusal(25, "not-allowed", "file "));
    }
    let medium = Medium::of(&release(NEXT, &[config_map("1.8")]).bundle());
    direct.install(trial, &medium).succeeds();
    trial.notes("registry, state, a real API server, medium");
}

fn deployment(image: &str) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "lamp", "namespace": "lamp"},
        "spec": {
            "selector": {"matchLabels": {"app": "lamp"}},
            "template": {
                "metadata": {"labels": {"app": "lamp"}},
                "spec": {"containers": [{"name": "lamp", "image": image}]},
            },
        },
    })
}

fn failed_before(trial: &mut Trial) {
    let Some(cluster) = cluster(trial) else { return };
    let direct = Direct { cluster: &cluster };
    cluster.pods().when_image("lamp/broken", Behaviour::image_pull_back_off());
    trial.at(Ground::of(enrolled(&root(1).signed_by(&[ROOT]))));
    let running = |sequence: u64, image: &str| {
        release(sequence, &[config_map(&format!("1.{sequence}")), deployment(image)])
            .with(|forge| forge.content.image(&format!("docker.io/{image}"), image.as_bytes()))
    };
    let good = Medium::of(&running(INSTALLED, "lamp/good:1").bundle());
    direct.install(trial, &good).succeeds();
    let forge =
        running(NEXT, "lamp/broken:1").lie("release.json", |release| release["rollout"]["healthTimeout"] = 5.into());
    let broken = Medium::of(&forge.bundle());
    let outcome = direct.install(trial, &broken).run();
    trial.ends("it fails", &outcome, refusal(22, "unhealthy", "was rolled back"));
    let ground = trial.ground.take().unwrap().again();
    trial.at(ground);
    let expected = refusal(24, "failed-before", "failed here before");
    direct.refuses(trial, "still in the drive", &forge.bundle(), expected);
    // A few other lies to the same site, whose cluster is a real one.
    let other = |forge: Forge| forge.bundle();
    let strange = release(NEXT + 1, &[config_map("1.9")]).with(|forge| forge.approvers = vec![STRANGER]);
    let site8 = release(NEXT + 1, &[config_map("1.9")]).with(|forge| forge.audience = json!({"sites": ["ward-8"]}));
    let trial_exits: [(&str, Vec<u8>, &str, i32); 3] = [
        ("an older one", other(release(INSTALLED - 1, &[config_map("1.6")])), "older-release", 13),
        ("a stranger's", other(strange), "signature-invalid", 12),
        ("another site's", other(site8), "other-site", 14),
    ];
    for (what, bundle, name, exit) in trial_exits {
        let (medium, before) = (Medium::of(&bundle), direct.dump());
        direct.install(trial, &medium).fails(name, exit);
        assert_eq!(direct.dump(), before, "{what}: the cluster has changed");
    }
    let retry = direct.install(trial, &broken).arg("--retry").run();
    trial.ends("with --retry it is tried", &retry, refusal(22, "unhealthy", ""));
    trial.notes("registry, state, a real API server, medium");
}
