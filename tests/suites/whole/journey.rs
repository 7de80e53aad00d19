//! From a repository to a site's registry, seen with the eyes of other tools: tar, skopeo, curl.

use std::process::Command;

use consign_format::Digest;
use consign_tests::desk::{Desk, Pinned, pinned};
use consign_tests::images::{Form, IMAGES, run};
use consign_tests::site::Site;
use serde_json::Value;

/// `tar -tf` shows the head first, and nothing but blobs after the index.
#[test]
fn tar_lists_the_head_first() {
    if !Desk::is_possible() {
        return;
    }
    let (_, bundle) = Desk::shared();
    let listed = run(Command::new("tar").arg("-tf").arg(bundle));
    let members: Vec<&str> = listed.lines().collect();
    assert_eq!(members[0], "consign-format");
    let head = members.iter().take_while(|name| !name.starts_with("oci-layout")).count();
    assert!(members[1..head].iter().any(|name| name.starts_with("metadata/")), "{listed}");
    assert_eq!(members[head..head + 2], ["oci-layout", "index.json"], "{listed}");
    let payload = &members[head + 2..];
    let known = |name: &&str| name.starts_with("blobs/sha256/") || name.starts_with("packed/sha256/");
    assert!(payload.len() > 20 && payload.iter().all(&known), "{listed}");
    assert!(!members[..head].iter().any(known), "{listed}");
}

/// What was found in the sample is what is in it: every image, no more, in the form it had.
#[test]
fn every_image_of_the_sample_is_pinned_to_what_its_registry_has() {
    if !Desk::is_possible() {
        return;
    }
    let (desk, bundle) = Desk::shared();
    let inspected = desk.inspect(bundle);
    let found: Vec<(String, String)> =
        pinned(&inspected).into_iter().map(|image| (format!("{}:{}", image.name, image.tag), image.digest)).collect();
    let mut expected: Vec<(String, String)> = [
        "docker.io/library/busybox:1.38.0",
        "docker.io/library/nginx:1.22",
        "docker.io/library/postgres:15",
        "ghcr.io/lumen/node-agent:0.4",
        "ghcr.io/lumen/router:1.9",
        "quay.io/lumen/archive:2.3.1",
        "registry.lumen.example/models/nodule:7",
    ]
    .map(|reference| (reference.to_owned(), desk.images.digest(reference)))
    .to_vec();
    expected.sort();
    assert_eq!(found, expected);
    assert!(inspected["bytes"].as_u64().unwrap() > 200 << 20, "images of some size: {}", inspected["bytes"]);
}

/// `skopeo inspect oci-archive:X.consign:REF`, for every image. (Skopeo passes over the entries of an OCI layout that
/// have a media type of Docker's; of those the index itself is asked.)
#[test]
fn skopeo_reads_the_images_out_of_the_bundle() {
    if !Desk::is_possible() {
        return;
    }
    let (desk, bundle) = Desk::shared();
    let index = run(Command::new("tar").arg("-xOf").arg(bundle).arg("index.json"));
    let index: Value = serde_json::from_str(&index).unwrap();
    for image in pinned(&desk.inspect(bundle)) {
        let name = format!("{}:{}", image.name, image.tag);
        let named = |entry: &&Value| entry["annotations"]["org.opencontainers.image.ref.name"] == name;
        let entry = index["manifests"].as_array().unwrap().iter().find(named).unwrap_or_else(|| panic!("no {name}"));
        assert_eq!(entry["digest"], image.digest, "{name}");
        if entry["mediaType"].as_str().unwrap().contains("docker") {
            continue;
        }
        let at = format!("oci-archive:{}:{name}", bundle.display());
        let raw = run(skopeo(desk).args(["--override-arch=amd64", "inspect", "--raw", &at]));
        assert_eq!(Digest::of(raw.as_bytes()).to_string(), image.digest, "{at}");
        let config = run(skopeo(desk).args(["--override-arch=amd64", "inspect", "--config", &at]));
        assert!(config.contains(&name), "{at} has another image's label: {config}");
    }
}

