//! The state artifact: the rendered desired state as one deterministic OCI artifact.
//!
//! Argo CD (3.1 and later) and Flux take it unchanged: an image manifest with one gzip layer, one object
//! per file, content JSON, names ending in `.yaml`. The layer is gzip with stored blocks, so that no
//! encoder version shows in a digest; what is inside is a tar of canonical headers, as in a bundle.
//! The site reads JSON from it and never YAML.

use std::collections::BTreeMap;
use std::io::Read;

use serde::Serialize;
use serde_json::Value;

use crate::archive::header;
use crate::{Descriptor, Digest, Limits, media_type};

/// The repository of a product's state artifact, under [`HOST`].
pub fn repository(product: &crate::Name) -> String {
    format!("state/{product}")
}

/// The host that Consign's own content lives under in the site's registry.
pub const HOST: &str = "consign.internal";

/// A state artifact, ready to be carried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateArtifact {
    /// The image manifest.
    pub manifest: (Descriptor, Vec<u8>),
    /// The configuration.
    pub config: (Descriptor, Vec<u8>),
    /// The gzip layer.
    pub layer: (Descriptor, Vec<u8>),
}

/// What the state artifact says about itself, in `org.opencontainers.image.*` annotations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateLabels {
    /// The product.
    pub title: String,
    /// The version.
    pub version: String,
    /// The commit, as `REF@sha1:COMMIT` (Flux shows it as the revision).
    pub revision: String,
    /// The repository's URL, where there is one.
    pub source: Option<String>,
}

