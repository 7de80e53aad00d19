use std::io::Write;

use consign_format::error::Coded;
use consign_registry::source::Answer;
use serde_json::json;

use super::*;
use crate::object::{ObjectRef, Origin};

/// Manifests by digest, names by tag; counts nothing and fails for what it does not have.
#[derive(Default)]
struct Fake {
    tags: BTreeMap<String, Descriptor>,
    manifests: BTreeMap<Digest, Vec<u8>>,
    referrers: BTreeMap<Digest, Vec<Descriptor>>,
}

impl Fake {
    fn add(&mut self, value: &serde_json::Value) -> Descriptor {
        let bytes = value.to_string().into_bytes();
        let descriptor = Descriptor::of(value["mediaType"].as_str().unwrap(), &bytes);
        self.manifests.insert(descriptor.digest, bytes);
        descriptor
    }
}

impl ImageSource for Fake {
    fn resolve<'a>(&'a self, reference: &'a Reference) -> Answer<'a, Descriptor> {
        let wanted = reference.to_string();
        let place = "fake".to_owned();
        let found = self.tags.get(&wanted).cloned().ok_or(SourceError::NotFound { wanted, place });
        Box::pin(async move { found })
    }
    fn manifest<'a>(&'a self, _: &'a Reference, digest: &'a Digest) -> Answer<'a, Vec<u8>> {
        let (wanted, place) = (digest.to_string(), "fake".to_owned());
        let found = self.manifests.get(digest).cloned().ok_or(SourceError::NotFound { wanted, place });
        Box::pin(async move { found })
    }
    fn blob<'a>(&'a self, _: &'a Reference, blob: &'a Descriptor, sink: &'a mut (dyn Write + Send)) -> Answer<'a, ()> {
        let bytes = self.manifests.get(&blob.digest).cloned().unwrap_or_default();
        Box::pin(async move {
            sink.write_all(&bytes).unwrap();
            Ok(())
        })
    }
    fn referrers<'a>(&'a self, _: &'a Reference, digest: &'a Digest) -> Answer<'a, Vec<Descriptor>> {
        let found = self.referrers.get(digest).cloned().unwrap_or_default();
        Box::pin(async move { Ok(found) })
    }
}

fn manifest(text: &str) -> serde_json::Value {
    let blob = |kind: &str| json!({"mediaType": kind, "digest": Digest::of(text.as_bytes()), "size": 1});
    json!({"schemaVersion": 2, "mediaType": consign_format::media_type::OCI_MANIFEST,
        "config": blob(consign_format::media_type::OCI_CONFIG),
        "layers": [blob(consign_format::media_type::OCI_LAYER_GZIP)]})
}

fn place(reference: &str, name: &str) -> Found {
    Found {
        reference: reference.to_owned(),
        object: ObjectRef { group: "apps".into(), kind: "Deployment".into(), namespace: "n".into(), name: name.into() },
        field: "/spec/x/image".into(),
        pin: true,
        origin: Origin { entry: "deploy".into(), file: String::new(), document: 1 },
    }
}

fn run(fake: &Fake, found: &[Found], platforms: &[&str]) -> Result<Vec<LockedImage>, ResolveError> {
    let platforms: Vec<Platform> = platforms.iter().map(|p| p.parse().unwrap()).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(resolve(&wanted(found, &[]), &platforms, fake, &consign_terminal::Silent))
}

/// An index of two platforms, with an attestation about the first.
fn multi(fake: &mut Fake) -> (Descriptor, Descriptor, Descriptor) {
    let (amd, arm, about) = (fake.add(&manifest("amd")), fake.add(&manifest("arm")), fake.add(&manifest("about")));
    let entry = |d: &Descriptor, os: &str, arch: &str| {
        json!({"mediaType": d.media_type, "digest": d.digest,
        "size": d.size, "platform": {"os": os, "architecture": arch}})
    };
    let mut attestation = entry(&about, "unknown", "unknown");
    attestation["annotations"] = json!({"vnd.docker.reference.digest": amd.digest});
    let index = fake.add(&json!({"schemaVersion": 2, "mediaType": consign_format::media_type::OCI_INDEX,
        "manifests": [entry(&amd, "linux", "amd64"), entry(&arm, "linux", "arm64"), attestation]}));
    fake.tags.insert("quay.io/a/b:1".into(), index.clone());
    (index, amd, about)
}

