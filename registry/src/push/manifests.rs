//! Manifests and tags in the registry: byte for byte as they were published, and read back the same way.

use consign_format::{Descriptor, Digest, Limits, media_type};
use reqwest::StatusCode;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderName};

use super::error::PushError;
use super::login::Scope;
use super::wire::Wire;

const CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");

/// What became of a tag that was to be removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removed {
    /// It is gone, now or before.
    Gone,
    /// It stands for something that we did not put there, and stays.
    Other,
    /// The registry removes no tags.
    NotAllowed,
}

/// What the registry has under a tag or digest; `None` where it has nothing. Of a registry that does not say the
/// digest in its headers, the manifest is read and hashed.
pub(super) async fn resolve(wire: &Wire<'_>, repository: &str, at: &str) -> Result<Option<Digest>, PushError> {
    let what = format!("look for {repository}:{at}");
    let url = wire.url(&what, &format!("{repository}/manifests/{at}"))?;
    let head = |client: &reqwest::Client| client.head(url.clone()).header(ACCEPT, accept());
    let response = wire.ask(&what, &Scope::pull(repository), head).await?;
    match response.status() {
        StatusCode::OK => {}
        StatusCode::NOT_FOUND => return Ok(None),
        _ => return Err(wire.refused(&what, response).await),
    }
    let said = response.headers().get(CONTENT_DIGEST).and_then(|value| value.to_str().ok()?.parse().ok());
    match said {
        Some(digest) => Ok(Some(digest)),
        None => Ok(read(wire, repository, at).await?.map(|bytes| Digest::of(&bytes))),
    }
}

/// The bytes of a manifest; `None` where there is none.
pub(super) async fn read(wire: &Wire<'_>, repository: &str, at: &str) -> Result<Option<Vec<u8>>, PushError> {
    let what = format!("read {repository}:{at}");
    let url = wire.url(&what, &format!("{repository}/manifests/{at}"))?;
    let get = |client: &reqwest::Client| client.get(url.clone()).header(ACCEPT, accept());
    let (mut tries, scope) = (wire.tries(), Scope::pull(repository));
    loop {
        let response = wire.ask(&what, &scope, get).await?;
        match response.status() {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => return Ok(None),
            _ => return Err(wire.refused(&what, response).await),
        }
        match wire.read(response, Limits::DEFAULT.manifest).await {
            Ok(Some(bytes)) => return Ok(Some(bytes)),
            Ok(None) => return Err(changed(wire, repository, at, "it is longer than any manifest")),
            Err(cut) => wire.wait(&what, &mut tries, super::wire::Trouble::Passing(None, cut)).await?,
        }
    }
}

/// Puts a manifest under a tag or its digest.
pub(super) async fn put(
    wire: &Wire<'_>,
    repository: &str,
    at: &str,
    manifest: &Descriptor,
    bytes: &[u8],
) -> Result<(), PushError> {
    let what = format!("push {repository}:{at}");
    let url = wire.url(&what, &format!("{repository}/manifests/{at}"))?;
    let put = |client: &reqwest::Client| {
        client.put(url.clone()).header(CONTENT_TYPE, &manifest.media_type).body(bytes.to_owned())
    };
    let response = wire.ask(&what, &Scope::push(repository), put).await?;
    if !response.status().is_success() {
        return Err(wire.refused(&what, response).await);
    }
    let said = response.headers().get(CONTENT_DIGEST).and_then(|value| value.to_str().ok());
    match said {
        Some(said) if said != manifest.digest.to_string() => {
            Err(changed(wire, repository, at, format!("it calls it {said}, and it is {}", manifest.digest)))
        }
        _ => Ok(()),
    }
}

/// Reads a manifest back and compares every byte.
pub(super) async fn verify(wire: &Wire<'_>, repository: &str, at: &str, bytes: &[u8]) -> Result<(), PushError> {
    match read(wire, repository, at).await? {
        Some(there) if there == bytes => Ok(()),
        Some(there) => {
            let reason = format!("it gives {}, and {} was pushed", Digest::of(&there), Digest::of(bytes));
            Err(changed(wire, repository, at, reason))
        }
        None => Err(changed(wire, repository, at, "it gives nothing")),
    }
}

/// Removes a tag that stands for `digest`.
pub(super) async fn remove_tag(
    wire: &Wire<'_>,
    repository: &str,
    tag: &str,
    digest: &Digest,
) -> Result<Removed, PushError> {
    match resolve(wire, repository, tag).await? {
        None => return Ok(Removed::Gone),
        Some(there) if there != *digest => return Ok(Removed::Other),
        Some(_) => {}
    }
    let what = format!("remove {repository}:{tag}");
    let url = wire.url(&what, &format!("{repository}/manifests/{tag}"))?;
    let response = wire.ask(&what, &Scope::delete(repository), |client| client.delete(url.clone())).await;
    match response {
        Ok(response) => match response.status().as_u16() {
            200..=299 | 404 => Ok(Removed::Gone),
            400 | 403 | 405 | 501 => Ok(Removed::NotAllowed),
            _ => Err(wire.refused(&what, response).await),
        },
        // Many let us push and not remove; that is no reason to stop.
        Err(PushError::Unauthorized { .. }) => Ok(Removed::NotAllowed),
        Err(error) => Err(error),
    }
}

pub(super) fn changed(wire: &Wire<'_>, repository: &str, at: &str, reason: impl Into<String>) -> PushError {
    PushError::Changed { what: format!("{repository}:{at}"), place: wire.place(), reason: reason.into() }
}

fn accept() -> String {
    media_type::MANIFESTS.join(", ")
}
