//! Manifests that other projects publish, from a folder to a healthy cluster in the fewest commands.
//!
//! They are not part of this project: `CONSIGN_INPUTS` names the folder that has them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use consign_format::Digest;
use consign_tests::cluster::Cluster;
use consign_tests::command::{self, Invocation};
use consign_tests::desk::{Desk, pinned};
use consign_tests::images::{self, Images, run};
use consign_tests::registry::DockerRegistry;
use consign_tests::site::Site;
use consign_tests::skip;

/// Names the folder with `argocd-core-install.yaml` and `boutique.yaml`.
const VARIABLE: &str = "CONSIGN_INPUTS";

fn input(name: &str) -> Option<PathBuf> {
    if !Desk::is_possible() {
        return None;
    }
    let file = std::env::var_os(VARIABLE).map(|folder| Path::new(&folder).join(name)).filter(|file| file.is_file());
    let why = format!("{VARIABLE} names no folder with {name}");
    skip::unless(file.is_some(), &why, "set it to a folder with the manifests that the project's machines have")
        .then_some(file)
        .flatten()
}

/// Somebody's repository: a folder with files, committed.
struct Clone {
    registry: DockerRegistry,
    folder: PathBuf,
}

impl Clone {
    fn of(name: &str, files: &[(&str, &[u8])]) -> Self {
        let registry = Images::get().registry();
        let folder = registry.folder().join(name);
        for (path, bytes) in files {
            let path = folder.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
        let git = |arguments: &[&str]| {
            let who = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org", "-c", "commit.gpgsign=false"];
            run(Command::new("git").args(who).args(arguments).current_dir(&folder));
        };
        git(&["init", "--quiet"]);
        git(&["add", "--all"]);
        git(&["commit", "--quiet", "--message", "As published"]);
        Self { registry, folder }
    }

    fn consign<const N: usize>(&self, arguments: [&str; N]) -> Invocation {
        command::consign(arguments).in_folder(&self.folder).env("HOME", self.registry.folder())
    }

    /// The first of the two commands. (The flags are what a company behind a mirror needs.)
    fn init(&self) -> Invocation {
        let mut init = self.consign(["init", "--kubernetes", "1.36", "--plain-http"]).arg(self.registry.address());
        for (host, place) in images::mirrors(&self.registry) {
            init = init.option("--mirror", format!("{host}={place}"));
        }
        init
    }

    /// The bundle that the second of the two commands has made.
    fn bundle(&self) -> PathBuf {
        let names = fs::read_dir(&self.folder).unwrap().map(|entry| entry.unwrap().path());
        let bundles: Vec<PathBuf> = names.filter(|path| path.extension().is_some_and(|end| end == "consign")).collect();
        assert_eq!(bundles.len(), 1, "{bundles:?}");
        bundles[0].clone()
    }

    fn trust(&self) -> PathBuf {
        self.folder.join("trust")
    }
}

/// Verified on both sides, installed, healthy; every image served by the digest that its registry has.
fn arrives(clone: &Clone, expected_images: usize) {
    let bundle = clone.bundle();
    let root = Digest::of(&fs::read(clone.trust().join("1.root.json")).unwrap()).hex();
    clone.consign(["verify", "--root-sha256", &root]).arg(&bundle).succeeds();
    let cluster = Cluster::start();
    let site = Site::enrolled(&clone.trust());
    site.invoke(["verify"]).arg(&bundle).succeeds();
    let done = site.install(&bundle).option("--kubeconfig", cluster.kubeconfig()).arg("--json").succeeds().json();
    assert_eq!(done["outcome"], "applied", "{done}");
    let pods = run(cluster.kubectl().args(["get", "pods", "-A", "-o", "jsonpath={.items[*].status.phase}"]));
    assert!(!pods.is_empty() && pods.split(' ').all(|phase| ["Running", "Succeeded"].contains(&phase)), "{pods}");
    let served = site.serve();
    let images = pinned(&clone.consign(["inspect", "--json"]).arg(&bundle).succeeds().json());
    assert_eq!(images.len(), expected_images, "{images:?}");
    for image in &images {
        let reference = format!("{}:{}", image.name, image.tag);
        assert_eq!(image.digest, Images::get().digest(&reference), "{reference}");
        assert_eq!(Digest::of(served.manifest(&reference).as_bytes()).to_string(), image.digest, "{reference}");
    }
}

#[test]
fn argo_cd_arrives() {
    let Some(file) = input("argocd-core-install.yaml") else { return };
    let clone = Clone::of("argocd", &[("install/core-install.yaml", &fs::read(file).unwrap())]);
    clone.init().succeeds();
    clone.consign(["build"]).succeeds();
    arrives(&clone, 2);
}

/// As it stands it names an image by a digest that no registry here can have.
#[test]
fn a_digest_that_no_registry_has_is_named() {
    let Some(file) = input("boutique.yaml") else { return };
    let clone = Clone::of("boutique", &[("release/kubernetes-manifests.yaml", &fs::read(file).unwrap())]);
    clone.init().succeeds();
    let outcome = clone.consign(["build"]).fails("image-unresolved", 20);
    outcome.says("busybox").says("Deployment").says("loadgenerator");
    let left = fs::read_dir(&clone.folder).unwrap().map(|entry| entry.unwrap().file_name());
    let left: Vec<_> = left.filter(|name| name.to_string_lossy().contains(".consign")).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn the_boutique_arrives() {
    let Some(file) = input("boutique.yaml") else { return };
    // A tag instead of the digest; that is what the transformer is for.
    let kustomization = b"resources: [kubernetes-manifests.yaml]\nimages:\n  - {name: busybox, newTag: 1.38.0}\n";
    let files = [
        ("deploy/kubernetes-manifests.yaml", &fs::read(file).unwrap()[..]),
        ("deploy/kustomization.yaml", kustomization),
    ];
    let clone = Clone::of("boutique", &files);
    clone.init().succeeds();
    clone.consign(["build"]).succeeds();
    arrives(&clone, 13);
}
