//! Charts.

use std::error::Error;
use std::path::Path;
use std::process::Command;

use consign_bundler::render::{Isolation, RenderError};
use consign_bundler::secrets::SecretEntry;
use consign_format::error::{Coded, codes};
use consign_tests::tools::Tool;
use serde_json::{Value, json};

use crate::repository::{Repository, names, tool};

const DEPLOYMENT: &str = "\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ .Release.Name }}
  namespace: {{ .Release.Namespace }}
  labels: {kube: {{ .Capabilities.KubeVersion.Version | quote }}}
spec:
  replicas: {{ .Values.replicas }}
  template:
    spec:
      containers: [{name: web, image: 'registry.example/{{ .Chart.Name }}:{{ .Values.tag }}'}]
{{- if .Capabilities.APIVersions.Has \"monitoring.coreos.com/v1\" }}
---
apiVersion: monitoring.coreos.com/v1
kind: ServiceMonitor
metadata: {name: {{ .Release.Name }}}
{{- end }}
{{- if lookup \"v1\" \"Secret\" .Release.Namespace \"x\" }}
---
this is never rendered
{{- end }}
";

fn hook(name: &str, hooks: &str) -> String {
    format!(
        "apiVersion: batch/v1\nkind: Job\nmetadata: {{name: {name}, annotations: {{helm.sh/hook: '{hooks}'}}}}\n\
         spec: {{template: {{spec: {{containers: [{{name: j, image: 'j:1'}}]}}}}}}\n"
    )
}

fn chart(extra: &[(&str, &str)]) -> Repository {
    let (migrate, test) = (hook("migrate", "pre-install,pre-upgrade"), hook("smoke", "test"));
    let mut files = vec![
        ("charts/viewer/Chart.yaml", "apiVersion: v2\nname: viewer\nversion: 1.2.3\n"),
        ("charts/viewer/values.yaml", "replicas: 1\ntag: v1\n"),
        (
            "charts/viewer/crds/crd.yaml",
            "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: views.x.io}\n",
        ),
        ("charts/viewer/templates/web.yaml", DEPLOYMENT),
        ("charts/viewer/templates/migrate.yaml", &migrate),
        ("charts/viewer/templates/tests/smoke.yaml", &test),
        ("values/site.yaml", "replicas: 3\n"),
    ];
    files.extend(extra);
    Repository::new(&files)
}

fn entry() -> Value {
    json!([{"path": "charts/viewer", "helm": {"release": "view", "values": ["values/site.yaml"]}}])
}

#[test]
fn a_chart_is_rendered_for_the_release() {
    let Some(helm) = tool(Tool::Helm) else { return };
    let rendered = chart(&[]).render(entry(), &[&helm]).unwrap();
    assert_eq!(
        names(&rendered.objects),
        [
            "CustomResourceDefinition views.x.io",
            "Deployment app/view",
            "Job migrate",
            "ServiceMonitor.monitoring.coreos.com view",
        ]
    );
    assert_eq!(rendered.left_out, ["Job smoke"]);
    let web = rendered.objects.iter().find(|o| o.kind() == "Deployment").unwrap();
    assert_eq!(web.value["spec"]["replicas"], 3);
    assert_eq!(web.value["metadata"]["labels"]["kube"], "v1.33.0");
    assert_eq!(web.value["spec"]["template"]["spec"]["containers"][0]["image"], "registry.example/viewer:v1");
    assert!(rendered.objects.iter().any(|o| o.is_hook()));
    assert!(rendered.tools["helm"].starts_with('v'), "{:?}", rendered.tools);
    assert!(rendered.isolation.is_some());
}

#[test]
fn renderers_have_no_network_where_the_kernel_allows_it() {
    let Some(helm) = tool(Tool::Helm) else { return };
    let unshare = Command::new("unshare").args(["--net", "--", "true"]).status();
    let unshare_user = Command::new("unshare").args(["--user", "--map-root-user", "--net", "--", "true"]).status();
    let possible = [unshare, unshare_user].into_iter().any(|status| status.is_ok_and(|status| status.success()));
    let rendered = chart(&[]).render(entry(), &[&helm]).unwrap();
    assert_eq!(rendered.isolation, Some(if possible { Isolation::Namespace } else { Isolation::Proxies }));
}

#[test]
fn a_packaged_chart_gives_the_same_objects() {
    let Some(helm) = tool(Tool::Helm) else { return };
    let repository = chart(&[]);
    let mut package = Command::new(&helm);
    package.current_dir(repository.path()).args(["package", "charts/viewer", "--destination", "packaged"]);
    assert!(package.output().unwrap().status.success());
    repository.commit();
    let plain = repository.render(entry(), &[&helm]).unwrap();
    let mut packaged = entry();
    packaged[0]["path"] = json!("packaged/viewer-1.2.3.tgz");
    let packaged = repository.render(packaged, &[&helm]).unwrap();
    let values = |objects: &[consign_bundler::object::Object]| -> Vec<Value> {
        objects.iter().map(|object| object.value.clone()).collect()
    };
    assert_eq!(values(&plain.objects), values(&packaged.objects));
}

#[test]
fn what_a_template_makes_up_is_refused() {
    let Some(helm) = tool(Tool::Helm) else { return };
    for (made_up, field) in [
        ("{{ randAlphaNum 20 }}", "/data/key"),
        ("{{ uuidv4 }}", "/data/key"),
        ("{{ now | unixEpoch }}", "/data/key"),
        ("{{ now | date \"15h\" }}", "/data/key"),
    ] {
        let text =
            format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: made-up}}\ndata: {{key: 'x{made_up}'}}\n");
        let repository = chart(&[("charts/viewer/templates/made-up.yaml", &text)]);
        let error = repository.render(entry(), &[&helm]).unwrap_err();
        assert_eq!(error.code(), codes::RENDER_NOT_DETERMINISTIC, "{made_up}: {error}");
        let RenderError::NotDeterministic { object, field: at, .. } = &error else { panic!("{error}") };
        assert_eq!((object.as_str(), at.as_str()), ("ConfigMap made-up", field), "{made_up}");
    }
}

#[test]
fn what_never_travels_may_be_made_up() {
    let Some(helm) = tool(Tool::Helm) else { return };
    let secret =
        "apiVersion: v1\nkind: Secret\nmetadata: {name: db}\nstringData: {password: '{{ randAlphaNum 20 }}'}\n";
    let smoke = hook("smoke-{{ randAlphaNum 5 | lower }}", "test");
    let repository =
        chart(&[("charts/viewer/templates/db.yaml", secret), ("charts/viewer/templates/tests/smoke.yaml", &smoke)]);
    assert_eq!(repository.render(entry(), &[&helm]).unwrap_err().code(), codes::RENDER_NOT_DETERMINISTIC);
    let declared: Vec<SecretEntry> = serde_json::from_value(json!([{"name": "db", "mode": "generate"}])).unwrap();
    let rendered = repository.render_with(entry(), &declared, &[&helm]).unwrap();
    assert!(names(&rendered.objects).contains(&"Secret db".to_owned()));
}

#[test]
fn a_dependency_that_is_not_vendored_is_named() {
    let Some(helm) = tool(Tool::Helm) else { return };
    let dependent = "apiVersion: v2\nname: viewer\nversion: 1.2.3\ndependencies:\n\
                     - {name: redis, version: 1.0.0, repository: 'https://charts.example'}\n";
    let lacking = chart(&[("charts/viewer/Chart.yaml", dependent)]);
    let error = lacking.render(entry(), &[&helm]).unwrap_err();
    assert_eq!(error.code(), codes::CHART_DEPENDENCY_MISSING);
    assert!(error.to_string().contains("`redis`"), "{error}");

    let vendored = chart(&[
        ("charts/viewer/Chart.yaml", dependent),
        ("charts/viewer/charts/redis/Chart.yaml", "apiVersion: v2\nname: redis\nversion: 1.0.0\n"),
        ("charts/viewer/charts/redis/templates/x.yaml", "apiVersion: v1\nkind: Service\nmetadata: {name: redis}\n"),
    ]);
    assert!(names(&vendored.render(entry(), &[&helm]).unwrap().objects).contains(&"Service redis".to_owned()));
}

#[test]
fn what_helm_says_is_the_cause() {
    let Some(helm) = tool(Tool::Helm) else { return };
    let repository = chart(&[("charts/viewer/templates/bad.yaml", "{{ required \"set .Values.url\" .Values.url }}")]);
    let error = repository.render(entry(), &[&helm]).unwrap_err();
    assert_eq!(error.code(), codes::TOOL_FAILED);
    let cause = error.source().unwrap();
    assert_eq!(error.to_string(), "`charts/viewer` could not be rendered");
    assert!(cause.source().unwrap().to_string().contains("set .Values.url"), "{cause}");
    let missing = json!([{"path": "charts/viewer", "helm": {"values": ["values/none.yaml"]}}]);
    assert_eq!(repository.render(missing, &[&helm]).unwrap_err().code(), codes::PATH_NOT_FOUND);
    let smuggled = json!([{"path": "charts/viewer", "helm": {"release": "--post-renderer=/bin/sh"}}]);
    assert_eq!(repository.render(smuggled, &[&helm]).unwrap_err().code(), codes::ENTRY_UNCLEAR);
    assert!(Path::new(&helm).exists());
}