#[test]
fn one_reference_is_resolved_once_for_all_its_places() {
    let mut fake = Fake::default();
    let top = fake.add(&manifest("x"));
    fake.tags.insert("docker.io/library/nginx:1".into(), top.clone());
    let found = [place("nginx:1", "b"), place("docker.io/library/nginx:1", "a"), place("nginx:1", "a")];
    let images = run(&fake, &found, &["linux/amd64"]).unwrap();
    assert_eq!(images.len(), 1);
    assert_eq!(images[0].digest, top.digest);
    assert_eq!(images[0].written, ["docker.io/library/nginx:1", "nginx:1"]);
    assert_eq!(images[0].found_in, ["Deployment n/a /spec/x/image", "Deployment n/b /spec/x/image"]);
}

#[test]
fn only_the_wanted_platforms_travel_with_what_attests_them() {
    let mut fake = Fake::default();
    let (index, amd, about) = multi(&mut fake);
    let images = run(&fake, &[place("quay.io/a/b:1", "a")], &["linux/amd64"]).unwrap();
    assert_eq!(images[0].digest, index.digest);
    let mut expected = vec![amd.digest, about.digest];
    expected.sort_unstable();
    assert_eq!(images[0].manifests.iter().map(|m| m.digest).collect::<Vec<_>>(), expected);
    let both = run(&fake, &[place("quay.io/a/b:1", "a")], &["linux/amd64", "linux/arm64"]).unwrap();
    assert_eq!(both[0].manifests.len(), 3);
}

#[test]
fn a_missing_platform_is_named_with_those_that_are_there() {
    let mut fake = Fake::default();
    multi(&mut fake);
    let error = run(&fake, &[place("quay.io/a/b:1", "a")], &["linux/s390x"]).unwrap_err();
    assert_eq!(error.code(), codes::PLATFORM_MISSING);
    assert_eq!(
        error.to_string(),
        "Deployment n/a /spec/x/image: `quay.io/a/b:1` has no linux/s390x, only linux/amd64, linux/arm64"
    );
}

#[test]
fn referrers_of_referrers_are_found_once() {
    let mut fake = Fake::default();
    let top = fake.add(&manifest("x"));
    fake.tags.insert("docker.io/library/nginx:1".into(), top.clone());
    let (sbom, signature) = (fake.add(&manifest("sbom")), fake.add(&manifest("signature")));
    fake.referrers.insert(top.digest, vec![sbom.clone()]);
    // Both refer to each other: the search must end.
    fake.referrers.insert(sbom.digest, vec![signature.clone()]);
    fake.referrers.insert(signature.digest, vec![sbom.clone()]);
    let images = run(&fake, &[place("nginx:1", "a")], &["linux/amd64"]).unwrap();
    let subjects: BTreeMap<_, _> = images[0].referrers.iter().map(|r| (r.digest, r.subject)).collect();
    assert_eq!(subjects, BTreeMap::from([(sbom.digest, top.digest), (signature.digest, sbom.digest)]));
}

#[test]
fn errors_name_object_and_field() {
    let mut fake = Fake::default();
    let error = run(&fake, &[place("quay.io/a/b:1", "a")], &["linux/amd64"]).unwrap_err();
    assert_eq!(error.code(), codes::IMAGE_UNRESOLVED);
    assert_eq!(error.to_string(), "Deployment n/a /spec/x/image: `quay.io/a/b:1` cannot be resolved");

    let mut foreign = manifest("x");
    foreign["layers"][0]["mediaType"] = json!("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip");
    let top = fake.add(&foreign);
    fake.tags.insert("quay.io/a/b:1".into(), top);
    let error = run(&fake, &[place("quay.io/a/b:1", "a")], &["linux/amd64"]).unwrap_err();
    assert_eq!(error.code(), codes::IMAGE_UNSUPPORTED);
}

#[test]
fn an_image_of_one_other_platform_is_refused() {
    let mut fake = Fake::default();
    let config = br#"{"os":"linux","architecture":"arm64"}"#.to_vec();
    let mut image = manifest("x");
    image["config"] = json!(Descriptor::of(consign_format::media_type::OCI_CONFIG, &config));
    fake.manifests.insert(Digest::of(&config), config);
    let top = fake.add(&image);
    fake.tags.insert("quay.io/a/b:1".into(), top);
    let error = run(&fake, &[place("quay.io/a/b:1", "a")], &["linux/amd64"]).unwrap_err();
    assert!(error.to_string().ends_with("`quay.io/a/b:1` has no linux/amd64, only linux/arm64"), "{error}");
    for fits in ["linux/arm64", "linux/arm64/v8"] {
        assert!(run(&fake, &[place("quay.io/a/b:1", "a")], &["linux/amd64", fits]).is_ok(), "{fits}");
    }
}
