//! A site with one small release, whose images runtimes can unpack: several hosts, two of them with the same path.

use consign_format::{Descriptor, Digest, media_type};
use consign_tests::forge::Forge;
use consign_tests::forge::content::{Content, manifest};
use consign_tests::site::Site;
use serde_json::{Value, json};

/// Every image of the release, by tag. The second and the third have one path, and other content.
pub(crate) const IMAGES: [&str; 5] = [
    "docker.io/library/lamp:1",
    "quay.io/team/app:1",
    "ghcr.io/team/app:1",
    "corp.example:5000/team/app:2",
    "registry.k8s.io/multi:3",
];

/// The hosts that they name.
pub(crate) const HOSTS: [&str; 5] = ["corp.example:5000", "docker.io", "ghcr.io", "quay.io", "registry.k8s.io"];

/// A site that has installed it, and the digest of each image, in their order.
pub(crate) struct Ward {
    pub(crate) site: Site,
    pub(crate) digests: Vec<Digest>,
}

impl Ward {
    pub(crate) fn new() -> Self {
        Ward::with_layer("", 0)
    }

    /// The first image has `size` bytes more in its layer.
    pub(crate) fn with_layer(word: &str, size: usize) -> Self {
        let mut content = Content::of(1, &[object()]);
        let mut digests = Vec::new();
        for (n, reference) in IMAGES.iter().enumerate() {
            let ballast = if n == 0 { word.bytes().cycle().take(size).collect() } else { Vec::new() };
            let text = [reference.as_bytes(), &ballast].concat();
            let image = image(&mut content, reference, &text);
            digests.push(if *reference == "registry.k8s.io/multi:3" {
                index(&mut content, reference, &image)
            } else {
                content.image_of(reference, media_type::OCI_MANIFEST, &image)
            });
        }
        let forge = Forge::new(1).with(|forge| forge.content = content);
        let folder = tempfile::tempdir().unwrap();
        let (root, bundle) = (folder.path().join("1.root.json"), folder.path().join("lamp.consign"));
        std::fs::write(&root, &forge.roots[0]).unwrap();
        std::fs::write(&bundle, forge.bundle()).unwrap();
        let site = Site::bare();
        site.enrol(&root).succeeds();
        site.export(&bundle).succeeds();
        Ward { site, digests }
    }

    /// The images by tag, then by digest.
    pub(crate) fn references(&self) -> Vec<String> {
        let by_digest = |(tagged, digest): (&&str, &Digest)| {
            let name = tagged.rsplit_once(':').unwrap().0;
            format!("{name}@{digest}")
        };
        let tagged = IMAGES.iter().map(|reference| (*reference).to_owned());
        tagged.chain(IMAGES.iter().zip(&self.digests).map(by_digest)).collect()
    }
}

fn object() -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "lamp", "namespace": "lamp"}, "data": {}})
}

/// The manifest of an image with one file in its one layer.
fn image(content: &mut Content, author: &str, text: &[u8]) -> Value {
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_ustar();
    header.set_size(text.len() as u64);
    header.set_mode(0o644);
    tar.append_data(&mut header, "about", text).unwrap();
    let layer = content.blob("layer", media_type::OCI_LAYER_TAR, &tar.into_inner().unwrap());
    let config = json!({"architecture": architecture(), "os": "linux", "author": author,
        "rootfs": {"type": "layers", "diff_ids": [layer.digest]}});
    let config = content.blob("config", media_type::OCI_CONFIG, config.to_string().as_bytes());
    manifest(&config, &[layer])
}

/// An index of two platforms, of which only this machine's is carried.
fn index(content: &mut Content, reference: &str, image: &Value) -> Digest {
    let here = content.blob("manifest", media_type::OCI_MANIFEST, image.to_string().as_bytes());
    let absent = Descriptor::of(media_type::OCI_MANIFEST, b"not carried");
    let entry = |descriptor: &Descriptor, architecture: &str| {
        json!({"mediaType": descriptor.media_type, "digest": descriptor.digest, "size": descriptor.size,
            "platform": {"os": "linux", "architecture": architecture}})
    };
    let index = json!({"schemaVersion": 2, "mediaType": media_type::OCI_INDEX,
        "manifests": [entry(&absent, "s390x"), entry(&here, architecture())]});
    let digest = content.blob("index", media_type::OCI_INDEX, index.to_string().as_bytes()).digest;
    let image = json!({"reference": format!("{reference}@{digest}"), "digest": digest,
        "platforms": [format!("linux/{}", architecture())]});
    content.fields["images"].as_array_mut().unwrap().push(image);
    digest
}

/// This machine's architecture, by Go's name.
fn architecture() -> &'static str {
    if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" }
}
