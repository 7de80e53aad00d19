//! Install, install again, remove, go back.

use consign_installer::handoff::{Action, Policy};
use serde_json::{Value, json};

use super::bench::*;

/// Every kind that an ordinary release has, and a definition with an object of it.
fn everything(product: &str) -> Vec<Value> {
    let group = format!("{product}.example");
    let named = |kind: &str, version: &str, rest: Value| {
        let mut object = json!({"apiVersion": version, "kind": kind, "metadata": {"name": product}});
        object.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
        object
    };
    let template = pod_template("set", "demo/set");
    let selector = json!({"matchLabels": {"app": "set"}});
    let role = |kind: &str| json!({"kind": kind, "name": product, "apiGroup": "rbac.authorization.k8s.io"});
    let rbac = "rbac.authorization.k8s.io/v1";
    vec![
        named(
            "ValidatingWebhookConfiguration",
            "admissionregistration.k8s.io/v1",
            json!({"webhooks": [{
            "name": format!("check.{group}"), "sideEffects": "None", "admissionReviewVersions": ["v1"],
            "clientConfig": {"service": {"name": "web", "namespace": product}},
            "rules": [{"apiGroups": ["nothing.example"], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["nothings"]}]}]}),
        ),
        deployment("web", "demo/web"),
        named(
            "StatefulSet",
            "apps/v1",
            json!({"spec": {"serviceName": "set", "replicas": 1, "selector": selector, "template": template}}),
        ),
        named(
            "DaemonSet",
            "apps/v1",
            json!({"spec": {"selector": {"matchLabels": {"app": "agent"}}, "template": pod_template("agent", "demo/agent")}}),
        ),
        job("migrate", "demo/migrate"),
        named(
            "CronJob",
            "batch/v1",
            json!({"spec": {"schedule": "0 0 1 1 *", "jobTemplate": {"spec": {"template": job("x", "demo/x")["spec"]["template"]}}}}),
        ),
        named("Service", "v1", json!({"spec": {"selector": {"app": "web"}, "ports": [{"port": 80}]}})),
        named(
            "Ingress",
            "networking.k8s.io/v1",
            json!({"spec": {"defaultBackend": {"service": {"name": product, "port": {"number": 80}}}}}),
        ),
        named("NetworkPolicy", "networking.k8s.io/v1", json!({"spec": {"podSelector": {}}})),
        named(
            "PodDisruptionBudget",
            "policy/v1",
            json!({"spec": {"maxUnavailable": 1, "selector": {"matchLabels": {"app": "web"}}}}),
        ),
        named("ServiceAccount", "v1", json!({})),
        named("Role", rbac, json!({"rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]})),
        named(
            "RoleBinding",
            rbac,
            json!({"roleRef": role("Role"), "subjects": [{"kind": "ServiceAccount", "name": product, "namespace": product}]}),
        ),
        named("ClusterRole", rbac, json!({"rules": []})),
        named(
            "ClusterRoleBinding",
            rbac,
            json!({"roleRef": role("ClusterRole"), "subjects": [{"kind": "ServiceAccount", "name": product, "namespace": product}]}),
        ),
        named("PriorityClass", "scheduling.k8s.io/v1", json!({"value": 10})),
        named("Secret", "v1", json!({"stringData": {"password": "hunter2"}})),
        config_map("settings"),
        named("Viewer", &format!("{group}/v1"), json!({"spec": {"image": "demo/viewer"}})),
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": product}}),
        json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {"name": format!("viewers.{group}")},
            "spec": {"group": group, "scope": "Namespaced", "names": {"kind": "Viewer", "plural": "viewers"},
                "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {
                    "type": "object", "x-kubernetes-preserve-unknown-fields": true}}}]}}),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn an_install_shows_everything_and_a_second_one_writes_nothing() {
    let mut bench = Bench::new().await;
    let desired = release("lifeall", everything("lifeall"));
    let total = desired.objects.len() as u64;

    let plan = bench.plan(&desired).await;
    assert!(!plan.predicted.is_empty(), "what needs the new namespace cannot be asked about yet");
    assert_eq!(plan.changes.counts().created, total);
    assert_eq!(live("namespace lifeall"), None, "a plan writes nothing");

    let changes = bench.apply(&desired).await.unwrap();
    assert_eq!(changes.counts().created, total, "{:?}", changed(&changes));
    let order: Vec<_> = changes.entries.iter().map(|one| one.key.kind.kind.as_str()).collect();
    let place = |kind: &str| order.iter().position(|one| *one == kind).unwrap();
    for pair in [
        "CustomResourceDefinition",
        "PriorityClass",
        "ServiceAccount",
        "Deployment",
        "Viewer",
        "ValidatingWebhookConfiguration",
    ]
    .windows(2)
    {
        assert!(place(pair[0]) < place(pair[1]), "{order:?}");
    }
    let report = bench.healthy(&desired, LONG).await;
    assert!(report.is_healthy(), "{:?}", report.reasons());
    assert_eq!(report.objects, total);
    for entry in &changes.entries {
        let kind = entry.key.kind.to_dotted();
        let namespace =
            if entry.key.namespace.is_empty() { String::new() } else { format!("-n {}", entry.key.namespace) };
        assert!(live(&format!("{kind} {} {namespace}", entry.key.name)).is_some(), "{entry}");
    }

    let kinds = "cm,secret,sa,role,rolebinding,svc,ingress,netpol,deploy,sts,ds,job,cronjob,clusterrole,clusterrolebinding,priorityclass,crd,viewers.lifeall.example,ns,validatingwebhookconfigurations";
    let before = versions("lifeall", kinds);
    assert_eq!(before.len() as u64, total, "all but the budget, and the parent: {before:?}");
    let again = bench.apply(&desired).await.unwrap();
    assert_eq!(
        (again.counts().created, again.counts().configured, again.counts().deleted),
        (0, 0, 0),
        "{:?}",
        changed(&again)
    );
    assert_eq!(again.counts().unchanged, total);
    assert_eq!(versions("lifeall", kinds), before, "the second install moved a resource version");
    assert!(bench.plan(&desired).await.changes.is_unchanged());

    let said = format!("{:?}", bench.events);
    assert!(!said.contains("hunter2") && !said.contains("aHVudGVyMg"), "an event shows a Secret");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_left_the_release_is_pruned_and_nothing_else() {
    let mut bench = Bench::new().await;
    let claim = json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}});
    let mut asked_to_stay = config_map("stays");
    asked_to_stay["metadata"]["annotations"] = json!({"helm.sh/resource-policy": "keep"});
    let objects = vec![config_map("first"), config_map("second"), deployment("web", "demo/web"), claim, asked_to_stay];
    let full = release("lifeprune", objects.clone());
    bench.apply(&full).await.unwrap();
    kubectl_with(&["create", "-n", "lifeprune"], &config_map("somebody-elses")).unwrap();

    let smaller = release("lifeprune", vec![objects[0].clone(), objects[2].clone()]);
    let plan = bench.plan(&smaller).await;
    let changes = bench.apply(&smaller).await.unwrap();
    let lines = changed(&changes);
    assert_eq!(
        lines,
        [
            "PersistentVolumeClaim lifeprune/data skipped (kept: a PersistentVolumeClaim is pruned only where the release allows it)",
            "ConfigMap lifeprune/stays skipped (kept: helm.sh/resource-policy says keep)",
            "ConfigMap lifeprune/second deleted",
        ]
    );
    assert_eq!(changed(&plan.changes), lines, "the plan said so before");
    assert_eq!(live("cm second -n lifeprune"), None);
    for kept in ["cm first", "cm stays", "cm somebody-elses", "pvc data", "deploy web"] {
        assert!(live(&format!("{kept} -n lifeprune")).is_some(), "{kept}");
    }
    let orphan = live("pvc data -n lifeprune").unwrap();
    assert!(
        orphan["metadata"]["labels"].get("applyset.kubernetes.io/part-of").is_none(),
        "it still claims to be a member"
    );
    let parent = live("secret consign-lifeprune -n consign-system").unwrap();
    let annotations = &parent["metadata"]["annotations"];
    assert_eq!(annotations["applyset.kubernetes.io/contains-group-kinds"], "ConfigMap,Deployment.apps");
    assert_eq!(annotations["applyset.kubernetes.io/additional-namespaces"], "lifeprune");
    assert_eq!(annotations["applyset.kubernetes.io/tooling"], "consign/0.1.0");

    assert!(changed(&bench.apply(&smaller).await.unwrap()).is_empty());

    // Back in the release, the claim is a member again; allowed, it goes.
    bench.apply(&full).await.unwrap();
    let allow = Policy { allow_prune: vec!["PersistentVolumeClaim".into()], ..Policy::default() };
    let changes = bench.apply_with(&smaller, &allow).await.unwrap();
    assert!(changes.having(Action::Deleted).any(|key| key.name == "data"), "{:?}", changed(&changes));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_brings_the_previous_objects_back() {
    let mut bench = Bench::new().await;
    let mut old_settings = config_map("settings");
    old_settings["data"] = json!({"mode": "old", "gone": "later"});
    let previous = release("liferoll", vec![old_settings, deployment("web", "demo/web:1"), config_map("left")]);
    bench.apply(&previous).await.unwrap();
    assert!(bench.healthy(&previous, LONG).await.is_healthy());

    let mut settings = config_map("settings");
    settings["data"] = json!({"mode": "new"});
    let mut broken = deployment("web", "demo/web:2");
    broken["spec"]["template"]["metadata"]["annotations"] =
        json!({"sim.consign.dev/waiting": "ImagePullBackOff", "sim.consign.dev/message": "no such image demo/web:2"});
    let next = release("liferoll", vec![settings, broken, config_map("new-one")]);
    bench.apply(&next).await.unwrap();
    let report = bench.healthy(&next, SHORT).await;
    assert!(!report.is_healthy());
    assert_eq!(live("cm left -n liferoll"), None);

    let back = bench.rollback(&previous).await;
    assert!(back.health.is_healthy(), "{:?}", back.health.reasons());
    assert_eq!(
        back.changes.having(Action::Deleted).map(ToString::to_string).collect::<Vec<_>>(),
        ["ConfigMap liferoll/new-one"]
    );
    assert_eq!(live("cm settings -n liferoll").unwrap()["data"], json!({"mode": "old", "gone": "later"}));
    assert_eq!(
        live("deploy web -n liferoll").unwrap()["spec"]["template"]["spec"]["containers"][0]["image"],
        "demo/web:1"
    );
    assert!(live("cm left -n liferoll").is_some());
    assert_eq!(live("cm new-one -n liferoll"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_argo_cd_with_its_large_definition_is_applied() {
    let inputs = std::env::var_os("CONSIGN_INPUTS");
    if !consign_tests::skip::unless(
        inputs.is_some(),
        "CONSIGN_INPUTS is not set",
        "let it name the folder with argocd-core-install.yaml",
    ) {
        return;
    }
    let file = std::path::Path::new(&inputs.unwrap()).join("argocd-core-install.yaml");
    let text = kubectl(&["create", "--dry-run=client", "--validate=false", "-o", "json", "-f", file.to_str().unwrap()])
        .unwrap();
    // kubectl prints one document per object.
    let stream = serde_json::Deserializer::from_str(&text).into_iter::<Value>();
    let objects: Vec<Value> = stream
        .map(Result::unwrap)
        .flat_map(|one| match one["items"].as_array() {
            Some(items) => items.clone(),
            None => vec![one],
        })
        .map(|mut object| {
            if object["metadata"]["namespace"] == "default" {
                object["metadata"].as_object_mut().unwrap().remove("namespace");
            }
            object
        })
        .collect();
    let largest = objects.iter().map(|one| one.to_string().len()).max().unwrap();
    // 1.4 MB as YAML. More than an annotation may hold, which is where client-side apply ends.
    assert!(largest > 262_144, "{largest}");
    let mut bench = Bench::new().await;
    let desired = release("lifeargo", objects);
    let changes = bench.apply(&desired).await.unwrap();
    assert_eq!(changes.counts().created as usize, desired.objects.len() + 1, "and the namespace");
    let report = bench.healthy(&desired, LONG).await;
    assert!(report.is_healthy(), "{:?}", report.reasons());
    assert!(bench.apply(&desired).await.unwrap().is_unchanged());
}
