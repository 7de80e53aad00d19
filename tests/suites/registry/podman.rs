//! podman (and with it CRI-O, which reads the same files): no `?ns=`, so the upstream host stands in the path.

use std::path::Path;
use std::process::Command;

use consign_tests::skip;

use crate::site::{Site, is_installed, run, write};

/// podman with its storage, its settings and its home in a folder of the test.
pub(crate) fn podman(home: &Path) -> Command {
    let mut command = Command::new("podman");
    let place = |name: &str| home.join(name);
    command.args(["--storage-driver", "vfs", "--root"]).arg(place("root")).arg("--runroot").arg(place("run"));
    command.env("HOME", home).env("XDG_RUNTIME_DIR", place("runtime")).env("TMPDIR", home);
    command.env("CONTAINERS_REGISTRIES_CONF", place("registries.conf"));
    command
}

/// What `consign-site nodes write` gives to podman and CRI-O: every upstream led to the site's registry.
pub(crate) fn settings(site: &Site) -> String {
    let at = &site.address;
    ["docker.io", "quay.io"]
        .map(|host| format!("[[registry]]\nprefix = \"{host}\"\nlocation = \"{at}/{host}\"\ninsecure = true\n"))
        .join("\n")
}

pub(crate) fn can_run(home: &Path) -> bool {
    skip::unless(is_installed("podman"), "podman is not installed", "apt-get install podman")
        && skip::unless(
            podman(home).arg("info").output().is_ok_and(|output| output.status.success()),
            "podman cannot run here",
            "run `podman info` to see why; it needs root or user namespaces",
        )
}

#[test]
fn pulls_what_a_release_names_by_tag_and_by_digest() {
    let home = tempfile::tempdir().unwrap();
    let site = Site::start();
    write(&home.path().join("registries.conf"), &settings(&site));
    std::fs::create_dir_all(home.path().join("runtime")).unwrap();
    if !can_run(home.path()) {
        return;
    }
    let pinned = format!("docker.io/library/x@{}", site.image.digest);
    let sparse = format!("quay.io/team/multi@{}", site.index.digest);
    for name in ["docker.io/library/x:1", &pinned, &sparse] {
        run(podman(home.path()).args(["pull", "--quiet", name]));
    }
    let digest = run(podman(home.path()).args(["image", "inspect", "--format", "{{.Digest}}", &pinned]));
    assert_eq!(String::from_utf8(digest).unwrap().trim(), site.image.digest.to_string());
    let asked = site.asked();
    let failed: Vec<_> = asked.iter().filter(|(_, _, status)| *status >= 400).collect();
    assert!(failed.is_empty(), "{failed:?}");
    assert!(asked.iter().any(|(_, target, _)| target.starts_with("/v2/docker.io/library/x/manifests/")), "{asked:?}");
}
