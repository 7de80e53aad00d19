//! `oci-layout` and `index.json`: what makes a bundle an OCI image layout that other tools read.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::{Descriptor, media_type};

/// The content of `oci-layout` (image-spec v1.1, image-layout.md §oci-layout file).
pub const OCI_LAYOUT: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;
/// The annotation that names an entry of `index.json`.
pub const REF_NAME: &str = "org.opencontainers.image.ref.name";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Index<'a> {
    schema_version: u32,
    media_type: &'a str,
    manifests: Vec<Descriptor>,
}

/// Returns `index.json` for the given names and what they stand for, in the order of the names.
pub fn index_json(entries: &BTreeMap<String, Descriptor>) -> Vec<u8> {
    let manifests = entries
        .iter()
        .map(|(name, descriptor)| {
            let mut entry = descriptor.clone();
            entry.annotations.insert(REF_NAME.to_owned(), name.clone());
            entry
        })
        .collect();
    let index = Index { schema_version: 2, media_type: media_type::OCI_INDEX, manifests };
    // Strings, integers and lists only: this cannot fail, and an empty index would be noticed at once.
    serde_json::to_vec(&index).unwrap_or_default()
}
