//! Manifests that other projects publish, where `CONSIGN_INPUTS` names a folder that holds them.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use consign_bundler::discover::{discover, suspects};
use consign_bundler::normalise::normalise;
use consign_bundler::object::Object;
use consign_bundler::pin::pin;
use consign_bundler::secrets::settle;
use consign_format::Digest;
use consign_tests::skip;
use serde_json::json;

use crate::repository::Repository;

pub(crate) fn input(name: &str) -> Option<String> {
    let folder = std::env::var_os("CONSIGN_INPUTS").map(PathBuf::from);
    let why = "CONSIGN_INPUTS names no folder with other projects' manifests";
    let how = "not part of this repository";
    let text = folder.and_then(|folder| fs::read_to_string(folder.join(name)).ok());
    skip::unless(text.is_some(), why, how).then(|| text.unwrap())
}

/// Reads one file as a release would be; returns its objects and its images.
fn release(text: &str) -> (Vec<Object>, Vec<String>) {
    let repository = Repository::new(&[("deploy/all.yaml", text)]);
    let rendered = repository.render(json!([{"path": "deploy"}]), &[]).unwrap();
    let objects = normalise(rendered.objects, Some("app")).unwrap();
    let mut objects = settle(objects, &[], Some("app")).unwrap().objects;
    let found = discover(&objects, &[]).unwrap();
    assert_eq!(suspects(&objects, &found), [], "false alarms make people deaf");
    let unpinned: Vec<_> = found.iter().filter(|found| !found.reference.contains('@')).cloned().collect();
    let locked: BTreeMap<_, _> =
        unpinned.iter().map(|f| (f.reference.clone(), Digest::of(f.reference.as_bytes()))).collect();
    pin(&mut objects, &unpinned, &locked).unwrap();
    let again = discover(&objects, &[]).unwrap();
    assert!(again.iter().all(|found| found.reference.contains("@sha256:")));
    let mut images: Vec<_> = found.into_iter().map(|found| found.reference).collect();
    images.sort();
    images.dedup();
    (objects, images)
}

#[test]
fn argo_cd_is_read() {
    let Some(text) = input("argocd-core-install.yaml") else { return };
    let (objects, images) = release(&text);
    let count = |kind: &str| objects.iter().filter(|object| object.kind() == kind).count();
    assert_eq!((count("CustomResourceDefinition"), count("StatefulSet"), count("Namespace")), (3, 1, 1));
    assert_eq!(images.len(), 2, "{images:?}");
    assert!(images.iter().any(|image| image.starts_with("quay.io/argoproj/argocd:")), "{images:?}");
    let scoped = objects.iter().filter(|object| object.namespace().is_empty());
    let kinds: std::collections::BTreeSet<_> = scoped.map(|object| object.kind().to_owned()).collect();
    assert_eq!(
        kinds.into_iter().collect::<Vec<_>>(),
        ["ClusterRole", "ClusterRoleBinding", "CustomResourceDefinition", "Namespace"]
    );
}

#[test]
fn the_boutique_is_read() {
    let Some(text) = input("boutique.yaml") else { return };
    let (objects, images) = release(&text);
    assert_eq!(objects.iter().filter(|object| object.kind() == "Deployment").count(), 12);
    assert!(images.iter().any(|image| image.starts_with("busybox:") && image.contains("@sha256:")), "{images:?}");
    assert_eq!(images.len(), 13, "{images:?}");
}