/// Why a state artifact cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// An object has no `kind` or no `metadata.name`.
    #[error("an object of the state has no kind or no name")]
    Nameless,
    /// The layer is not a gzip stream.
    #[error("the state layer is not a gzip stream")]
    Gzip(#[source] std::io::Error),
    /// The layer unpacks to more than the limit.
    #[error("the state layer unpacks to more than {0} bytes")]
    TooLarge(u64),
    /// The tar inside the layer is not the canonical one.
    #[error("the state layer is malformed: {0}")]
    Malformed(&'static str),
    /// An object is not JSON.
    #[error("`{name}` in the state layer is not JSON")]
    Json {
        /// The file.
        name: String,
        /// What the reader said.
        #[source]
        source: serde_json::Error,
    },
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Manifest<'a> {
    schema_version: u32,
    media_type: &'a str,
    config: &'a Descriptor,
    layers: [&'a Descriptor; 1],
    annotations: BTreeMap<&'a str, &'a str>,
}

impl StateArtifact {
    /// Builds the artifact from objects in the order they are to be listed.
    pub fn build(objects: &[Value], labels: &StateLabels) -> Result<Self, StateError> {
        let tar = write_tar(objects)?;
        let diff_id = Digest::of(&tar);
        let layer = gzip_stored(&tar);
        let layer = (Descriptor::of(media_type::OCI_LAYER_GZIP, &layer), layer);
        // A minimal image configuration (image-spec v1.1, config.md): Flux does not read it, registries may.
        let config =
            format!(r#"{{"architecture":"amd64","os":"linux","rootfs":{{"type":"layers","diff_ids":["{diff_id}"]}}}}"#)
                .into_bytes();
        let config = (Descriptor::of(media_type::STATE_CONFIG, &config), config);
        let mut annotations = BTreeMap::from([
            ("org.opencontainers.image.title", labels.title.as_str()),
            ("org.opencontainers.image.version", labels.version.as_str()),
            ("org.opencontainers.image.revision", labels.revision.as_str()),
        ]);
        if let Some(source) = &labels.source {
            annotations.insert("org.opencontainers.image.source", source);
        }
        let manifest = Manifest {
            schema_version: 2,
            media_type: media_type::OCI_MANIFEST,
            config: &config.0,
            layers: [&layer.0],
            annotations,
        };
        let manifest =
            serde_json::to_vec(&manifest).map_err(|source| StateError::Json { name: "manifest".to_owned(), source })?;
        Ok(StateArtifact { manifest: (Descriptor::of(media_type::OCI_MANIFEST, &manifest), manifest), config, layer })
    }
}

/// Reads the objects back out of a state layer whose digest has been checked.
pub fn read_layer(layer: &[u8], limits: &Limits) -> Result<Vec<Value>, StateError> {
    let mut tar = Vec::new();
    let mut plain = flate2::read::GzDecoder::new(layer).take(limits.state + 1);
    plain.read_to_end(&mut tar).map_err(StateError::Gzip)?;
    if tar.len() as u64 > limits.state {
        return Err(StateError::TooLarge(limits.state));
    }
    read_tar(&tar)
}

/// `NNNN-kind-namespace-name.yaml`, lower case. The number keeps the order and the names apart; what
/// Kubernetes allows in names and tar does not is written as `-`.
pub fn file_name(number: usize, object: &Value) -> Result<String, StateError> {
    let kind = object["kind"].as_str().ok_or(StateError::Nameless)?;
    let name = object["metadata"]["name"].as_str().ok_or(StateError::Nameless)?;
    let mut parts = vec![kind];
    parts.extend(object["metadata"]["namespace"].as_str());
    parts.push(name);
    let plain = |c: char| if c.is_ascii_lowercase() || c.is_ascii_digit() || c == '.' { c } else { '-' };
    let text: String = parts.join("-").to_lowercase().chars().map(plain).take(84).collect();
    Ok(format!("{number:04}-{}.yaml", text.trim_end_matches(['.', '-'])))
}

fn write_tar(objects: &[Value]) -> Result<Vec<u8>, StateError> {
    let mut tar = Vec::new();
    for (number, object) in objects.iter().enumerate() {
        let name = file_name(number, object)?;
        let json = sorted(object);
        let content = serde_json::to_vec(&json).map_err(|source| StateError::Json { name: name.clone(), source })?;
        let header = header::canonical(&name, content.len() as u64)
            .map_err(|_| StateError::Malformed("a name that does not fit a header"))?;
        tar.extend_from_slice(&header);
        tar.extend_from_slice(&content);
        tar.resize(tar.len() + header::padding(content.len() as u64) as usize, 0);
    }
    tar.resize(tar.len() + header::END_LENGTH as usize, 0);
    Ok(tar)
}

fn read_tar(tar: &[u8]) -> Result<Vec<Value>, StateError> {
    let mut objects = Vec::new();
    let mut rest = tar;
    loop {
        let (block, after) = rest.split_first_chunk::<512>().ok_or(StateError::Malformed("it ends early"))?;
        if block.iter().all(|&b| b == 0) {
            let ends = after.len() == 512 && after.iter().all(|&b| b == 0);
            return if ends { Ok(objects) } else { Err(StateError::Malformed("its end is not the canonical one")) };
        }
        let (name, length) = header::parse(block).map_err(|_| StateError::Malformed("a header is not canonical"))?;
        let padded = length + header::padding(length);
        let content = after.get(..length as usize).ok_or(StateError::Malformed("it ends early"))?;
        rest = after.get(padded as usize..).ok_or(StateError::Malformed("it ends early"))?;
        objects.push(serde_json::from_slice(content).map_err(|source| StateError::Json { name, source })?);
    }
}

/// Returns the value with the keys of every object in ascending order, whatever map serde_json was built with.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Array(items) => items.iter().map(sorted).collect(),
        Value::Object(fields) => {
            let fields: BTreeMap<_, _> = fields.iter().map(|(key, item)| (key.clone(), sorted(item))).collect();
            Value::Object(fields.into_iter().collect())
        }
        other => other.clone(),
    }
}

/// Wraps bytes in gzip (RFC 1952) with stored blocks (RFC 1951 §3.2.4): no compression, one possible output.
fn gzip_stored(plain: &[u8]) -> Vec<u8> {
    const BLOCK: usize = 0xffff;
    let mut out = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    let mut blocks = plain.chunks(BLOCK).peekable();
    if blocks.peek().is_none() {
        out.extend_from_slice(&[1, 0, 0, 0xff, 0xff]);
    }
    while let Some(block) = blocks.next() {
        let length = block.len() as u16;
        out.push(u8::from(blocks.peek().is_none()));
        out.extend_from_slice(&length.to_le_bytes());
        out.extend_from_slice(&(!length).to_le_bytes());
        out.extend_from_slice(block);
    }
    let mut crc = flate2::Crc::new();
    crc.update(plain);
    out.extend_from_slice(&crc.sum().to_le_bytes());
    out.extend_from_slice(&crc.amount().to_le_bytes());
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn labels() -> StateLabels {
        StateLabels { title: "p".into(), version: "1".into(), revision: "main@sha1:0".into(), source: None }
    }

    #[test]
    fn objects_come_back_in_order() {
        let objects = vec![
            json!({"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": "b"}}),
            json!({"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "a", "namespace": "b"}, "data": {"x": "y".repeat(200_000)}}),
        ];
        let artifact = StateArtifact::build(&objects, &labels()).unwrap();
        assert_eq!(read_layer(&artifact.layer.1, &Limits::DEFAULT).unwrap(), objects);
        let again = StateArtifact::build(&objects, &labels()).unwrap();
        assert_eq!(artifact, again);
    }

    #[test]
    fn names_are_lower_case_yaml() {
        let object = json!({"kind": "ClusterRole", "metadata": {"name": "system:Node_x"}});
        assert_eq!(file_name(7, &object).unwrap(), "0007-clusterrole-system-node-x.yaml");
    }

    #[test]
    fn a_bomb_is_refused() {
        let limits = Limits { state: 1000, ..Limits::DEFAULT };
        let layer = gzip_stored(&[0; 2000]);
        assert!(matches!(read_layer(&layer, &limits), Err(StateError::TooLarge(1000))));
        assert!(matches!(read_layer(b"no", &Limits::DEFAULT), Err(StateError::Gzip(_))));
    }
}
