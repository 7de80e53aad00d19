//! A site with a cluster and one release in it, and what its administrator may do there.

use std::fs;
use std::path::{Path, PathBuf};

use consign_tests::cluster::Cluster;
use consign_tests::command::Invocation;
use consign_tests::images::run;
use consign_tests::site::Site;
use consign_tests::skip;
use consign_tests::tools::Tool;

use crate::workshop::{FOR_ALL, Workshop};

pub(crate) struct Ward {
    pub(crate) workshop: Workshop,
    pub(crate) site: Site,
    pub(crate) cluster: Cluster,
}

impl Ward {
    /// Whether this machine can run a cluster; says so where it cannot.
    pub(crate) fn is_possible() -> bool {
        let missing = Tool::Cluster.get().err().map(|error| error.to_string());
        skip::unless(missing.is_none(), &missing.unwrap_or_default(), "cargo xtask test builds it")
    }

    /// Version 1.0.0 runs in namespace `viewer`.
    pub(crate) fn new() -> Self {
        let workshop = Workshop::new();
        let (site, cluster) = (Site::enrolled(&workshop.at("trust")), Cluster::start());
        let bundle = workshop.build("1.0.0", FOR_ALL);
        let ward = Ward { workshop, site, cluster };
        ward.site.install(&bundle).option("--kubeconfig", ward.cluster.kubeconfig()).succeeds();
        ward
    }

    /// A command of this site that is told of the cluster.
    pub(crate) fn invoke<const N: usize>(&self, arguments: [&str; N]) -> Invocation {
        self.site.invoke(arguments).option("--kubeconfig", self.cluster.kubeconfig())
    }

    /// kubectl, with a manifest.
    pub(crate) fn create(&self, manifest: &str) {
        let file = self.site.root().join("manifest.yaml");
        fs::write(&file, manifest).unwrap();
        run(self.cluster.kubectl().args(["apply", "-f"]).arg(&file));
        fs::remove_file(&file).unwrap();
    }

    /// The kubeconfig of somebody who may look at pods of one namespace, and no more.
    pub(crate) fn tenant(&self, namespace: &str) -> PathBuf {
        let kubectl = |arguments: &[&str]| run(self.cluster.kubectl().args(arguments));
        kubectl(&["create", "serviceaccount", "tenant", "-n", namespace]);
        kubectl(&["create", "role", "look", "-n", namespace, "--verb=get,list", "--resource=pods"]);
        let account = format!("{namespace}:tenant");
        kubectl(&["create", "rolebinding", "look", "-n", namespace, "--role=look", "--serviceaccount", &account]);
        let token = kubectl(&["create", "token", "tenant", "-n", namespace]);
        let text = fs::read_to_string(self.cluster.kubeconfig()).unwrap();
        let mut kubeconfig: serde_json::Value = serde_json::from_str(&text).unwrap();
        kubeconfig["users"][0]["user"]["token"] = token.trim().into();
        let file = self.workshop.at("tenant.kubeconfig");
        fs::write(&file, kubeconfig.to_string()).unwrap();
        file
    }
}

/// Writes what a site's administrator decides.
pub(crate) fn configure(site: &Site, text: &str) {
    let file = site.root().join("etc/consign/site.toml");
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(file, text).unwrap();
}

/// A folder or file below a site's root.
pub(crate) fn put(site: &Site, path: &str, text: &str) {
    let file = site.root().join(path);
    fs::create_dir_all(file.parent().unwrap_or(Path::new("/"))).unwrap();
    fs::write(file, text).unwrap();
}
