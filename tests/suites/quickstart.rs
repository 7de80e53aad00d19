//! The quickstart of the README, executed word for word, as somebody would who has only the README.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a suite reports by panicking"
)]

use std::fs;
use std::path::Path;
use std::process::Command;

use consign_format::Digest;
use consign_tests::generated::root;
use consign_tests::images::{self, Images, run};
use consign_tests::registry::{DockerRegistry, Options};
use consign_tests::{programs, skip};

/// The blocks of the README's section "Quickstart", in order.
fn blocks() -> Vec<String> {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let (_, after) = readme.split_once("\n## Quickstart\n").expect("the README has a quickstart");
    let section = after.split("\n## ").next().unwrap();
    section.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap().to_owned()).collect()
}

const DEPLOYMENT: &str = "\
apiVersion: apps/v1
kind: Deployment
metadata: {name: shop}
spec:
  selector: {matchLabels: {app: shop}}
  template:
    metadata: {labels: {app: shop}}
    spec: {containers: [{name: shop, image: 'REGISTRY/shop/web:1.0'}]}
";

/// Somebody's repository: one Deployment, committed.
fn repository(folder: &Path, registry: &DockerRegistry) {
    fs::create_dir_all(folder.join("deploy")).unwrap();
    fs::write(folder.join("deploy/shop.yaml"), DEPLOYMENT.replace("REGISTRY", &registry.address())).unwrap();
    for arguments in [&["init", "-q", "-b", "main"][..], &["add", "."], &["commit", "-q", "-m", "shop"]] {
        let identity = ["-c", "user.name=Ada", "-c", "user.email=ada@shop.example"];
        run(Command::new("git").args(identity).args(arguments).current_dir(folder));
    }
}

/// A shell with our programs on its path, in an environment of its own.
fn shell(folder: &Path, home: &Path) -> Command {
    let inherited = std::env::var_os("PATH").unwrap_or_default();
    let folders = [programs::folder().to_owned()].into_iter().chain(std::env::split_paths(&inherited));
    let mut shell = Command::new("bash");
    shell.args(["-euo", "pipefail", "-c"]).current_dir(folder).env_clear().env("HOME", home).env("LANG", "C.UTF-8");
    shell.env("PATH", std::env::join_paths(folders).unwrap());
    shell
}

#[test]
fn the_readme_works_word_for_word() {
    if !skip::unless(images::missing().is_none(), &images::missing().unwrap_or_default(), images::HOW) {
        return;
    }
    let blocks = blocks();
    let [build, enrol, install] = blocks.as_slice() else { panic!("three blocks, not {blocks:?}") };
    let registry = DockerRegistry::with(Options { tls: true, ..Options::default() });
    Images::get().push_as("docker.io/library/nginx:1.22", &registry, "shop/web:1.0");
    let folder = tempfile::tempdir().unwrap();
    let (home, stick) = (folder.path().join("home"), folder.path().join("stick"));
    [&home, &stick].into_iter().for_each(|folder| fs::create_dir(folder).unwrap());
    repository(&home.join("shop"), &registry);

    // What the README cannot know: where this machine keeps the certificates it trusts.
    let said = run(shell(&home, &home).arg(build).env("SSL_CERT_FILE", registry.authority().unwrap()));
    let first = fs::read(home.join("shop/trust/1.root.json")).unwrap();
    let fingerprint = Digest::of(&first).hex();
    let plain: String = said.split_whitespace().collect();
    assert!(plain.contains(&fingerprint), "init does not print the fingerprint {fingerprint}:\n{said}");

    for carried in ["shop-0.1.0.consign", "trust/1.root.json"] {
        let from = home.join("shop").join(carried);
        fs::copy(&from, stick.join(from.file_name().unwrap())).unwrap();
    }
    // The far side knows neither registry nor repository.
    fs::rename(home.join("shop"), home.join("gone")).unwrap();
    let site = folder.path().join("site");
    let at_site = |block: &str| {
        let mut shell = shell(&stick, &home);
        shell.arg(block).env("FINGERPRINT", &fingerprint).env("CONSIGN_ROOT_DIR", &site);
        run(shell.env("CONSIGN_HANDOFF", "export"))
    };
    at_site(enrol);
    let said = at_site(install);
    assert!(said.contains("shop 0.1.0 is installed"), "{said}");
    let objects = fs::read_dir(site.join("var/lib/consign/export/shop")).unwrap().count();
    assert!(objects > 0, "nothing was exported");
}
