//! Our client against a registry by others, and our reader against archives by others, on images by others.

use std::io::{self, Write};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use consign_format::layout::REF_NAME;
use consign_format::{Descriptor, Digest, DigestWriter, Limits, Reference, media_type};
use consign_registry::manifest::{Manifest, Pointers};
use consign_registry::source::cosign_tag;
use consign_registry::{ImageSource, LocalImages, RegistryOptions, RemoteRegistry, SourceError};
use consign_tests::images::{self, Images};
use consign_tests::registry::{DockerRegistry, Options};
use consign_tests::skip;

use crate::site::run;

/// One of each form: Docker schema 2, an index, an image with signature and SBOM.
const NAMES: [&str; 3] =
    ["docker.io/library/nginx:1.22", "docker.io/library/busybox:1.38.0", "quay.io/lumen/archive:2.3.1"];

fn can_run() -> bool {
    let missing = images::missing();
    skip::unless(missing.is_none(), &missing.unwrap_or_default(), images::HOW)
}

fn options(registry: &DockerRegistry) -> RegistryOptions {
    RegistryOptions {
        mirrors: images::mirrors(registry),
        plain_http: vec![registry.address()],
        tries: 2,
        first_pause: Duration::from_millis(1),
        ..RegistryOptions::default()
    }
}

fn reference(text: &str) -> Reference {
    text.parse().unwrap()
}

/// Follows an image to its last blob, every byte checked, and returns how many blobs there were.
async fn pull_all(source: &dyn ImageSource, reference: &Reference, top: &Descriptor) -> usize {
    let (mut waiting, mut count) = (vec![top.clone()], 0);
    while let Some(descriptor) = waiting.pop() {
        count += 1;
        if !media_type::is_manifest(&descriptor.media_type) {
            let mut sink = DigestWriter::new(io::sink());
            source.blob(reference, &descriptor, &mut sink as &mut (dyn Write + Send)).await.unwrap();
            let (_, digest, size) = sink.finish();
            assert_eq!((digest, size), (descriptor.digest, descriptor.size));
            continue;
        }
        let bytes = source.manifest(reference, &descriptor.digest).await.unwrap();
        assert_eq!((Digest::of(&bytes), bytes.len() as u64), (descriptor.digest, descriptor.size));
        let manifest = Manifest::parse(&bytes, Some(&descriptor.media_type)).unwrap();
        waiting.extend(manifest.pointers().into_iter().cloned());
    }
    count
}

