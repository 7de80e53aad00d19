//! podman and skopeo, through the registries.conf.d that `nodes write` gave them, at its real place.

use std::path::Path;
use std::process::Command;

use consign_format::Digest;
use consign_tests::images::run;
use consign_tests::skip;

use crate::release::Ward;
use crate::world::{World, said};

fn is_installed(program: &str) -> bool {
    let there = Command::new(program).arg("--version").output().is_ok();
    skip::unless(there, &format!("{program} is not installed"), &format!("apt-get install {program}"))
}

/// What a node has before: a policy, and nothing said of registries.
pub(crate) fn prepare(root: &Path) -> std::path::PathBuf {
    let containers = root.join("etc/containers");
    std::fs::create_dir_all(&containers).unwrap();
    std::fs::write(containers.join("policy.json"), r#"{"default": [{"type": "insecureAcceptAnything"}]}"#).unwrap();
    containers
}

/// podman in a world, with its storage in a folder of the test; its settings are those of the world.
pub(crate) fn podman(world: &World, home: &Path) -> Command {
    let mut command = world.command("podman");
    command.args(["--storage-driver", "vfs", "--root"]).arg(home.join("storage"));
    command.arg("--runroot").arg(home.join("run")).env("HOME", home).env("TMPDIR", home);
    command
}

/// Every image of the release, by tag and by digest, by podman and by skopeo.
#[test]
fn every_image_of_a_release_comes_from_the_site_and_nothing_asks_upstream() {
    if !is_installed("podman") || !is_installed("skopeo") {
        return;
    }
    let ward = Ward::new();
    let containers = prepare(ward.site.root());
    let Some(world) = World::new(Some(&containers)) else { return };
    let home = tempfile::tempdir().unwrap();
    let runs = podman(&world, home.path()).arg("info").output().is_ok_and(|output| output.status.success());
    if !skip::unless(runs, "podman cannot run here", "run `podman info` to see why") {
        return;
    }
    let registry = world.serve(&ward.site);
    let server = format!("http://{}", registry.address());
    ward.site.invoke(["nodes", "write", "--runtime", "podman", "--server", &server]).succeeds();
    let before = world.attempts();
    let references = ward.references();
    let digests = ward.digests.iter().chain(&ward.digests);
    for (name, digest) in references.iter().zip(digests) {
        run(podman(&world, home.path()).args(["pull", "--quiet", name]));
        let raw = run(world.command("skopeo").args(["inspect", "--raw", &format!("docker://{name}")]));
        assert_eq!(Digest::of(raw.as_bytes()), *digest, "{name}");
    }
    assert_ne!(ward.digests[1], ward.digests[2], "one path under two hosts");
    let asked = registry.asked();
    assert!(asked.iter().all(|(target, status)| *status == 200 && target.starts_with("/v2/")), "{asked:?}");
    for host in crate::release::HOSTS {
        // A path has no colon; that of a port is written `_`.
        let by_path = format!("/v2/{}/", host.replace(':', "_"));
        assert!(asked.iter().any(|(target, _)| target.starts_with(&by_path)), "{by_path}: {asked:?}");
    }
    let lost = podman(&world, home.path()).args(["pull", "docker.io/library/absent:1"]).output().unwrap();
    assert!(!lost.status.success(), "{}", said(&lost));
    assert_eq!(world.attempts(), before, "somebody asked upstream");
    ward.site.invoke(["nodes", "remove"]).succeeds();
    let lost = podman(&world, home.path()).args(["pull", "docker.io/library/other:1"]).output().unwrap();
    assert!(!lost.status.success() && world.attempts() > before, "{}", said(&lost));
}

/// `nodes check` by podman, which throws away what it pulled.
#[test]
fn the_check_proves_a_pull_and_that_nothing_asks_upstream() {
    if !is_installed("podman") {
        return;
    }
    let ward = Ward::new();
    let Some(world) = World::new(None) else { return };
    let registry = world.serve(&ward.site);
    let server = format!("http://{}", registry.address());
    ward.site.invoke(["nodes", "write", "--runtime", "podman", "--server", &server]).succeeds();
    let check = || ward.site.invoke(["nodes", "check", "--runtime", "podman", "--json"]).under(world.entry());
    let said = check().env("HOME", ward.site.root()).succeeds().json();
    let proven = |what: &str| {
        let all = said["checks"].as_array().unwrap();
        all.iter()
            .filter(|proof| proof["what"].as_str().unwrap().starts_with(what) && proof["verdict"] == "proven")
            .count()
    };
    assert_eq!((proven("podman pulls"), proven("nothing asks upstream")), (2, 1), "{said:#}");
    assert_eq!((&said["failed"], &said["notProven"]), (&0.into(), &0.into()), "{said:#}");
    let image = said["canary"].as_str().unwrap();
    let other = image.split(':').next().unwrap().to_owned() + ":other";
    check().option("--image", other).env("HOME", ward.site.root()).exits(20).says("it has not");
}
