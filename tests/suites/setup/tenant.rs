//! A tenant: an unprivileged user, one namespace, a Role that this program printed, and the API server of somebody else.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use consign_tests::cluster::Cluster;
use consign_tests::command::Invocation;
use consign_tests::desk::Desk;
use consign_tests::images::run;
use consign_tests::site::Site;
use consign_tests::skip;
use serde_json::{Value, json};

use consign_tests::workshop::{Workshop, lay_out};

const ACCOUNT: &str = "system:serviceaccount:lamp:consign-site";
/// Debian's `nobody`.
const NOBODY: &str = "65534";

/// What an ordinary release has, as the API server names it.
const ORDINARY: [&str; 16] = [
    "configmaps",
    "cronjobs.batch",
    "daemonsets.apps",
    "deployments.apps",
    "events",
    "horizontalpodautoscalers.autoscaling",
    "ingresses.networking.k8s.io",
    "jobs.batch",
    "networkpolicies.networking.k8s.io",
    "persistentvolumeclaims",
    "poddisruptionbudgets.policy",
    "pods",
    "secrets",
    "serviceaccounts",
    "services",
    "statefulsets.apps",
];

struct Tenant {
    cluster: Cluster,
    workshop: Workshop,
    site: Site,
    shelf: tempfile::TempDir,
}

impl Tenant {
    /// A namespace, a Role that `rbac` printed, and a site of a user without rights on this machine.
    fn new() -> Self {
        let (cluster, workshop, site) = (Cluster::start(), Workshop::lamp(), Site::bare());
        let shelf = tempfile::Builder::new().prefix("consign-shelf-").tempdir().unwrap();
        run(Command::new("chmod").arg("755").arg(shelf.path()));
        run(Command::new("chown").arg(format!("{NOBODY}:{NOBODY}")).arg(site.root()));
        run(cluster.kubectl().args(["create", "namespace", "lamp"]));
        let tenant = Self { cluster, workshop, site, shelf };
        tenant.grant(&[]);
        tenant.write_kubeconfig();
        tenant.set_up();
        tenant
    }

    fn as_nobody<const N: usize>(&self, arguments: [&str; N]) -> Invocation {
        let user = [format!("--reuid={NOBODY}"), format!("--regid={NOBODY}")];
        self.site.invoke(arguments).under(["setpriv", &user[0], &user[1], "--clear-groups", "--"])
    }

    /// What the cluster's administrator does with what `rbac` prints.
    fn grant(&self, arguments: &[&str]) {
        let role = self.as_nobody(["rbac", "--namespace", "lamp"]).args(arguments).succeeds();
        let file = self.shelf.path().join("role.json");
        fs::write(&file, &role.stdout).unwrap();
        run(self.cluster.kubectl().arg("apply").arg("-f").arg(file));
    }

    fn kubeconfig(&self) -> PathBuf {
        self.shelf.path().join("kubeconfig")
    }

    /// As whoever runs the cluster hands it out: an address, an authority, the token of the service account.
    fn write_kubeconfig(&self) {
        let token = run(self.cluster.kubectl().args(["create", "token", "consign-site", "-n", "lamp"]));
        let admin: Value = serde_json::from_slice(&fs::read(self.cluster.kubeconfig()).unwrap()).unwrap();
        let authority = fs::read(self.cluster.folder().join("certificates/apiserver.crt")).unwrap();
        let kubeconfig = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "lamp",
            "contexts": [{"name": "lamp", "context": {"cluster": "site", "user": "lamp", "namespace": "lamp"}}],
            "clusters": [{"name": "site", "cluster": {
                "server": admin["clusters"][0]["cluster"]["server"],
                "certificate-authority-data": STANDARD.encode(authority),
            }}],
            "users": [{"name": "lamp", "user": {"token": token.trim()}}],
        });
        fs::write(self.kubeconfig(), kubeconfig.to_string()).unwrap();
        run(Command::new("chmod").arg("644").arg(self.kubeconfig()));
    }

    fn set_up(&self) {
        let root = lay_out(&self.workshop.root(), self.shelf.path());
        let setup = self.as_nobody(["setup", "--tenant", "--namespace", "lamp", "--site", "ward-7", "--yes"]);
        let setup = setup.option("--root", root).option("--root-sha256", self.workshop.fingerprint().0);
        setup.option("--kubeconfig", self.kubeconfig()).succeeds();
    }

    fn install(&self, bundle: &std::path::Path) -> Invocation {
        self.as_nobody(["install"]).arg(lay_out(bundle, self.shelf.path()))
    }

    fn get(&self, what: &str) -> String {
        run(self.cluster.kubectl().args(["get", "-o", "name", "--ignore-not-found"]).args(what.split(' ')))
    }

    fn value(&self) -> String {
        run(self.cluster.kubectl().args(["get", "configmap", "settings", "-n", "lamp", "-o", "jsonpath={.data.value}"]))
    }
}