#[tokio::test(flavor = "multi_thread")]
async fn every_form_is_pulled_with_its_digest() {
    if !can_run() {
        return;
    }
    let images = Images::get();
    let registry = images.registry();
    let source = RemoteRegistry::new(options(&registry)).unwrap();
    for name in NAMES {
        let reference = reference(name);
        let top = source.resolve(&reference).await.unwrap();
        assert_eq!(top.digest.to_string(), images.digest(name), "{name}");
        assert!(pull_all(&source, &reference, &top).await > 2, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_refers_to_an_image_is_found_without_the_api() {
    if !can_run() {
        return;
    }
    let images = Images::get();
    let registry = images.registry();
    let source = RemoteRegistry::new(options(&registry)).unwrap();
    let archive = reference("quay.io/lumen/archive:2.3.1");
    let top = source.resolve(&archive).await.unwrap();
    let found = source.referrers(&archive, &top.digest).await.unwrap();
    let tag = cosign_tag(&top.digest, "sig");
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found.iter().any(|referrer| referrer.annotations.get(REF_NAME) == Some(&tag)), "{found:?}");
    assert!(found.iter().any(|referrer| referrer.artifact_type.is_some()), "{found:?}");
    for referrer in &found {
        assert!(pull_all(&source, &archive, referrer).await > 1);
    }
    let nginx = reference(NAMES[0]);
    let top = source.resolve(&nginx).await.unwrap();
    assert_eq!(source.referrers(&nginx, &top.digest).await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_and_an_authority_are_needed_where_they_are_set() {
    if !can_run() {
        return;
    }
    let images = Images::get();
    let registry = images.registry_with(Options { tls: true, password: true, ..Options::default() });
    let folder = tempfile::tempdir().unwrap();
    let busybox = reference(NAMES[1]);
    let full = RegistryOptions {
        plain_http: Vec::new(),
        ca_files: registry.authority().into_iter().collect(),
        docker_config: Some(registry.docker_config(folder.path())),
        ..options(&registry)
    };
    let top = RemoteRegistry::new(full.clone()).unwrap().resolve(&busybox).await.unwrap();
    assert_eq!(top.digest.to_string(), images.digest(NAMES[1]));

    let anonymous = RemoteRegistry::new(RegistryOptions { docker_config: None, ..full.clone() }).unwrap();
    let error = anonymous.resolve(&busybox).await.unwrap_err();
    assert!(matches!(error, SourceError::Unauthorized { had_credentials: false, .. }), "{error:?}");

    let no_authority = RemoteRegistry::new(RegistryOptions { ca_files: Vec::new(), ..full.clone() });
    let error = no_authority.unwrap().resolve(&busybox).await.unwrap_err();
    assert!(matches!(error, SourceError::Unreachable { .. }), "{error:?}");

    let plain = RemoteRegistry::new(RegistryOptions { plain_http: vec![registry.address()], ..full }).unwrap();
    assert!(plain.resolve(&busybox).await.is_err(), "a password went over plain HTTP and was taken");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_is_told_from_who_is_not_there() {
    if !skip::unless(DockerRegistry::is_installed(), "docker-registry is not installed", images::HOW) {
        return;
    }
    let registry = DockerRegistry::start();
    let address = registry.address();
    let source = RemoteRegistry::new(options(&registry)).unwrap();
    for name in [format!("{address}/none:1"), format!("{address}/none@{}", Digest::of(b"none"))] {
        let error = source.resolve(&reference(&name)).await.unwrap_err();
        let expected = name.clone();
        assert!(
            matches!(&error, SourceError::NotFound { wanted, place } if *wanted == expected && *place == address),
            "{error:?}"
        );
    }
    drop(registry);
    let error = source.resolve(&reference(&format!("{address}/none:1"))).await.unwrap_err();
    assert!(matches!(&error, SourceError::Unreachable { place, .. } if *place == address), "{error:?}");
}

fn skopeo(from: &str, to: &str, flags: &[&str]) {
    run(Command::new("skopeo").args(["copy", "--quiet"]).args(flags).args([from, to]));
}

fn open(path: &Path) -> LocalImages {
    LocalImages::open(path, &Limits::DEFAULT).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn archives_by_others_are_read_in_place() {
    if !can_run() {
        return;
    }
    let images = Images::get();
    let folder = tempfile::tempdir().unwrap();
    let busybox = reference(NAMES[1]);
    let oci = folder.path().join("oci.tar");
    let from = images.source(NAMES[1]);
    skopeo(&from, &format!("oci-archive:{}:{}", oci.display(), NAMES[1]), &["--all", "--preserve-digests"]);
    let source = open(&oci);
    let top = source.resolve(&busybox).await.unwrap();
    assert_eq!(top.digest.to_string(), images.digest(NAMES[1]));
    assert!(pull_all(&source, &busybox, &top).await > 4);

    // The form of `docker save` before Docker 25: no manifest in it, layers as plain tars.
    let docker = folder.path().join("docker.tar");
    skopeo(&from, &format!("docker-archive:{}:{}", docker.display(), NAMES[1]), &[]);
    let source = open(&docker);
    let top = source.resolve(&busybox).await.unwrap();
    assert_eq!(top.media_type, media_type::DOCKER_MANIFEST);
    let bytes = source.manifest(&busybox, &top.digest).await.unwrap();
    let Pointers::Image { layers, .. } = Manifest::parse(&bytes, None).unwrap().content else { panic!("an index") };
    assert!(layers.iter().all(|layer| layer.media_type == media_type::DOCKER_LAYER_TAR), "{layers:?}");
    assert_eq!(pull_all(&source, &busybox, &top).await, layers.len() + 2);
}
