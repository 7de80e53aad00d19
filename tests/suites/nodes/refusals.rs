//! What is not ours is never touched, and what is in the way is named.

use crate::files::{Node, RUNTIMES};

/// One file of each runtime that stands there already, by somebody else.
const FOREIGN: [&str; 7] = [
    "etc/containerd/certs.d/docker.io/hosts.toml",
    "etc/rancher/k3s/registries.yaml",
    "etc/rancher/rke2/registries.yaml",
    "etc/containers/registries.conf.d/50-consign.conf",
    "root/.config/containers/auth.json",
    "var/snap/microk8s/current/args/certs.d/docker.io/hosts.toml",
    "var/lib/consign/nodes/openshift/image-tag-mirror-set.yaml",
];

#[test]
fn a_file_of_somebody_else_is_refused_and_with_force_comes_back() {
    for (runtime, path) in RUNTIMES.into_iter().zip(FOREIGN) {
        let node = Node::new();
        node.put(path, "# somebody else's\n");
        let before = node.0.snapshot();
        let refused = node.write(runtime).fails("node-file-foreign", 25);
        refused.says(path).says("--force");
        assert_eq!(node.0.snapshot(), before, "{runtime}: a refusal wrote something");
        node.write(runtime).arg("--force").succeeds();
        let ours = std::fs::read_to_string(node.0.root().join(path)).unwrap();
        assert!(!ours.contains("somebody"), "{runtime}: {ours}");
        node.write(runtime).succeeds().says("nothing to change");
        node.0.invoke(["nodes", "remove"]).succeeds().says("restored");
        assert_eq!(node.0.snapshot(), before, "{runtime}: what was there is not back");
    }
}

#[test]
fn a_file_that_was_changed_by_hand_is_neither_replaced_nor_removed() {
    let node = Node::new();
    let before = node.0.snapshot();
    node.write("k3s").succeeds();
    let path = "etc/rancher/k3s/registries.yaml";
    node.put(path, "# mine now\n");
    let changed = node.0.snapshot();
    node.write("k3s").fails("node-file-changed", 25).says(path);
    node.0.invoke(["nodes", "remove"]).fails("node-file-changed", 25).says(path);
    assert_eq!(node.0.snapshot(), changed);
    node.write("k3s").arg("--force").succeeds();
    node.put(path, "# mine now\n");
    node.0.invoke(["nodes", "remove", "--force"]).succeeds();
    assert_eq!(node.0.snapshot(), before);
}

/// A run that was cut off after the manifest was written, before the files were: the next one goes on, or undoes it.
#[test]
fn a_run_that_was_cut_off_is_finished_or_undone() {
    for undo in [true, false] {
        let node = Node::new();
        let before = node.0.snapshot();
        node.write("rke2").succeeds();
        let whole = node.0.snapshot();
        std::fs::remove_file(node.0.root().join("etc/rancher/rke2/registries.yaml")).unwrap();
        std::fs::remove_dir_all(node.0.root().join("etc/rancher/rke2/config.yaml.d")).unwrap();
        if !undo {
            node.write("rke2").succeeds().says("wrote");
            assert_eq!(node.0.snapshot(), whole);
        }
        node.0.invoke(["nodes", "remove"]).succeeds();
        assert_eq!(node.0.snapshot(), before);
    }
}

#[test]
fn links_that_lead_out_of_the_root_are_not_followed() {
    let elsewhere = tempfile::tempdir().unwrap();
    let node = Node::new();
    std::os::unix::fs::symlink(elsewhere.path(), node.0.root().join("etc/crio")).unwrap();
    node.write("crio").fails("unsafe-file", 11).says("etc/crio");
    let file = elsewhere.path().join("file");
    std::fs::write(&file, "untouched").unwrap();
    std::fs::create_dir_all(node.0.root().join("etc/rancher/rke2")).unwrap();
    std::os::unix::fs::symlink(&file, node.0.root().join("etc/rancher/rke2/registries.yaml")).unwrap();
    node.write("rke2").arg("--force").fails("unsafe-file", 11);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "untouched");
    assert_eq!(std::fs::read_dir(elsewhere.path()).unwrap().count(), 1);
}

