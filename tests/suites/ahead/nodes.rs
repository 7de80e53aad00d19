//! Who is asked to pull what, by pods that any namespace takes, and that they are gone afterwards.

use serde_json::json;

use crate::bench::*;
use crate::world::*;

#[tokio::test(flavor = "multi_thread")]
async fn every_node_that_pods_may_come_to_pulls_what_is_for_it_and_nothing_stays() {
    let mut bench = bench().await;
    kubectl(&["create", "namespace", "aheadgood"]).unwrap();
    kubectl(&["label", "namespace", "aheadgood", "pod-security.kubernetes.io/enforce=restricted"]).unwrap();
    let seen = remember("aheadgood");
    let mut hook = job("migrate", &pinned("good-hook"));
    hook["metadata"]["annotations"] = json!({"helm.sh/hook": "pre-upgrade"});
    let objects = vec![deployment("web", &pinned("good-web")), deployment("both", &pinned("good-both")), hook];
    let both: &[&str] = &["linux/amd64", "linux/arm64/v8"];
    let desired = bringing("aheadgood", objects, &[("good-web", AMD), ("good-both", both), ("good-hook", AMD)]);
    pulls(&mut bench, &desired, &on(LONG)).await.unwrap();

    let expected = [
        "arm has the images that it needs (1)",
        "second has the images that it needs (3)",
        "sim has the images that it needs (3)",
    ];
    assert_eq!(said(&bench), expected);
    for node in ["down pulls nothing ahead: it is not ready", "cordoned pulls nothing ahead: it takes no new pods"] {
        assert!(notes(&bench).iter().any(|note| note.contains(node)), "{:?}", notes(&bench));
    }
    nothing_left("aheadgood");
    let seen = seen.lock().unwrap();
    let mut asked: Vec<_> = seen.iter().map(|pod| pod.spec.as_ref().unwrap().node_name.as_deref().unwrap()).collect();
    asked.sort_unstable();
    assert_eq!(asked, ["arm", "second", "sim"]);
    for pod in seen.iter() {
        let labels = pod.metadata.labels.as_ref().unwrap();
        assert!(labels.keys().all(|name| !name.contains("applyset") && !name.contains("argocd")), "{labels:?}");
        assert_eq!(pod.metadata.namespace.as_deref(), Some("aheadgood"));
        assert!(pod.spec.as_ref().unwrap().volumes.is_none(), "no token of an account is mounted");
    }
    // Nothing of the release itself was made.
    assert_eq!(live("deploy web -n aheadgood"), None);
    assert_eq!(live("job migrate -n aheadgood"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_pulled_is_told_from_what_only_could_not_start() {
    use consign_tests::cluster::{Cluster, pods::Behaviour};
    let mut bench = bench().await;
    // An image of root's: the kubelet pulls, and then may not make the container.
    let message = "container has runAsNonRoot and image will run as root".to_owned();
    let behaviour = Behaviour::Waiting { reason: "CreateContainerConfigError".to_owned(), message };
    Cluster::shared().pods().when_image("roots-web", behaviour);
    let desired = bringing("aheadroot", vec![deployment("web", &pinned("roots-web"))], &[("roots-web", AMD)]);
    pulls(&mut bench, &desired, &on(LONG)).await.unwrap();
    assert_eq!(said(&bench), ["second has the images that it needs (1)", "sim has the images that it needs (1)"]);
    nothing_left("aheadroot");
    assert_eq!(live("namespace aheadroot"), None, "where it is not there yet, consign-system stands in");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_power_cut_left_is_deleted_first() {
    let mut bench = bench().await;
    kubectl(&["create", "namespace", "aheadleft"]).unwrap();
    // On a node whose kubelet is gone: it would stay for ever.
    let left = json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "consign-pre-pull-x", "namespace": "aheadleft", "labels": {LABEL: "aheadleft"}},
        "spec": {"nodeName": "down", "terminationGracePeriodSeconds": 0,
            "containers": [{"name": "image-0", "image": pinned("left-web")}]}});
    kubectl_with(&["create"], &left).unwrap();
    let desired = bringing("aheadleft", vec![deployment("web", &pinned("left-web"))], &[("left-web", AMD)]);
    pulls(&mut bench, &desired, &on(LONG)).await.unwrap();
    nothing_left("aheadleft");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_word_of_the_site_no_node_is_asked() {
    let mut bench = bench().await;
    let seen = remember("aheadoff");
    let desired = bringing("aheadoff", vec![deployment("web", &pinned("off-web"))], &[("off-web", AMD)]);
    pulls(&mut bench, &desired, &Default::default()).await.unwrap();
    assert!(bench.events.is_empty() && seen.lock().unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_whose_tag_is_yet_to_move_is_left_for_later() {
    let mut bench = bench().await;
    let seen = remember("aheadtag");
    let desired = bringing("aheadtag", vec![deployment("web", "registry.example/tag-web:1")], &[]);
    pulls(&mut bench, &desired, &on(LONG)).await.unwrap();
    let told = "registry.example/tag-web:1 is not pulled ahead: its tag is moved when the release is activated";
    assert!(notes(&bench).iter().any(|note| note == told), "{:?}", notes(&bench));
    assert!(seen.lock().unwrap().is_empty());
}
