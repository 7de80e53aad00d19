//! What the demo is made of: a small repository, and tiny images made here, as an OCI image layout.
//!
//! The images are real (image-spec v1.1) and hold one text file each, so that nothing has to be fetched and every
//! machine makes the same bytes. They carry no program: on a cluster with a kubelet their containers would not start.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use consign_format::archive::header;
use consign_format::error::{Code, Coded, Failure, codes};
use consign_format::{Descriptor, Digest, Platform, layout, media_type};
use consign_registry::BlobFolder;
use consign_registry::durable;
use flate2::{Compression, GzBuilder};
use serde_json::json;

/// The manifests of the repository, by path.
pub const FILES: &[(&str, &str)] = &[
    ("deploy/web.yaml", include_str!("../demo/deploy/web.yaml")),
    ("deploy/worker.yaml", include_str!("../demo/deploy/worker.yaml")),
];
/// The folder of the images, beside the manifests.
pub const IMAGES: &str = "images";
/// The product.
pub const PRODUCT: &str = "demo";
/// A reference of the release, to look up at the end.
pub const REFERENCE: &str = "registry.example/demo/worker:1.0";

/// A part of an image could not be made.
#[derive(Debug, thiserror::Error)]
#[error("an image of the demo cannot be made")]
pub struct DemoError(#[source] Box<dyn std::error::Error + Send + Sync>);

impl Coded for DemoError {
    fn code(&self) -> Code {
        codes::IO
    }
}

fn failed(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> DemoError {
    DemoError(error.into())
}

/// Writes the manifests and the images into an empty folder.
///
/// # Errors
/// What the disk says.
pub fn write(folder: &Path) -> Result<(), Failure> {
    for (path, text) in FILES {
        let path = folder.join(path);
        durable::create_dir(path.parent().unwrap_or(folder), 0o755)?;
        durable::write_file(&path, text.as_bytes(), 0o644)?;
    }
    durable::write_file(&folder.join(".gitignore"), b"images/\n*.consign\n", 0o644)?;
    images(&folder.join(IMAGES))
}

/// One image of two platforms, two of one.
fn images(folder: &Path) -> Result<(), Failure> {
    durable::create_dir(folder, 0o755)?;
    let blobs = BlobFolder::open(folder)?;
    let amd = Platform { architecture: "amd64".into(), os: "linux".into(), variant: None, os_version: None };
    let arm = Platform { architecture: "arm64".into(), ..amd.clone() };
    let mut entries = BTreeMap::new();
    for name in ["web", "tools"] {
        entries.insert(format!("registry.example/demo/{name}:1.0"), image(&blobs, name, &amd)?);
    }
    let mut manifests = Vec::new();
    for platform in [amd, arm] {
        let manifest = image(&blobs, &format!("worker for {platform}"), &platform)?;
        manifests.push(Descriptor { platform: Some(platform), ..manifest });
    }
    let index = json!({"schemaVersion": 2, "mediaType": media_type::OCI_INDEX, "manifests": manifests});
    entries.insert(REFERENCE.to_owned(), put_json(&blobs, media_type::OCI_INDEX, &index)?);
    blobs.sync()?;
    durable::write_file(&folder.join("oci-layout"), layout::OCI_LAYOUT, 0o644)?;
    durable::write_file(&folder.join("index.json"), &layout::index_json(&entries), 0o644)?;
    Ok(())
}

fn image(blobs: &BlobFolder, text: &str, platform: &Platform) -> Result<Descriptor, Failure> {
    let tar = tar(&[("hello.txt", format!("This is {text}.\n").as_bytes())]).map_err(failed)?;
    let mut gzip = GzBuilder::new().mtime(0).write(Vec::new(), Compression::default());
    gzip.write_all(&tar).map_err(failed)?;
    let layer = put(blobs, media_type::OCI_LAYER_GZIP, &gzip.finish().map_err(failed)?)?;
    let config = json!({
        "architecture": platform.architecture, "os": platform.os,
        "config": {"Entrypoint": ["/hello.txt"]},
        "rootfs": {"type": "layers", "diff_ids": [Digest::of(&tar)]},
    });
    let config = put_json(blobs, media_type::OCI_CONFIG, &config)?;
    let manifest = json!({
        "schemaVersion": 2, "mediaType": media_type::OCI_MANIFEST, "config": config, "layers": [layer],
    });
    put_json(blobs, media_type::OCI_MANIFEST, &manifest)
}

/// A tar with the one kind of header this project writes.
fn tar(files: &[(&str, &[u8])]) -> Result<Vec<u8>, header::HeaderError> {
    let mut tar = Vec::new();
    for (name, content) in files {
        let length = content.len() as u64;
        tar.extend_from_slice(&header::canonical(name, length)?);
        tar.extend_from_slice(content);
        tar.resize(tar.len() + header::padding(length) as usize, 0);
    }
    tar.resize(tar.len() + header::END_LENGTH as usize, 0);
    Ok(tar)
}

fn put_json(blobs: &BlobFolder, media_type: &str, value: &serde_json::Value) -> Result<Descriptor, Failure> {
    put(blobs, media_type, value.to_string().as_bytes())
}

fn put(blobs: &BlobFolder, media_type: &str, bytes: &[u8]) -> Result<Descriptor, Failure> {
    let descriptor = Descriptor::of(media_type, bytes);
    blobs.put(&descriptor.digest, descriptor.size, bytes)?;
    Ok(descriptor)
}
