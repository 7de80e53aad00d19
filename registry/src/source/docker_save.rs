//! The archive of `docker save` before it became an OCI layout (Docker < 25; podman `--format docker-archive`; crane).
//!
//! It holds configurations and layers, but no registry manifest: that would be made by a push. We make one, always the
//! same for the same archive content: Docker schema 2, compact JSON, fields in the order of the specification, layers
//! as they lie in the archive (uncompressed, or gzip where the tool wrote gzip). Its digest is therefore *ours*, and
//! not the one a push of the same image would get.

use std::io::{self, Read, Write};

use consign_format::{Descriptor, Digest, DigestWriter, Limits, media_type};
use serde::{Deserialize, Serialize};

use super::archive::{Archive, Member, malformed};

/// One image of the archive.
#[derive(Debug)]
pub(super) struct SavedImage {
    pub(super) names: Vec<String>,
    pub(super) manifest: Vec<u8>,
    pub(super) config: (Digest, Vec<u8>),
    pub(super) layers: Vec<(Digest, Member)>,
}

/// An entry of `manifest.json` (docker image spec v1.2, §combined image JSON + filesystem changeset format).
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Entry {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

#[derive(Deserialize)]
struct Config {
    rootfs: RootFs,
}

#[derive(Deserialize)]
struct RootFs {
    diff_ids: Vec<Digest>,
}

/// Docker schema 2, the fields in the order in which the specification shows them.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Schema2<'a> {
    schema_version: u32,
    media_type: &'a str,
    config: Pointer<'a>,
    layers: Vec<Pointer<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Pointer<'a> {
    media_type: &'a str,
    size: u64,
    digest: Digest,
}

/// Reads `manifest.json` and makes a manifest for each image of it.
pub(super) fn read(archive: &Archive, limits: &Limits) -> io::Result<Vec<SavedImage>> {
    let entries: Vec<Entry> = serde_json::from_slice(&document(archive, "manifest.json", limits)?)?;
    entries.into_iter().map(|entry| image(archive, entry, limits)).collect()
}

fn image(archive: &Archive, entry: Entry, limits: &Limits) -> io::Result<SavedImage> {
    let config = document(archive, &entry.config, limits)?;
    let diff_ids = serde_json::from_slice::<Config>(&config)?.rootfs.diff_ids;
    if diff_ids.len() != entry.layers.len() {
        return Err(malformed(format!("{} and manifest.json disagree on the number of layers", entry.config)));
    }
    let layers: Vec<_> =
        diff_ids.iter().zip(&entry.layers).map(|(id, name)| layer(archive, *id, name)).collect::<io::Result<_>>()?;
    let config_pointer =
        Pointer { media_type: media_type::DOCKER_CONFIG, size: config.len() as u64, digest: Digest::of(&config) };
    let pointers =
        layers.iter().map(|(media_type, digest, member)| Pointer { media_type, size: member.size, digest: *digest });
    let manifest = Schema2 {
        schema_version: 2,
        media_type: media_type::DOCKER_MANIFEST,
        config: config_pointer,
        layers: pointers.collect(),
    };
    Ok(SavedImage {
        names: entry.repo_tags.unwrap_or_default(),
        manifest: serde_json::to_vec(&manifest)?,
        layers: layers.into_iter().map(|(_, digest, member)| (digest, member)).collect(),
        config: (Digest::of(&config), config),
    })
}

/// An uncompressed layer is named by its diff id, which is checked when it is read. A compressed one has no name in
/// the archive, so it is hashed here.
fn layer(archive: &Archive, diff_id: Digest, name: &str) -> io::Result<(&'static str, Digest, Member)> {
    let member = archive.member(name).ok_or_else(|| malformed(format!("{name} is not in it")))?;
    let mut magic = [0; 2];
    let is_gzip = member.size >= 2 && {
        archive.reader(member).read_exact(&mut magic)?;
        magic == [0x1f, 0x8b]
    };
    if !is_gzip {
        return Ok((media_type::DOCKER_LAYER_TAR, diff_id, member));
    }
    let mut hash = DigestWriter::new(io::sink());
    io::copy(&mut archive.reader(member), &mut io::BufWriter::with_capacity(256 * 1024, &mut hash))?;
    hash.flush()?;
    let (_, digest, _) = hash.finish();
    Ok((media_type::DOCKER_LAYER, digest, member))
}

/// Reads a whole member that is a document.
pub(super) fn document(archive: &Archive, name: &str, limits: &Limits) -> io::Result<Vec<u8>> {
    let member = archive.member(name).ok_or_else(|| malformed(format!("{name} is not in it")))?;
    if member.size > limits.layout {
        return Err(malformed(format!("{name} is larger than {} bytes", limits.layout)));
    }
    let mut bytes = Vec::new();
    archive.reader(member).read_to_end(&mut bytes)?;
    Ok(bytes)
}

impl SavedImage {
    /// The descriptor of the manifest that was made.
    pub(super) fn descriptor(&self) -> Descriptor {
        Descriptor::of(media_type::DOCKER_MANIFEST, &self.manifest)
    }
}
