//! What an image manifest or an index points to, read from its bytes. Never written back: bytes travel as published.
//!
//! Refused by name: Docker schema 1 (its digest is of a rewritten form) and layers that live outside registries.

use std::collections::BTreeMap;

use consign_format::{Descriptor, media_type};
use serde::Deserialize;

/// An index or a manifest, as far as this project needs to follow it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// The media type: as written inside, or as told by its form where it is left out (image-spec allows that).
    pub media_type: String,
    /// What it points to.
    pub content: Pointers,
    /// What it is a referrer of.
    pub subject: Option<Descriptor>,
    /// What it is, for artifacts: `artifactType`, or the configuration's media type (distribution-spec, §referrers).
    pub artifact_type: Option<String>,
    /// Its own annotations.
    pub annotations: BTreeMap<String, String>,
}

/// What an index or a manifest points to.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "there is one at a time, and it lives as long as a function")]
pub enum Pointers {
    /// Other manifests, one per platform usually.
    Index(Vec<Descriptor>),
    /// The blobs of one image or artifact.
    Image {
        /// The configuration.
        config: Descriptor,
        /// The layers, lowest first.
        layers: Vec<Descriptor>,
    },
}

/// Why a manifest is not followed.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// Docker schema 1.
    #[error("it is a Docker schema 1 manifest, which no registry serves unchanged")]
    Schema1,
    /// A layer that lives outside registries.
    #[error("its layer {digest} ({media_type}) is a foreign one, kept outside registries")]
    Foreign {
        /// The layer.
        digest: consign_format::Digest,
        /// Its media type.
        media_type: String,
    },
    /// A media type this project does not know how to follow.
    #[error("its media type {0} is that of no manifest or index")]
    MediaType(String),
    /// It says one media type and was announced as another.
    #[error("it says {inside} inside and was announced as {announced}")]
    Disagreement {
        /// `mediaType` inside.
        inside: String,
        /// The media type of the descriptor or of the answer.
        announced: String,
    },
    /// Not the JSON of a manifest.
    #[error("it is not the JSON of a manifest or an index")]
    Json(#[from] serde_json::Error),
    /// Neither manifests nor layers, or both.
    #[error("it is neither an index nor a manifest")]
    Form,
}

