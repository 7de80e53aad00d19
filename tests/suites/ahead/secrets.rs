//! The pods that ask a node name the pull Secrets that the release's own pods will use, as far as they are there.

use serde_json::{Value, json};

use crate::bench::*;
use crate::world::*;

fn with(name: &str, image: &str, more: Value) -> Value {
    let mut object = deployment(name, image);
    for (field, value) in more.as_object().unwrap() {
        object["spec"]["template"]["spec"][field] = value.clone();
    }
    object
}

#[tokio::test(flavor = "multi_thread")]
async fn those_of_the_pods_and_of_their_accounts_are_named_and_one_to_come_is_waited_for() {
    let mut bench = bench().await;
    kubectl(&["create", "namespace", "aheadsecret"]).unwrap();
    for secret in ["pod-login", "account-login"] {
        kubectl(&["create", "secret", "generic", secret, "-n", "aheadsecret"]).unwrap();
    }
    kubectl(&["create", "serviceaccount", "runner", "-n", "aheadsecret"]).unwrap();
    let patch = r#"{"imagePullSecrets": [{"name": "account-login"}, {"name": "of-nobody"}]}"#;
    kubectl(&["patch", "serviceaccount", "runner", "-n", "aheadsecret", "-p", patch]).unwrap();
    let seen = remember("aheadsecret");
    let to_come = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "to-come"}});
    let objects = vec![
        with("a", &pinned("secret-a"), json!({"imagePullSecrets": [{"name": "pod-login"}]})),
        with("b", &pinned("secret-b"), json!({"serviceAccountName": "runner"})),
        with("c", &pinned("secret-c"), json!({"imagePullSecrets": [{"name": "to-come"}]})),
        to_come,
    ];
    let images = [("secret-a", AMD), ("secret-b", AMD), ("secret-c", AMD)];
    pulls(&mut bench, &bringing("aheadsecret", objects, &images), &on(LONG)).await.unwrap();
    let told =
        |note: &String| note.contains("secret-c") && note.contains("Secret aheadsecret/to-come comes with the release");
    assert!(notes(&bench).iter().any(told), "{:?}", notes(&bench));
    let seen = seen.lock().unwrap();
    assert_eq!(seen.len(), 2, "sim and second");
    for pod in seen.iter() {
        let spec = pod.spec.as_ref().unwrap();
        let secrets: Vec<_> = spec.image_pull_secrets.iter().flatten().map(|one| one.name.as_str()).collect();
        assert_eq!(secrets, ["account-login", "pod-login"]);
        assert_eq!(spec.containers.len(), 2);
        assert_eq!(spec.service_account_name.as_deref(), Some("default"));
    }
    nothing_left("aheadsecret");
}
