//! What real clients ask of a registry, recorded, each request answered rightly. docs/registry.md shows the table.
//!
//! A client may ask for more than stands here: versions differ. It must ask for what stands here, or the table is no
//! longer true; and nothing that it asks may be answered otherwise than here.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use consign_tests::skip;
use consign_tests::tools::Tool;

use crate::containerd::{Containerd, hosts};
use crate::podman::{can_run, podman, settings};
use crate::site::{Site, architecture, is_installed, run, write};

/// Everything that was asked, with names for digests, in order of the alphabet: blobs are pulled in any order.
fn table(site: &Site) -> BTreeSet<String> {
    let blobs = site.blobs_of_image();
    let mut names = vec![
        (site.image.digest.to_string(), "IMAGE"),
        (site.index.digest.to_string(), "INDEX"),
        (site.referrer.digest.to_string(), "REFERRER"),
    ];
    names.extend(blobs.iter().map(ToString::to_string).zip(["CONFIG", "LAYER"]));
    let line = |(method, target, status): (String, String, u16)| {
        let named = names.iter().fold(target, |target, (digest, name)| {
            target.replace(digest, name).replace(&digest.replace(':', "-"), &format!("TAG-OF-{name}"))
        });
        format!("{method} {named} {status}")
    };
    site.asked().into_iter().map(line).collect()
}

/// Every line of `expected` was asked and answered so; whatever else was asked was found.
#[track_caller]
fn matches(site: &Site, expected: &[&str]) {
    let asked = table(site);
    for line in expected {
        assert!(asked.contains(*line), "`{line}` was not asked; these were:\n{asked:#?}");
    }
    let refused = asked.iter().filter(|line| !expected.contains(&line.as_str()) && !line.ends_with(" 200"));
    assert_eq!(refused.collect::<Vec<_>>(), [""; 0], "{asked:#?}");
}

fn tool(tool: Tool) -> PathBuf {
    tool.get().unwrap_or_else(|error| panic!("{error}"))
}

fn containerd(containerd: &Path, ctr: &Path) -> Option<Site> {
    let (folder, site) = (tempfile::tempdir().unwrap(), Site::start());
    let daemon = match Containerd::start(folder.path(), containerd, ctr) {
        Ok(daemon) => daemon,
        Err(said) => {
            let _ = skip::unless(false, &format!("containerd cannot run here: {said}"), "run the suite as root");
            return None;
        }
    };
    let hosts = hosts(folder.path(), &site);
    run(&mut daemon.pull(&hosts, "docker.io/library/x:1"));
    Some(site)
}

const CONTAINERD: [&str; 4] = [
    "HEAD /v2/library/x/manifests/1?ns=docker.io 200",
    "GET /v2/library/x/manifests/IMAGE?ns=docker.io 200",
    "GET /v2/library/x/blobs/CONFIG?ns=docker.io 200",
    "GET /v2/library/x/blobs/LAYER?ns=docker.io 200",
];

#[test]
fn containerd_1_asks() {
    let installed = is_installed("containerd") && is_installed("ctr");
    if skip::unless(installed, "containerd is not installed", "apt-get install containerd")
        && let Some(site) = containerd("containerd".as_ref(), "ctr".as_ref())
    {
        matches(&site, &CONTAINERD);
    }
}

#[test]
fn containerd_2_asks() {
    let [daemon, ctr] = [Tool::Containerd, Tool::Ctr].map(tool);
    if let Some(site) = containerd(&daemon, &ctr) {
        matches(&site, &CONTAINERD);
    }
}

#[test]
fn podman_asks() {
    let (home, site) = (tempfile::tempdir().unwrap(), Site::start());
    write(&home.path().join("registries.conf"), &settings(&site));
    std::fs::create_dir_all(home.path().join("runtime")).unwrap();
    if !can_run(home.path()) {
        return;
    }
    run(podman(home.path()).args(["pull", "--quiet", "docker.io/library/x:1"]));
    matches(
        &site,
        &[
            "GET /v2/ 200",
            "GET /v2/docker.io/library/x/manifests/1 200",
            "GET /v2/docker.io/library/x/blobs/CONFIG 200",
            "GET /v2/docker.io/library/x/blobs/LAYER 200",
        ],
    );
}

