//! An OCI layout, filled by umoci; what umoci can't make (indexes, artifacts) is written by hand.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use consign_format::Digest;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::run;

pub(super) const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// A manifest that refers to an image, and how it is found.
#[derive(Serialize, Deserialize)]
pub(super) struct Referrer {
    /// Its tag in the layout.
    pub(super) tag: String,
    pub(super) digest: String,
    /// The tag of `index` in a registry.
    pub(super) fallback: String,
    /// The index that names it, as text.
    pub(super) index: String,
}

/// The folder of an OCI layout.
pub(super) struct Layout {
    folder: PathBuf,
}

impl Layout {
    pub(super) fn create(folder: &Path) -> Self {
        run(Command::new("umoci").args(["init", "--layout"]).arg(folder));
        Self { folder: folder.to_owned() }
    }

    /// An image without layers.
    pub(super) fn new_image(&self, tag: &str) {
        run(Command::new("umoci").args(["new", "--image", &self.at(tag)]));
    }

    /// The image `from` under one more tag.
    pub(super) fn tag(&self, from: &str, tag: &str) {
        run(Command::new("umoci").args(["tag", "--image", &self.at(from), tag]));
    }

    /// Puts the content of `root` on top of the image, owned by root.
    pub(super) fn add_layer(&self, tag: &str, root: &Path) {
        let tar = self.folder.with_extension("layer.tar");
        run(Command::new("tar")
            .args(["--sort=name", "--owner=0", "--group=0", "--numeric-owner", "-cf"])
            .arg(&tar)
            .arg("-C")
            .arg(root)
            .arg("."));
        run(Command::new("umoci").args(["raw", "add-layer", "--image", &self.at(tag)]).arg(&tar));
        fs::remove_file(tar).expect("the file just made");
    }

    pub(super) fn configure(&self, tag: &str, architecture: &str, title: &str) {
        run(Command::new("umoci").args(["config", "--image", &self.at(tag), "--architecture", architecture]).args([
            "--config.cmd",
            "/bin/sh",
            "--config.label",
            &format!("org.opencontainers.image.title={title}"),
        ]));
    }

    /// One index over images that are there, as (tag, architecture), under a tag of its own.
    pub(super) fn add_index(&self, tag: &str, images: &[(&str, &str)]) {
        let manifests: Vec<Value> = images
            .iter()
            .map(|(tag, architecture)| {
                let mut descriptor = self.descriptor(tag);
                descriptor["platform"] = json!({ "architecture": architecture, "os": "linux" });
                descriptor
            })
            .collect();
        let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": manifests });
        let _ = self.add_manifest(tag, INDEX, &index);
    }

    /// An SBOM that refers to the image, in the form of OCI 1.1, and the index that names it to clients of registries
    /// without a referrers API, under the tag they look for.
    pub(super) fn add_referrer(&self, image: &str) -> Referrer {
        let subject = self.descriptor(image);
        let kind = "application/spdx+json";
        let sbom = json!({ "spdxVersion": "SPDX-2.3", "name": subject["digest"], "packages": [] });
        let manifest = json!({
            "schemaVersion": 2, "mediaType": MANIFEST, "artifactType": kind,
            "config": self.put("application/vnd.oci.empty.v1+json", b"{}"),
            "layers": [self.put(kind, sbom.to_string().as_bytes())],
            "subject": subject,
        });
        let tag = format!("{image}-sbom");
        let mut descriptor = self.add_manifest(&tag, MANIFEST, &manifest);
        let digest = descriptor["digest"].as_str().expect("a string").to_owned();
        descriptor["artifactType"] = json!(kind);
        let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [descriptor] }).to_string();
        Referrer { tag, digest, fallback: tag_of(&subject), index }
    }

    /// What cosign adds beside a signed image: an image of its own under a tag made of the digest; returned. The
    /// signature in it is none: whoever carries it must not care.
    pub(super) fn add_cosign_signature(&self, subject: &str) -> String {
        let subject = self.descriptor(subject);
        let payload = json!({ "critical": {
            "identity": { "docker-reference": "" }, "type": "cosign container image signature",
            "image": { "docker-manifest-digest": subject["digest"] },
        } });
        let mut layer = self.put("application/vnd.dev.cosign.simplesigning.v1+json", payload.to_string().as_bytes());
        layer["annotations"] = json!({ "dev.cosignproject.cosign/signature": "bm90IGEgc2lnbmF0dXJl" });
        let config = json!({ "architecture": "", "os": "", "config": {}, "rootfs": {
            "type": "layers", "diff_ids": [layer["digest"]],
        } });
        let manifest = json!({
            "schemaVersion": 2, "mediaType": MANIFEST,
            "config": self.put("application/vnd.oci.image.config.v1+json", config.to_string().as_bytes()),
            "layers": [layer],
        });
        let tag = tag_of(&subject) + ".sig";
        let _ = self.add_manifest(&tag, MANIFEST, &manifest);
        tag
    }

    fn at(&self, tag: &str) -> String {
        format!("{}:{tag}", self.folder.display())
    }

    fn index(&self) -> Value {
        let text = fs::read(self.folder.join("index.json")).expect("the index of a layout");
        serde_json::from_slice(&text).expect("JSON")
    }

    fn descriptor(&self, tag: &str) -> Value {
        let index = self.index();
        let manifests = index["manifests"].as_array().expect("a list");
        let found = manifests.iter().find(|entry| entry["annotations"]["org.opencontainers.image.ref.name"] == tag);
        plain(found.unwrap_or_else(|| panic!("{} has no {tag}", self.folder.display())))
    }

    fn put(&self, media_type: &str, bytes: &[u8]) -> Value {
        let digest = Digest::of(bytes);
        let path = self.folder.join("blobs/sha256").join(digest.hex());
        fs::write(path, bytes).expect("a file in the layout");
        json!({ "mediaType": media_type, "digest": digest.to_string(), "size": bytes.len() })
    }

    /// Stores it under a tag; returns its bare descriptor.
    fn add_manifest(&self, tag: &str, media_type: &str, manifest: &Value) -> Value {
        let descriptor = self.put(media_type, manifest.to_string().as_bytes());
        let mut tagged = descriptor.clone();
        tagged["annotations"] = json!({ "org.opencontainers.image.ref.name": tag });
        let mut index = self.index();
        index["manifests"].as_array_mut().expect("a list").push(tagged);
        fs::write(self.folder.join("index.json"), index.to_string()).expect("the index of a layout");
        descriptor
    }
}

/// A descriptor without its annotations.
fn plain(descriptor: &Value) -> Value {
    json!({ "mediaType": descriptor["mediaType"], "digest": descriptor["digest"], "size": descriptor["size"] })
}

/// The tag that the specification's fallback and cosign derive from a digest.
fn tag_of(descriptor: &Value) -> String {
    descriptor["digest"].as_str().expect("a string").replace(':', "-")
}
