//! Which container runtimes a node has: by their files, their programs and their sockets below the root folder.

use std::collections::BTreeSet;

use super::{Place, Runtime};

/// One runtime and the paths of which any means that it is here.
const SIGNS: [(Runtime, &[&str]); 7] = [
    (Runtime::Openshift, &["/etc/machine-config-daemon/currentconfig", "/etc/mcs-machine-config-content.json"]),
    (Runtime::K3s, &["/usr/local/bin/k3s", "/usr/bin/k3s", "/etc/rancher/k3s", "/var/lib/rancher/k3s"]),
    (
        Runtime::Rke2,
        &["/usr/local/bin/rke2", "/usr/bin/rke2", "/opt/rke2/bin/rke2", "/etc/rancher/rke2", "/var/lib/rancher/rke2"],
    ),
    (Runtime::Microk8s, &["/var/snap/microk8s/current"]),
    (Runtime::Crio, &["/usr/bin/crio", "/usr/local/bin/crio", "/etc/crio", "/run/crio/crio.sock"]),
    (Runtime::Podman, &["/usr/bin/podman", "/usr/local/bin/podman", "/usr/bin/skopeo", "/usr/local/bin/skopeo"]),
    (
        Runtime::Containerd,
        &[
            "/usr/bin/containerd",
            "/usr/local/bin/containerd",
            "/etc/containerd/config.toml",
            "/run/containerd/containerd.sock",
        ],
    ),
];

/// The runtimes of a node. On OpenShift only that: its operator owns the files of CRI-O and podman.
pub fn runtimes(place: &Place) -> BTreeSet<Runtime> {
    let here = |signs: &&[&str]| signs.iter().any(|path| place.has(path));
    let found: BTreeSet<Runtime> = SIGNS.iter().filter(|(_, signs)| here(signs)).map(|(runtime, _)| *runtime).collect();
    if found.contains(&Runtime::Openshift) { BTreeSet::from([Runtime::Openshift]) } else { found }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_are_looked_for_below_the_root() {
        let dir = tempfile::tempdir().unwrap();
        let place = Place::at(dir.path()).unwrap();
        let put = |path: &str| {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        };
        assert_eq!(runtimes(&place), BTreeSet::new());
        put("usr/bin/containerd");
        put("usr/bin/podman");
        put("etc/rancher/rke2/config.yaml");
        assert_eq!(runtimes(&place), BTreeSet::from([Runtime::Containerd, Runtime::Podman, Runtime::Rke2]));
        put("etc/machine-config-daemon/currentconfig");
        assert_eq!(runtimes(&place), BTreeSet::from([Runtime::Openshift]));
    }
}