#[test]
fn skopeo_asks() {
    if !skip::unless(is_installed("skopeo"), "skopeo is not installed", "apt-get install skopeo") {
        return;
    }
    let (to, site) = (tempfile::tempdir().unwrap(), Site::start());
    let image = |name: &str| format!("docker://{}/{name}", site.address);
    let skopeo = |arguments: &[&str]| run(Command::new("skopeo").args(arguments));
    let folder = format!("dir:{}", to.path().display());
    skopeo(&["copy", "--src-tls-verify=false", &image("docker.io/library/x:1"), &folder]);
    skopeo(&["list-tags", "--tls-verify=false", &image("docker.io/library/x")]);
    let arch = format!("--override-arch={}", architecture());
    skopeo(&[&arch, "inspect", "--tls-verify=false", &image("quay.io/team/multi:1")]);
    matches(
        &site,
        &[
            "GET /v2/ 200",
            "GET /v2/docker.io/library/x/manifests/1 200",
            "GET /v2/docker.io/library/x/blobs/CONFIG 200",
            "GET /v2/docker.io/library/x/blobs/LAYER 200",
            "GET /v2/docker.io/library/x/tags/list 200",
            "GET /v2/quay.io/team/multi/manifests/1 200",
        ],
    );
}

#[test]
fn crane_asks() {
    let crane = tool(Tool::Crane);
    let (to, site) = (tempfile::tempdir().unwrap(), Site::start());
    let image = |name: &str| format!("{}/{name}", site.address);
    let crane = |arguments: &[&str]| String::from_utf8(run(Command::new(&crane).arg("--insecure").args(arguments)));
    let digest = crane(&["digest", &image("docker.io/library/x:1")]).unwrap();
    assert_eq!(digest.trim(), site.image.digest.to_string());
    assert_eq!(crane(&["ls", &image("docker.io/library/x")]).unwrap().trim(), "1");
    let tar = to.path().join("x.tar").display().to_string();
    crane(&["pull", &image("docker.io/library/x:1"), &tar]).unwrap();
    matches(
        &site,
        &[
            "GET /v2/ 200",
            "HEAD /v2/docker.io/library/x/manifests/1 200",
            "GET /v2/docker.io/library/x/manifests/1 200",
            "GET /v2/docker.io/library/x/blobs/CONFIG 200",
            "GET /v2/docker.io/library/x/blobs/LAYER 200",
            "GET /v2/docker.io/library/x/tags/list?n=1000 200",
        ],
    );
}

#[test]
fn oras_asks() {
    let oras = tool(Tool::Oras);
    let (to, site) = (tempfile::tempdir().unwrap(), Site::start());
    let image = |name: &str| format!("{}/{name}", site.address);
    let oras = |arguments: &[&str]| {
        let plain = if arguments.contains(&"copy") { "--from-plain-http" } else { "--plain-http" };
        let output = run(Command::new(&oras).current_dir(to.path()).args(arguments).arg(plain));
        String::from_utf8(output).unwrap()
    };
    let x = image("docker.io/library/x:1");
    oras(&["manifest", "fetch", &x]);
    assert!(oras(&["discover", "--format", "json", &x]).contains(&site.referrer.digest.to_string()));
    assert_eq!(oras(&["repo", "tags", &image("docker.io/library/x")]).trim(), "1");
    let layout = to.path().join("layout:1").display().to_string();
    oras(&["copy", "--to-oci-layout", "--recursive", &x, &layout]);
    matches(
        &site,
        &[
            "HEAD /v2/docker.io/library/x/manifests/1 200",
            "GET /v2/docker.io/library/x/manifests/1 200",
            "GET /v2/docker.io/library/x/referrers/IMAGE 200",
            "GET /v2/docker.io/library/x/manifests/REFERRER 200",
            "GET /v2/docker.io/library/x/blobs/CONFIG 200",
            "GET /v2/docker.io/library/x/blobs/LAYER 200",
            "GET /v2/docker.io/library/x/tags/list 200",
        ],
    );
}
