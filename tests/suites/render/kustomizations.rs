//! Kustomizations.

use std::path::Path;
use std::process::Command;

use consign_bundler::render::Isolation;
use consign_format::error::{Coded, codes};
use consign_tests::{skip, tools::Tool};
use serde_json::json;

use crate::repository::{Repository, names, tool};

fn repository(extra: &[(&str, &str)]) -> Repository {
    let mut files = vec![
        ("deploy/base/kustomization.yaml", "resources: [web.yaml]\n"),
        (
            "deploy/base/web.yaml",
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec:\n  template:\n    \
          metadata: {labels: {a: b}}\n    spec: {containers: [{name: web, image: 'registry.example/web:v1'}]}\n",
        ),
        (
            "deploy/site/kustomization.yaml",
            "resources: [../base]\nnamePrefix: site-\n\
          images: [{name: registry.example/web, newTag: v2}]\n\
          configMapGenerator: [{name: settings, files: [settings.toml]}]\n",
        ),
        ("deploy/site/settings.toml", "a = 1\n"),
    ];
    files.extend(extra);
    Repository::new(&files)
}

#[test]
fn an_overlay_is_built() {
    let Some(kustomize) = tool(Tool::Kustomize) else { return };
    let rendered = repository(&[]).render(json!([{"path": "deploy/site"}]), &[&kustomize]).unwrap();
    let names = names(&rendered.objects);
    assert!(names[0].starts_with("ConfigMap site-settings-"), "{names:?}");
    assert_eq!(names[1], "Deployment site-web");
    let web = rendered.objects.iter().find(|o| o.kind() == "Deployment").unwrap();
    assert_eq!(web.value["spec"]["template"]["spec"]["containers"][0]["image"], "registry.example/web:v2");
    assert!(rendered.tools["kustomize"].starts_with('v'), "{:?}", rendered.tools);
}

#[test]
fn kubectl_will_do_where_kustomize_is_not_installed() {
    let kubectl = Command::new("kubectl").args(["version", "--client"]).output();
    let usable = kubectl.is_ok_and(|output| output.status.success()) && !Path::new("/usr/bin/kustomize").exists();
    if !skip::unless(usable, "kubectl is not installed, or kustomize is beside it", "apt-get install kubernetes-client")
    {
        return;
    }
    let rendered = repository(&[]).render(json!([{"path": "deploy/site"}]), &[]).unwrap();
    assert_eq!(rendered.objects.len(), 2);
    assert!(rendered.tools["kustomize"].starts_with('v'), "{:?}", rendered.tools);
}

#[test]
fn bases_on_the_network_are_refused_before_anything_runs() {
    for (file, reference) in [
        ("resources: ['https://example.com/x.yaml']\n", "https://example.com/x.yaml"),
        ("resources: [github.com/org/repo//base?ref=v1]\n", "github.com/org/repo//base?ref=v1"),
        ("resources: [web.yaml]\npatches: [{path: 'https://example.com/p.yaml'}]\n", "https://example.com/p.yaml"),
    ] {
        let repository = repository(&[("deploy/base/kustomization.yaml", file)]);
        let error = repository.render(json!([{"path": "deploy/site"}]), &[]).unwrap_err();
        assert_eq!(error.code(), codes::REMOTE_BASE);
        let text = format!("`deploy/site`: deploy/base/kustomization.yaml refers to `{reference}` on the network");
        assert_eq!(error.to_string(), text);
    }
}

/// A program in Kustomize's place tells what it sees: a port of this machine, the environment, its folder.
#[test]
fn a_renderer_sees_nothing_of_the_machine() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let script = format!(
        "#!/bin/bash\nif [ \"$1\" = version ]; then echo v5.0.0; exit; fi\n\
         if (exec 3<>/dev/tcp/127.0.0.1/{}) 2>/dev/null; then net=open; else net=closed; fi\n\
         if type git >/dev/null 2>&1; then git=there; else git=gone; fi\n\
         files=(\"$HOME\"/* \"$HOME\"/.[a-z]*)\n\
         echo \"{{apiVersion: v1, kind: ConfigMap, metadata: {{name: seen}}, data: {{net: $net, git: $git,\"\n\
         echo \"  token: '${{TOKEN:-none}}', home: '${{#files[@]}} ${{files[0]##*/}}', proxy: '$https_proxy'}}}}\"\n",
        listener.local_addr().unwrap().port()
    );
    let tool = folder.path().join("kustomize");
    std::fs::write(&tool, script).unwrap();
    crate::repository::executable(&tool);
    let rendered = repository(&[]).render(json!([{"path": "deploy/site"}]), &[&tool]).unwrap();
    let seen = &rendered.objects[0].value["data"];
    let isolated = rendered.isolation == Some(Isolation::Namespace);
    if skip::unless(isolated, "no network namespace can be made here", "run as root or allow user namespaces") {
        assert_eq!(seen["net"], "closed");
    }
    assert_eq!((seen["git"].as_str(), seen["token"].as_str()), (Some("gone"), Some("none")));
    assert_eq!(seen["home"], "2 *", "an empty home");
    assert_eq!(seen["proxy"], "http://127.0.0.1:9");
}

#[test]
fn a_pointer_instead_of_content_does_not_slip_into_a_configmap() {
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n";
    for file in ["deploy/site/settings.toml", "deploy/base/web.yaml"] {
        let error = repository(&[(file, pointer)]).render(json!([{"path": "deploy/site"}]), &[]).unwrap_err();
        assert_eq!(error.code(), codes::LFS_POINTER, "{error}");
    }
}
