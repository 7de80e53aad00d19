//! Kustomizations.

use std::path::Path;
use std::process::Command;

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

#[test]
fn a_pointer_instead_of_content_does_not_slip_into_a_configmap() {
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n";
    for file in ["deploy/site/settings.toml", "deploy/base/web.yaml"] {
        let error = repository(&[(file, pointer)]).render(json!([{"path": "deploy/site"}]), &[]).unwrap_err();
        assert_eq!(error.code(), codes::LFS_POINTER, "{error}");
    }
}