/// What containerd itself would refuse, or pass over, is said before anything is written.
#[test]
fn settings_of_a_runtime_that_contradict_are_said() {
    let cri = "plugins.\"io.containerd.grpc.v1.cri\".registry";
    let both = format!(
        "version = 2\n[{cri}]\nconfig_path = \"/etc/containerd/certs.d\"\n[{cri}.mirrors.\"docker.io\"]\nendpoint = [\"https://m\"]\n"
    );
    let older = format!("version = 2\n[{cri}.mirrors.\"docker.io\"]\nendpoint = [\"https://m\"]\n");
    let prefix = "[[registry]]\nprefix = \"docker.io/library\"\nlocation = \"mirror.corp/hub\"\n".to_owned();
    for (runtime, path, text, says) in [
        ("containerd", "etc/containerd/config.toml", both, "is an error"),
        ("containerd", "etc/containerd/config.toml", older, "no hosts.toml is read"),
        ("containerd", "etc/containerd/config.toml", "version = ".to_owned(), "is no TOML"),
        ("podman", "etc/containers/registries.conf.d/10-mirror.conf", prefix, "docker.io/library"),
        (
            "crio",
            "etc/crio/crio.conf.d/10-login.conf",
            "[crio.image]\nglobal_auth_file = \"/etc/login.json\"\n".to_owned(),
            "global_auth_file",
        ),
    ] {
        let node = Node::new();
        node.put(path, &text);
        let before = node.0.snapshot();
        node.write(runtime).fails("node-conflict", 25).says(says).says(path);
        assert_eq!(node.0.snapshot(), before, "{says}");
    }
}

/// Where no file of ours could be safe the lines are said; a file of ours would take what is said of the plugin away.
#[test]
fn containerd_is_pointed_at_its_hosts_only_where_that_is_safe() {
    let imports = "version = 2\nimports = [\"/etc/containerd/conf.d/*.toml\"]\n";
    let cri = "[plugins.\"io.containerd.grpc.v1.cri\"]\nsandbox_image = \"pause\"\n";
    let v3 = "version = 3\nimports = [\"/etc/containerd/conf.d/*.toml\"]\n[plugins.\"io.containerd.cri.v1.images\"]\nsnapshotter = \"native\"\n";
    for (text, drop_in) in [
        (imports.to_owned(), true),
        (format!("{imports}{cri}"), false),
        ("version = 2\n".to_owned(), false),
        (v3.to_owned(), true),
    ] {
        let node = Node::new();
        node.put("etc/containerd/config.toml", &text);
        let said = node.write("containerd").succeeds();
        let file = node.0.root().join("etc/containerd/conf.d/50-consign.toml");
        assert_eq!(file.exists(), drop_in, "{text}");
        assert_eq!(said.stdout.contains("put these lines into"), !drop_in, "{said}");
    }
}

#[test]
fn what_cannot_be_meant_is_refused() {
    let node = Node::new();
    let write = |server: &str| node.0.invoke(["nodes", "write", "--runtime", "podman", "--server", server]);
    write("http://10.0.0.3:5000").fails("plain-http", 25).says("--plain-http");
    write("registry.site:5000").fails("node-servers", 2);
    write("https://a.site").arg("--restart").fails("usage", 2);
    write("https://a.site").option("--host", "a/b").fails("usage", 2);
    write("https://a.site").option("--credentials-file", node.0.root().join("absent")).fails("usage", 2);
    node.0.invoke(["nodes", "write", "--runtime", "podman"]).fails("node-servers", 2).says("site.toml");
    let authority = std::fs::read_to_string(node.0.root().join("etc/consign/ca.crt")).unwrap();
    node.put("etc/consign/ca.crt", "-----BEGIN PRIVATE KEY-----\n");
    write("https://a.site").fails("usage", 2).says("holds no certificate");
    node.put("etc/consign/ca.crt", &authority);
    node.put(
        "etc/consign/site.toml",
        "[nodes]\nservers = [\"http://10.0.0.3:5000\"]\nplain-http = true\nhosts = [\"quay.io\"]\n",
    );
    node.0.invoke(["nodes", "write", "--runtime", "podman"]).succeeds();
    let file = std::fs::read_to_string(node.0.root().join("etc/containers/registries.conf.d/50-consign.conf")).unwrap();
    assert!(file.contains("location = \"10.0.0.3:5000/quay.io\"\ninsecure = true"), "{file}");
}