fn is_possible() -> bool {
    let is_root = fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0);
    Desk::is_possible() && skip::unless(is_root, "only root can become another user", "run it as root")
}

#[test]
fn a_tenant_installs_upgrades_and_goes_back() {
    if !is_possible() {
        return;
    }
    let tenant = Tenant::new();
    let (first, second) = (tenant.workshop.build("1.0.0", ""), tenant.workshop.build("1.1.0", ""));
    tenant.install(&first).succeeds().says("1 skipped");
    assert_eq!(tenant.value(), "1.0.0");
    reaches_no_further(&tenant, &ORDINARY);
    tenant.grant(&["--product", "lamp"]);
    tenant.install(&second).succeeds();
    assert_eq!(tenant.value(), "1.1.0");
    tenant.as_nobody(["rollback", "lamp", "--reason", "a test"]).succeeds();
    assert_eq!(tenant.value(), "1.0.0");

    // What is kept in the cluster lies in the one namespace, and nothing outside it was made.
    for kept in ["secret consign-lamp -n lamp", "secret consign-state-lumen -n lamp", "secret db -n lamp"] {
        assert!(!tenant.get(kept).is_empty(), "{kept}");
    }
    assert_eq!(tenant.get("namespace consign-system"), "");
    let everywhere = tenant.get("deployment,configmap,service,secret -A -l applyset.kubernetes.io/part-of");
    assert_eq!(everywhere.lines().count(), 3, "{everywhere}");
    reaches_no_further(&tenant, &["configmaps", "deployments.apps", "events", "pods", "secrets", "services"]);
}

/// The Role is what the tenant can do, all of it.
fn reaches_no_further(tenant: &Tenant, expected: &[&str]) {
    let can_i = |arguments: &[&str]| {
        let said = tenant.cluster.kubectl().args(["auth", "can-i", "--as", ACCOUNT]).args(arguments).output().unwrap();
        String::from_utf8(said.stdout).unwrap()
    };
    let table = can_i(&["--list", "--no-headers", "-n", "lamp"]);
    let resources = |line: &str| line.split_whitespace().next().unwrap_or_default().to_owned();
    // Everybody may ask what they may, and discover; those lines have a `[`, or a review, in the first place.
    let is_ours = |name: &String| !name.starts_with('[') && !name.starts_with("selfsubject");
    let mut granted: Vec<String> = table.lines().map(resources).filter(is_ours).collect();
    granted.sort();
    assert_eq!(granted, expected, "{table}");
    for (verb, what) in [
        ("get", "namespaces"),
        ("create", "namespaces"),
        ("list", "nodes"),
        ("create", "clusterroles"),
        ("create", "customresourcedefinitions"),
        ("create", "roles -n lamp"),
        ("create", "pods --subresource=exec -n lamp"),
        ("update", "secrets -n lamp"),
        ("watch", "pods -n lamp"),
        ("deletecollection", "pods -n lamp"),
        ("get", "secrets -n default"),
        ("create", "configmaps -n kube-system"),
        ("list", "pods -A"),
    ] {
        let arguments: Vec<&str> = std::iter::once(verb).chain(what.split(' ')).collect();
        assert_eq!(can_i(&arguments).trim(), "no", "{verb} {what}");
    }
    assert_eq!(can_i(&["patch", "deployments", "-n", "lamp"]).trim(), "yes");
}

#[test]
fn what_reaches_out_of_the_namespace_is_refused_before_anything() {
    if !is_possible() {
        return;
    }
    let tenant = Tenant::new();
    let object = |version: &str, kind: &str, metadata: &str| {
        format!("---\napiVersion: {version}\nkind: {kind}\nmetadata: {metadata}\n")
    };
    let role = object("rbac.authorization.k8s.io/v1", "ClusterRole", "{name: lamp}") + "rules: []\n";
    let beyond = [
        ("ClusterRole", role),
        ("ConfigMap default/elsewhere", object("v1", "ConfigMap", "{name: elsewhere, namespace: default}")),
        ("Namespace other", object("v1", "Namespace", "{name: other}")),
    ];
    for (patch, (names, more)) in (0..).zip(beyond) {
        let bundle = tenant.workshop.build(&format!("1.0.{patch}"), &more);
        tenant.install(&bundle).fails("not-allowed", 25).says(names);
        tenant.as_nobody(["install", "--dry-run"]).arg(lay_out(&bundle, tenant.shelf.path())).fails("not-allowed", 25);
    }
    assert_eq!(tenant.get("deployment,configmap,service -n lamp -l applyset.kubernetes.io/part-of"), "");
    assert_eq!(tenant.get("secret consign-lamp -n lamp"), "");
    assert_eq!(tenant.get("configmap elsewhere -n default"), "");
}
