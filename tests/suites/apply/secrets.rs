//! Secrets that the release needs and does not carry.

use consign_format::release::{SecretMode, SecretRule};

use super::bench::*;

fn rule(namespace: &str, name: &str, mode: SecretMode, keys: &[&str]) -> SecretRule {
    let keys = keys.iter().map(ToString::to_string).collect();
    SecretRule { name: name.into(), namespace: namespace.into(), mode, keys, reason: None }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_generated_secret_is_made_once_and_never_pruned() {
    let mut bench = Bench::new().await;
    let mut desired = release("gensecret", vec![config_map("a")]);
    desired.secrets = vec![rule("gensecret", "db", SecretMode::Generate, &[])];
    let changes = bench.apply(&desired).await.unwrap();
    assert!(
        changed(&changes).contains(&"Secret gensecret/db created (generated at this site)".to_owned()),
        "{:?}",
        changed(&changes)
    );
    let first = live("secret db -n gensecret").unwrap();
    assert_eq!(first["data"]["password"].as_str().unwrap().len(), 60, "43 characters, in base64");

    assert!(bench.apply(&desired).await.unwrap().is_unchanged());
    assert_eq!(live("secret db -n gensecret").unwrap(), first);

    desired.secrets = vec![rule("gensecret", "db", SecretMode::Generate, &["password", "salt"])];
    bench.apply(&desired).await.unwrap();
    let second = live("secret db -n gensecret").unwrap();
    assert_eq!(second["data"]["password"], first["data"]["password"]);
    assert_ne!(second["data"]["salt"], second["data"]["password"]);

    desired.secrets.clear();
    assert!(bench.apply(&desired).await.unwrap().is_unchanged());
    assert_eq!(live("secret db -n gensecret").unwrap()["data"], second["data"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_the_site_owes_is_asked_for_before_anything_is_written() {
    let mut bench = Bench::new().await;
    let mut desired = release("owesecret", vec![config_map("a")]);
    let existing = |name: &str, keys: &[&str]| rule("owesecret", name, SecretMode::Existing, keys);
    desired.secrets = vec![existing("tls", &["tls.key"]), existing("other", &[])];
    let stopped = bench.apply(&desired).await.unwrap_err();
    assert_eq!(stopped.failure.code().name, "secret-missing");
    let said = stopped.failure.to_string();
    assert!(said.contains("Secret owesecret/tls") && said.contains("Secret owesecret/other"), "{said}");
    assert_eq!(live("namespace owesecret"), None);

    kubectl(&["create", "namespace", "owesecret"]).unwrap();
    kubectl(&["create", "secret", "generic", "tls", "-n", "owesecret", "--from-literal=crt=x"]).unwrap();
    kubectl(&["create", "secret", "generic", "other", "-n", "owesecret"]).unwrap();
    let said = bench.apply(&desired).await.unwrap_err().failure.to_string();
    assert_eq!(said, "missing at this site: Secret owesecret/tls key tls.key");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_generated_secret_that_the_release_carries_keeps_its_type_and_stays_when_it_leaves() {
    let mut bench = Bench::new().await;
    let carried = serde_json::json!({"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/basic-auth", "metadata": {"name": "login"}});
    let mut desired = release("carrysecret", vec![config_map("a"), carried]);
    desired.secrets = vec![rule("carrysecret", "login", SecretMode::Generate, &["password"])];
    bench.apply(&desired).await.unwrap();
    let made = live("secret login -n carrysecret").unwrap();
    assert_eq!(made["type"], "kubernetes.io/basic-auth");
    assert!(bench.apply(&desired).await.unwrap().is_unchanged());
    assert_eq!(live("secret login -n carrysecret").unwrap(), made);

    let changes = bench.apply(&release("carrysecret", vec![config_map("a")])).await.unwrap();
    assert_eq!(changed(&changes), ["Secret carrysecret/login skipped (kept: consign.dev/generated says true)"]);
    assert_eq!(live("secret login -n carrysecret").unwrap()["data"], made["data"]);
}