/// `skopeo copy` from the site's registry gives the digest that was pinned, for every image of the release.
#[test]
fn the_site_serves_what_was_pinned() {
    if !Desk::is_possible() {
        return;
    }
    let (desk, bundle) = Desk::shared();
    let site = Site::enrolled(&desk.trust());
    let done = site.export(bundle).arg("--json").succeeds().json();
    assert_eq!(done["outcome"], "applied", "{done}");
    let served = site.serve();
    let images = pinned(&desk.inspect(bundle));
    assert_eq!(images.iter().filter(|image| image.is_index).count(), 1, "{images:?}");
    for image in &images {
        for name in [format!("{}:{}", image.name, image.tag), format!("{}@{}", image.name, image.digest)] {
            assert_eq!(Digest::of(served.manifest(&name).as_bytes()).to_string(), image.digest, "{name}");
            let to = desk.folder().join("copied");
            let mut copy = skopeo(desk);
            copy.args(["--override-arch=amd64", "copy", "--quiet", "--preserve-digests", "--src-tls-verify=false"]);
            run(copy.arg(served.docker(&name)).arg(format!("dir:{}", to.display())));
            check_copy(desk, image, &std::fs::read_to_string(to.join("manifest.json")).unwrap());
            std::fs::remove_dir_all(to).unwrap();
        }
    }
}

/// What skopeo copied is the image itself, or the one manifest of it for our platform.
fn check_copy(desk: &Desk, image: &Pinned, manifest: &str) {
    let copied = Digest::of(manifest.as_bytes()).to_string();
    if !image.is_index {
        assert_eq!(copied, image.digest, "{image:?}");
        return;
    }
    let source = format!("{}:{}", image.name, image.tag);
    let index = run(skopeo(desk).args(["inspect", "--raw", &desk.images.source(&source)]));
    let index: Value = serde_json::from_str(&index).unwrap();
    let ours = index["manifests"].as_array().unwrap().iter().find(|entry| entry["platform"]["architecture"] == "amd64");
    assert_eq!(ours.unwrap()["digest"], copied, "{image:?}");
}

/// What refers to an image is found beside it: by the referrers API, and by cosign's tag.
#[test]
fn the_site_serves_what_refers_to_an_image() {
    if !Desk::is_possible() {
        return;
    }
    let (desk, bundle) = Desk::shared();
    let site = Site::enrolled(&desk.trust());
    site.export(bundle).succeeds();
    let served = site.serve();
    let signed = IMAGES.iter().find(|image| image.form == Form::Signed).unwrap().reference;
    let (name, _) = signed.rsplit_once(':').unwrap();
    let digest = desk.images.digest(signed);
    let url = format!("http://{}/v2/{name}/referrers/{digest}", served.address());
    let said = run(Command::new("curl").args(["--silent", "--show-error", "--fail", &url]));
    let index: Value = serde_json::from_str(&said).unwrap();
    let kinds: Vec<&Value> =
        index["manifests"].as_array().unwrap().iter().map(|entry| &entry["artifactType"]).collect();
    assert_eq!(kinds, ["application/spdx+json"], "{said}");
    let sbom = served.manifest(&format!("{name}@{}", index["manifests"][0]["digest"].as_str().unwrap()));
    assert!(sbom.contains(&digest), "{sbom}");
    let signature = served.manifest(&format!("{name}:{}.sig", digest.replace(':', "-")));
    assert!(signature.contains("simplesigning"), "{signature}");
}

/// The platforms that nobody asked for stay behind, and the index is none the less the one that was pinned.
#[test]
fn an_index_is_sparse_and_verbatim() {
    if !Desk::is_possible() {
        return;
    }
    let (desk, bundle) = Desk::shared();
    let listed = run(Command::new("tar").arg("-tf").arg(bundle));
    let reference = "docker.io/library/busybox:1.38.0";
    let index = run(skopeo(desk).args(["inspect", "--raw", &desk.images.source(reference)]));
    let index: Value = serde_json::from_str(&index).unwrap();
    let member = |digest: &str| format!("blobs/sha256/{}", digest.strip_prefix("sha256:").unwrap());
    assert!(listed.lines().any(|name| name == member(&desk.images.digest(reference))));
    for entry in index["manifests"].as_array().unwrap() {
        let there = listed.lines().any(|name| name == member(entry["digest"].as_str().unwrap()));
        assert_eq!(there, entry["platform"]["architecture"] == "amd64", "{entry}");
    }
}

/// Skopeo with its temporary files where they are removed.
fn skopeo(desk: &Desk) -> Command {
    let mut command = Command::new("skopeo");
    command.env("TMPDIR", desk.folder());
    command
}
