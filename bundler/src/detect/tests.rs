use super::*;

fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = dir.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    dir
}

fn found(files: &[(&str, &str)]) -> Vec<String> {
    let dir = tree(files);
    let shown =
        |c: Candidate| format!("{:?} {}{}", c.kind, c.path, if c.left_out.is_some() { " (left out)" } else { "" });
    detect(dir.path()).candidates.into_iter().map(shown).collect()
}

const OBJECT: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n";

#[test]
fn each_kind_is_found_once() {
    let found = found(&[
        ("charts/viewer/Chart.yaml", "name: viewer\n"),
        ("charts/viewer/templates/a.yaml", OBJECT),
        ("charts/viewer/charts/sub/Chart.yaml", "name: sub\n"),
        ("deploy/base/kustomization.yaml", "resources: [a.yaml]\n"),
        ("deploy/base/a.yaml", OBJECT),
        ("deploy/overlays/prod/kustomization.yaml", "resources: [../../base]\n"),
        ("deploy/overlays/dev/kustomization.yaml", "resources: [../../base]\n"),
        ("manifests/a.yaml", OBJECT),
        ("manifests/deep/b.yaml", OBJECT),
        ("mixed/a.yaml", OBJECT),
        ("mixed/values.yaml", "replicas: 2\n"),
        ("crd.yaml", OBJECT),
        (".github/workflows/ci.yaml", "on: push\n"),
    ]);
    assert_eq!(
        found,
        [
            "Kustomize deploy/overlays/dev (left out)",
            "Kustomize deploy/overlays/prod",
            "Helm charts/viewer",
            "Plain crd.yaml",
            "Plain manifests",
            "Plain mixed/a.yaml",
        ]
    );
}

#[test]
fn a_file_that_a_kustomization_uses_is_not_said_twice() {
    let found = found(&[("kustomization.yaml", "resources: [boutique.yaml]\n"), ("boutique.yaml", OBJECT)]);
    assert_eq!(found, ["Kustomize ."]);
}

#[test]
fn plain_secrets_with_data_are_noticed() {
    let dir = tree(&[("a.yaml", "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {a: b}\n")]);
    let secrets = detect(dir.path()).secrets;
    assert_eq!(secrets, BTreeSet::from([(String::new(), "s".to_owned())]));
}