impl ManifestError {
    /// Tells a manifest that is well formed but of a kind that cannot be carried from one that is damaged.
    pub fn is_unsupported(&self) -> bool {
        matches!(self, ManifestError::Schema1 | ManifestError::Foreign { .. } | ManifestError::MediaType(_))
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Raw {
    schema_version: u32,
    media_type: Option<String>,
    artifact_type: Option<String>,
    manifests: Option<Vec<Descriptor>>,
    config: Option<Descriptor>,
    layers: Option<Vec<Descriptor>>,
    subject: Option<Descriptor>,
    #[serde(default)]
    annotations: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Version {
    schema_version: Option<u32>,
    media_type: Option<String>,
}

impl Manifest {
    /// Reads the bytes of a manifest. `announced` is the media type of the descriptor that led here.
    pub fn parse(bytes: &[u8], announced: Option<&str>) -> Result<Self, ManifestError> {
        let version: Version = serde_json::from_slice(bytes)?;
        let schema1 = |media_type: &Option<String>| media_type.as_deref().is_some_and(media_type::is_schema1);
        if version.schema_version == Some(1) || schema1(&version.media_type) {
            return Err(ManifestError::Schema1);
        }
        let raw: Raw = serde_json::from_slice(bytes)?;
        if raw.schema_version != 2 {
            return Err(ManifestError::Form);
        }
        let content = match (raw.manifests, raw.config, raw.layers) {
            (Some(manifests), None, None) => Pointers::Index(manifests),
            (None, Some(config), layers) => Pointers::Image { config, layers: layers.unwrap_or_default() },
            _ => return Err(ManifestError::Form),
        };
        let media_type = media_type_of(raw.media_type, announced, &content)?;
        let artifact_type = raw.artifact_type.filter(|kind| !kind.is_empty()).or_else(|| match &content {
            Pointers::Image { config, .. } => Some(config.media_type.clone()),
            Pointers::Index(_) => None,
        });
        let manifest = Manifest {
            media_type,
            content,
            subject: raw.subject,
            artifact_type,
            annotations: raw.annotations.unwrap_or_default(),
        };
        manifest.refuse_foreign()?;
        Ok(manifest)
    }

    /// Everything it points to: manifests of an index, or configuration and layers.
    pub fn pointers(&self) -> Vec<&Descriptor> {
        match &self.content {
            Pointers::Index(manifests) => manifests.iter().collect(),
            Pointers::Image { config, layers } => std::iter::once(config).chain(layers).collect(),
        }
    }

    fn refuse_foreign(&self) -> Result<(), ManifestError> {
        match self.pointers().into_iter().find(|d| !d.urls.is_empty() || media_type::is_foreign(&d.media_type)) {
            Some(found) => Err(ManifestError::Foreign { digest: found.digest, media_type: found.media_type.clone() }),
            None => Ok(()),
        }
    }
}

/// What is inside is what counts; without it, the announcement if it fits the form, else the OCI type of the form.
fn media_type_of(inside: Option<String>, announced: Option<&str>, content: &Pointers) -> Result<String, ManifestError> {
    let is_index = matches!(content, Pointers::Index(_));
    let announced = announced.filter(|announced| media_type::is_manifest(announced));
    if let (Some(inside), Some(announced)) = (&inside, announced)
        && inside != announced
    {
        return Err(ManifestError::Disagreement { inside: inside.clone(), announced: announced.to_owned() });
    }
    let by_form = if is_index { media_type::OCI_INDEX } else { media_type::OCI_MANIFEST };
    let media_type = inside.unwrap_or_else(|| announced.unwrap_or(by_form).to_owned());
    if !media_type::is_manifest(&media_type) {
        return Err(ManifestError::MediaType(media_type));
    }
    // An index that is read as a manifest by one tool and as an index by another (CVE-2021-41190).
    if media_type::is_index(&media_type) == is_index { Ok(media_type) } else { Err(ManifestError::Form) }
}

#[cfg(test)]
mod tests {
    use consign_format::Digest;
    use serde_json::json;

    use super::*;

    fn blob(media_type: &str) -> serde_json::Value {
        json!({"mediaType": media_type, "digest": Digest::of(b"x"), "size": 1})
    }

    fn parse(value: &serde_json::Value, announced: Option<&str>) -> Result<Manifest, ManifestError> {
        Manifest::parse(value.to_string().as_bytes(), announced)
    }

    #[test]
    fn both_forms_are_read_with_and_without_their_media_type() {
        let image = json!({"schemaVersion": 2, "config": blob(media_type::OCI_CONFIG), "layers": [blob("l")]});
        let read = parse(&image, None).unwrap();
        assert_eq!((read.media_type.as_str(), read.pointers().len()), (media_type::OCI_MANIFEST, 2));
        assert_eq!(read.artifact_type.as_deref(), Some(media_type::OCI_CONFIG));
        let announced = parse(&image, Some(media_type::DOCKER_MANIFEST)).unwrap();
        assert_eq!(announced.media_type, media_type::DOCKER_MANIFEST);
        let index = json!({"schemaVersion": 2, "manifests": [blob(media_type::OCI_MANIFEST)], "annotations": null});
        assert_eq!(parse(&index, None).unwrap().media_type, media_type::OCI_INDEX);
    }

    #[test]
    fn what_cannot_be_carried_is_refused_by_name() {
        let image = |layer: serde_json::Value| json!({"schemaVersion": 2, "config": blob("c"), "layers": [layer]});
        let foreign = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip";
        assert!(matches!(parse(&image(blob(foreign)), None), Err(ManifestError::Foreign { .. })));
        let mut elsewhere = blob(media_type::OCI_LAYER_GZIP);
        elsewhere["urls"] = json!(["http://198.51.100.1/layer"]);
        assert!(matches!(parse(&image(elsewhere), None), Err(ManifestError::Foreign { .. })));
        let schema1 = json!({"schemaVersion": 1, "name": "a/b", "tag": "1", "fsLayers": []});
        assert!(matches!(parse(&schema1, None), Err(ManifestError::Schema1)));
        let other = json!({"schemaVersion": 2, "mediaType": "application/x", "config": blob("c"), "layers": []});
        assert!(matches!(parse(&other, None), Err(ManifestError::MediaType(_))));
    }

    #[test]
    fn ambiguous_documents_are_refused() {
        let both = json!({"schemaVersion": 2, "config": blob("c"), "layers": [], "manifests": []});
        assert!(matches!(parse(&both, None), Err(ManifestError::Form)));
        let lie = json!({"schemaVersion": 2, "mediaType": media_type::OCI_INDEX, "config": blob("c"), "layers": []});
        assert!(matches!(parse(&lie, None), Err(ManifestError::Form)));
        let two = json!({"schemaVersion": 2, "mediaType": media_type::OCI_MANIFEST, "config": blob("c")});
        assert!(matches!(parse(&two, Some(media_type::DOCKER_MANIFEST)), Err(ManifestError::Disagreement { .. })));
        assert!(matches!(Manifest::parse(b"{\"schemaVersion\":2", None), Err(ManifestError::Json(_))));
    }
}
