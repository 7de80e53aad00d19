//! Whether the registry takes an index of which not every manifest is there, found out before anything is pushed.
//!
//! Many do not (distribution, and what is built on it, unless it is told to). So a tiny index that names a manifest
//! which exists nowhere is pushed into a repository of its own, and taken away again.

use consign_format::{Descriptor, Digest};
use reqwest::header::CONTENT_TYPE;
use serde_json::json;

use super::error::PushError;
use super::login::Scope;
use super::wire::Wire;

/// Tries it for one media type of indexes; the one that is refused is told.
pub(super) async fn takes_sparse(wire: &Wire<'_>, repository: &str, media_type: &str) -> Result<(), PushError> {
    let what = format!("push an index of which a platform is missing into {repository}");
    let (index, bytes) = tiny_index(media_type);
    let url = wire.url(&what, &format!("{repository}/manifests/{}", index.digest))?;
    let put = |client: &reqwest::Client| client.put(url.clone()).header(CONTENT_TYPE, media_type).body(bytes.clone());
    let response = wire.ask(&what, &Scope::push(repository), put).await?;
    if !response.status().is_success() {
        return match wire.refused(&what, response).await {
            PushError::Refused { said, .. } if said.is_about_the_index() => {
                Err(PushError::Sparse { place: wire.place(), said })
            }
            other => Err(other),
        };
    }
    // It was only to see; a registry that removes nothing keeps these few bytes.
    let delete = wire.ask(&what, &Scope::delete(repository), |client| client.delete(url.clone())).await;
    match delete {
        Ok(_) | Err(PushError::Unauthorized { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}

impl super::Said {
    /// Whether a refusal is about what the index names, and not about the repository or the request.
    fn is_about_the_index(&self) -> bool {
        const ABOUT: [&str; 6] = [
            "MANIFEST_BLOB_UNKNOWN",
            "MANIFEST_UNKNOWN",
            "MANIFEST_INVALID",
            "MANIFEST_UNVERIFIED",
            "BLOB_UNKNOWN",
            "BLOB_UPLOAD_INVALID",
        ];
        match self.codes.first() {
            Some(code) => ABOUT.contains(&code.as_str()),
            None => matches!(self.status, 400 | 404 | 409 | 412 | 422),
        }
    }
}

/// Always the same bytes, so that a registry which cannot remove them has them once.
fn tiny_index(media_type: &str) -> (Descriptor, Vec<u8>) {
    let child = if media_type == consign_format::media_type::DOCKER_LIST {
        consign_format::media_type::DOCKER_MANIFEST
    } else {
        consign_format::media_type::OCI_MANIFEST
    };
    let index = json!({"schemaVersion": 2, "mediaType": media_type, "manifests": [{
        "mediaType": child, "digest": Digest::of(b"consign: a manifest that is nowhere"), "size": 35,
        "platform": {"architecture": "amd64", "os": "linux"},
    }]});
    let bytes = index.to_string().into_bytes();
    (Descriptor::of(media_type, &bytes), bytes)
}
