//! What is written, for each runtime, to the byte; and that `remove` leaves a tree as it was.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use consign_tests::site::Site;

/// A certificate in form only: nothing but its PEM is looked at.
const AUTHORITY: &str = "-----BEGIN CERTIFICATE-----\nQSBzaXRlJ3MgYXV0aG9yaXR5Lg==\n-----END CERTIFICATE-----\n";

pub(crate) const RUNTIMES: [&str; 7] = ["containerd", "k3s", "rke2", "crio", "podman", "microk8s", "openshift"];

/// A node that is no site: nothing but its own files.
pub(crate) struct Node(pub(crate) Site);

impl Node {
    pub(crate) fn new() -> Self {
        let node = Node(Site::bare());
        node.put("etc/consign/ca.crt", AUTHORITY);
        node.put("credentials", "node:secret\n");
        node.put("etc/containerd/config.toml", "version = 2\nimports = [\"/etc/containerd/conf.d/*.toml\"]\n");
        node.put("etc/containers/registries.conf", "unqualified-search-registries = [\"docker.io\"]\n");
        node.put("etc/rancher/k3s/config.yaml", "write-kubeconfig-mode: \"0640\"\n");
        std::fs::create_dir_all(node.0.root().join("var/snap/microk8s/x7712/args/certs.d")).unwrap();
        std::os::unix::fs::symlink("x7712", node.0.root().join("var/snap/microk8s/current")).unwrap();
        node
    }

