//! Our ApplySet is one that kubectl understands: it refuses a parent of ours by name, and of one that was handed over to
//! it it would prune nothing.
//!
//! kubectl takes a set only if all its objects live in the namespace of its parent, so those of this product do.

use serde_json::{Value, json};

use super::bench::*;

#[expect(clippy::disallowed_methods, reason = "a temporary file")]
fn apply_set(product: &str, objects: &[Value]) -> Result<String, String> {
    let file = tempfile::NamedTempFile::new().unwrap();
    let list = json!({"apiVersion": "v1", "kind": "List", "items": objects});
    std::fs::write(file.path(), list.to_string()).unwrap();
    let mut command = consign_tests::cluster::Cluster::shared().kubectl();
    command.env("KUBECTL_APPLYSET", "true");
    command.args([
        "apply",
        "--server-side",
        "--force-conflicts",
        "--prune",
        "--dry-run=server",
        "--namespace=consign-system",
    ]);
    command.arg(format!("--applyset=secret/consign-{product}")).arg("-f").arg(file.path());
    let output = command.output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    if output.status.success() { Ok(said) } else { Err(said) }
}

#[tokio::test(flavor = "multi_thread")]
async fn kubectl_refuses_our_set_and_of_one_handed_over_it_prunes_nothing_that_is_in_the_release() {
    let mut bench = Bench::new().await;
    let namespaced = |mut object: Value| {
        object["metadata"]["namespace"] = json!("consign-system");
        object
    };
    let objects = vec![
        namespaced(config_map("kubectlset-a")),
        namespaced(config_map("kubectlset-b")),
        namespaced(deployment("kubectlset-web", "demo/web")),
    ];
    bench.apply(&release("kubectlset", objects.clone())).await.unwrap();

    let said = apply_set("kubectlset", &objects).unwrap_err();
    assert!(said.contains("managed by tooling \"consign\" instead of \"kubectl\""), "{said}");

    let tooling = "applyset.kubernetes.io/tooling=kubectl/v1.36.2";
    kubectl(&["annotate", "--overwrite", "secret", "consign-kubectlset", "-n", "consign-system", tooling]).unwrap();
    let said = apply_set("kubectlset", &objects).unwrap();
    assert!(said.contains("configmap/kubectlset-a") && said.contains("deployment.apps/kubectlset-web"), "{said}");
    assert!(!said.contains("pruned"), "{said}");
    // It finds our members by our parent: what is left out here, it would prune.
    let said = apply_set("kubectlset", &objects[1..]).unwrap();
    assert!(said.contains("configmap/kubectlset-a pruned"), "{said}");
    assert!(live("cm kubectlset-a -n consign-system").is_some(), "a dry run");
}
