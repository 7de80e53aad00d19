//! The README's quickstart, word for word: what is between the fences is what is run, by a shell, in the order of the
//! page. Between the blocks the test does what the page tells a person to do: it carries.

use std::fs;
use std::path::Path;
use std::process::Command;

use consign_format::Digest;
use consign_tests::cluster::Cluster;
use consign_tests::command::search_path;
use consign_tests::desk::Desk;
use consign_tests::images::{Images, run};
use consign_tests::registry::{DockerRegistry, Options};

/// The commands of the section, one text for each fenced block.
fn blocks() -> Vec<String> {
    let readme = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md")).unwrap();
    let (_, section) = readme.split_once("\n## Quickstart\n").expect("a section of that name");
    let section = section.split("\n## ").next().unwrap();
    let fenced = section.split("```sh\n").skip(1);
    fenced.map(|rest| rest.split_once("```").expect("a fence that ends").0.to_owned()).collect()
}

#[test]
fn the_quickstart_does_what_it_says() {
    if !Desk::is_possible() {
        return;
    }
    let blocks = blocks();
    assert_eq!(blocks.len(), 3, "build, enrol, install: {blocks:?}");
    // A registry whose authority this machine trusts; to `consign` it is as good as a public one.
    let registry = DockerRegistry::with(Options { tls: true, ..Options::default() });
    let port = registry.address().rsplit_once(':').unwrap().1.to_owned();
    Images::get().push_as("docker.io/library/nginx:1.22", &registry, "shop/web:1.0");
    let world = registry.folder();
    shop(&world.join("shop"), &format!("localhost:{port}/shop/web:1.0"));

    let certificates = registry.authority().unwrap();
    let said = shell(&blocks[0], world, &[("SSL_CERT_FILE", certificates.as_os_str().to_str().unwrap())]);

    // Carried: the bundle, the root once, the fingerprint on paper, as `init` printed it.
    let harbour = world.join("harbour");
    fs::create_dir(&harbour).unwrap();
    fs::copy(world.join("shop/shop-0.1.0.consign"), harbour.join("shop-0.1.0.consign")).unwrap();
    fs::copy(world.join("shop/trust/1.root.json"), harbour.join("1.root.json")).unwrap();
    let hex = Digest::of(&fs::read(harbour.join("1.root.json")).unwrap()).hex();
    let printed: String = said.chars().filter(|c| !c.is_whitespace()).collect();
    assert!(printed.contains(&hex), "init does not print the fingerprint {hex}:\n{said}");

    let cluster = Cluster::start();
    let root = harbour.join("root");
    let site = [
        ("CONSIGN_ROOT_DIR", root.to_str().unwrap()),
        ("KUBECONFIG", cluster.kubeconfig().to_str().unwrap()),
        ("FINGERPRINT", hex.as_str()),
    ];
    shell(&blocks[1], &harbour, &site);
    let said = shell(&blocks[2], &harbour, &site);
    assert!(said.contains("shop 0.1.0"), "{said}");
    let ready =
        run(cluster.kubectl().args(["get", "deployment", "-A", "-o", "jsonpath={.items[*].status.readyReplicas}"]));
    assert_eq!(ready, "2");
}

/// Runs a block as a person's shell would, but for one thing: the first command that fails ends it.
fn shell(block: &str, folder: &Path, variables: &[(&str, &str)]) -> String {
    let mut command = Command::new("sh");
    command.args(["-e", "-c", block]).current_dir(folder).env_clear();
    command.env("PATH", search_path()).env("HOME", folder).env("LANG", "C.UTF-8");
    run(command.envs(variables.iter().copied()))
}

/// Somebody's own repository.
fn shop(folder: &Path, image: &str) {
    fs::create_dir_all(folder.join("deploy")).unwrap();
    let manifest = format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: web}}\nspec:\n  replicas: 2\n  selector: {{matchLabels: \
         {{app: web}}}}\n  template:\n    metadata: {{labels: {{app: web}}}}\n    spec:\n      containers:\n        - {{name: \
         web, image: '{image}'}}\n---\napiVersion: v1\nkind: Service\nmetadata: {{name: web}}\nspec:\n  selector: {{app: \
         web}}\n  ports: [{{port: 80}}]\n"
    );
    fs::write(folder.join("deploy/web.yaml"), manifest).unwrap();
    for arguments in [&["init", "--quiet"][..], &["add", "--all"], &["commit", "--quiet", "--message", "A shop"]] {
        let who = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org", "-c", "commit.gpgsign=false"];
        run(Command::new("git").args(who).args(arguments).current_dir(folder));
    }
}