    pub(crate) fn put(&self, path: &str, text: &str) {
        let path = self.0.root().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// `nodes write` with two servers, one host more and credentials.
    pub(crate) fn write(&self, runtime: &str) -> consign_tests::command::Invocation {
        let write =
            self.0.invoke(["nodes", "write", "--runtime", runtime, "--host", "quay.io", "--host", "corp.example:5000"]);
        let write = write.option("--server", "https://registry.site:5000").option("--server", "https://10.0.0.3:5000");
        write.option("--credentials-file", self.0.root().join("credentials"))
    }

    /// Every file with its mode and content, but for those that `before` has.
    fn new_files(&self, before: &BTreeMap<std::path::PathBuf, String>) -> String {
        let mut text = String::new();
        for (path, state) in self.0.snapshot() {
            if state.ends_with("folder") || before.contains_key(&path) || path.ends_with("nodes/written") {
                continue;
            }
            let file = self.0.root().join(&path);
            let mode = file.metadata().unwrap().permissions().mode() & 0o7777;
            let content = std::fs::read_to_string(&file).unwrap();
            text += &format!("======== /{} ({mode:04o})\n{content}\n", path.display());
        }
        text.replace(&self.0.root().display().to_string(), "")
    }
}

fn shown(node: &Node, text: &str) -> String {
    text.replace(&node.0.root().display().to_string(), "")
}

/// Every file is of the form that its name says, by parsers of others.
fn assert_well_formed(files: &str) {
    for (path, content) in files.split("======== ").skip(1).filter_map(|file| file.split_once('\n')) {
        let name = path.split(' ').next().unwrap();
        match name.rsplit('.').next().unwrap() {
            "toml" | "conf" => drop(content.parse::<toml::Table>().unwrap_or_else(|error| panic!("{name}: {error}"))),
            "yaml" => drop(
                serde_saphyr::from_str::<serde_json::Value>(content).unwrap_or_else(|error| panic!("{name}: {error}")),
            ),
            "json" => drop(
                serde_json::from_str::<serde_json::Value>(content).unwrap_or_else(|error| panic!("{name}: {error}")),
            ),
            "crt" => assert!(content.contains("-----BEGIN CERTIFICATE-----"), "{name}"),
            other => panic!("{name}: nobody looks at {other}"),
        }
    }
}

/// Written, written again, removed; each step's files and words are in the snapshot.
#[test]
fn what_is_written_is_taken_away_to_the_last_byte() {
    for runtime in RUNTIMES {
        let node = Node::new();
        let before = node.0.snapshot();
        let rehearsed = node.write(runtime).arg("--dry-run").succeeds();
        assert_eq!(node.0.snapshot(), before, "{runtime}: a rehearsal wrote something");
        let first = node.write(runtime).succeeds();
        let files = node.new_files(&before);
        for (path, content) in files.split("======== ").skip(1).filter_map(|file| file.split_once('\n')) {
            let content = content.trim_end();
            assert!(shown(&node, &rehearsed.stdout).contains(content), "{runtime}: {path} was not rehearsed");
        }
        assert_well_formed(&files);
        insta::assert_snapshot!(format!("{runtime}"), format!("{}\n{files}", shown(&node, &first.stdout)));
        let once = node.0.snapshot();
        node.write(runtime).succeeds().says("nothing to change");
        assert_eq!(node.0.snapshot(), once, "{runtime}: the second run wrote something");
        // What was said the last time need not be said again.
        node.0.invoke(["nodes", "write", "--runtime", runtime]).succeeds().says("nothing to change");
        assert_eq!(node.0.snapshot(), once, "{runtime}: the third run wrote something");
        node.0.invoke(["nodes", "remove"]).succeeds();
        assert_eq!(node.0.snapshot(), before, "{runtime}: the node is not as it was");
        node.0.invoke(["nodes", "remove"]).succeeds().says("nothing to change");
    }
}

/// All of them at once, and taken away one by one: what two runtimes read stays while one of them is left.
#[test]
fn runtimes_that_share_a_file_keep_it_until_the_last() {
    let node = Node::new();
    let before = node.0.snapshot();
    node.write("podman").option("--runtime", "crio").succeeds();
    let shared = node.0.root().join("etc/containers/registries.conf.d/50-consign.conf");
    node.0.invoke(["nodes", "remove", "--runtime", "podman"]).succeeds();
    assert!(shared.exists() && !node.0.root().join("root/.config/containers/auth.json").exists());
    node.0.invoke(["nodes", "remove", "--runtime", "crio"]).succeeds();
    assert_eq!(node.0.snapshot(), before);
}

/// Another server the next time: only what has to change is changed, and files that are no longer wanted go.
#[test]
fn a_second_write_brings_the_node_to_what_it_says() {
    let node = Node::new();
    let before = node.0.snapshot();
    node.write("containerd").succeeds();
    let write =
        node.0.invoke(["nodes", "write", "--runtime", "containerd", "--server", "https://other.site:5000", "--json"]);
    let said = write.option("--host", "ghcr.io").succeeds().json();
    let action = |path: &str| {
        let files = said["files"].as_array().unwrap();
        let file = files.iter().find(|file| file["path"].as_str().unwrap().ends_with(path));
        file.unwrap_or_else(|| panic!("{path}: {said:#}"))["action"].as_str().unwrap().to_owned()
    };
    assert_eq!(action("docker.io/hosts.toml"), "replaced");
    assert_eq!(action("ghcr.io/hosts.toml"), "written");
    assert_eq!(action("quay.io/hosts.toml"), "removed");
    assert_eq!(action("site-ca.crt"), "unchanged");
    let hosts = node.0.root().join("etc/containerd/certs.d");
    assert!(!Path::new(&hosts.join("quay.io")).join("hosts.toml").exists());
    node.0.invoke(["nodes", "remove"]).succeeds();
    assert_eq!(node.0.snapshot(), before);
}

/// What is there is found; nothing there is said.
#[test]
fn runtimes_are_found_by_what_they_leave() {
    let node = Node::new();
    let write = node.0.invoke(["nodes", "write", "--server", "https://registry.site:5000", "--json"]);
    let said = write.succeeds().json();
    let mut found: Vec<&str> = said["files"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|file| file["runtimes"].as_array().unwrap().iter().map(|runtime| runtime.as_str().unwrap()))
        .collect();
    found.sort_unstable();
    found.dedup();
    assert_eq!(found, ["containerd", "k3s", "microk8s"]);
    let nothing = Site::bare();
    let write = nothing.invoke(["nodes", "write", "--server", "https://registry.site:5000"]);
    write.fails("no-runtime", 23).says("--runtime");
}
