//! The push itself: what is there is left alone, blobs before manifests, and in the end everything is read back.

use std::collections::BTreeMap;

use consign_format::{Descriptor, Digest, Limits};
use futures_util::stream::{self, StreamExt, TryStreamExt};
use reqwest::StatusCode;

use super::error::PushError;
use super::login::Scope;
use super::manifests::{put, resolve, verify};
use super::plan::{Contents, Plan};
use super::upload::{Came, upload};
use super::wire::{Wire, length};
use crate::BlobFolder;

/// What a push moved, and what was there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Moved {
    /// Blobs that were sent, and their bytes.
    pub sent: Count,
    /// Blobs that the registry took from another repository of its own.
    pub mounted: Count,
    /// Blobs that were there.
    pub skipped: Count,
    /// Manifests that were put.
    pub manifests: u64,
}

/// Things and their bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Count {
    /// How many.
    pub items: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl Count {
    fn add(&mut self, bytes: u64) {
        self.items += 1;
        self.bytes = self.bytes.saturating_add(bytes);
    }
}

/// What a push has to work with.
pub(super) struct Fill<'a> {
    pub(super) wire: &'a Wire<'a>,
    pub(super) plan: &'a Plan,
    pub(super) blobs: &'a BlobFolder,
    /// A repository of the registry that has a blob already, as far as somebody knows.
    pub(super) known: &'a BTreeMap<Digest, String>,
    /// Is told how many bytes of the plan are done.
    pub(super) tell: &'a (dyn Fn(u64) + Sync),
}

impl Fill<'_> {
    /// Brings everything there and reads it back.
    pub(super) async fn fill(&self) -> Result<Moved, PushError> {
        let workers = self.wire.options.workers;
        let mut moved = Moved::default();
        // By digest, and so by chance: neither the large ones first nor one repository after the other.
        let blobs = self.plan.by_blob();
        let came = stream::iter(blobs.values().map(|(blob, repositories)| self.bring(blob, repositories)));
        let came: Vec<_> = came.buffer_unordered(workers).try_collect().await?;
        for (size, came) in came.into_iter().flatten() {
            match came {
                Came::WasThere => moved.skipped.add(size),
                Came::Mounted => moved.mounted.add(size),
                Came::Sent => moved.sent.add(size),
            }
        }
        let put = stream::iter(self.plan.repositories.iter().map(|(name, contents)| self.put_all(name, contents)));
        let put: Vec<u64> = put.buffer_unordered(workers).try_collect().await?;
        moved.manifests = put.into_iter().sum();
        Ok(moved)
    }

    /// One blob into every repository that has to have it: once over the network, if the registry can do the rest.
    async fn bring(&self, blob: &Descriptor, repositories: &[&str]) -> Result<Vec<(u64, Came)>, PushError> {
        let (mut came, mut lacking) = (Vec::new(), Vec::new());
        let mut source = None;
        for repository in repositories {
            if has_blob(self.wire, repository, &blob.digest, blob.size).await? {
                source = Some((*repository).to_owned());
                (self.tell)(blob.size);
                came.push((blob.size, Came::WasThere));
            } else {
                lacking.push(*repository);
            }
        }
        source = source.or_else(|| self.known.get(&blob.digest).cloned());
        for repository in lacking {
            let from = source.as_deref().filter(|from| *from != repository);
            let how = upload(self.wire, repository, blob, self.blobs, from, self.tell).await?;
            if how == Came::Mounted {
                (self.tell)(blob.size);
            }
            if !has_blob(self.wire, repository, &blob.digest, blob.size).await? {
                let (what, place) = (format!("blob {} of {repository}", blob.digest), self.wire.place());
                return Err(PushError::Changed { what, place, reason: "it was taken and is not there".to_owned() });
            }
            source = Some(repository.to_owned());
            came.push((blob.size, how));
        }
        Ok(came)
    }

    /// The manifests of one repository, children first, then its tags; how many were put.
    async fn put_all(&self, repository: &str, contents: &Contents) -> Result<u64, PushError> {
        let mut count = 0;
        for manifest in &contents.manifests {
            let (at, bytes) = (manifest.digest.to_string(), self.read(&manifest.digest)?);
            if resolve(self.wire, repository, &at).await?.is_none() {
                put(self.wire, repository, &at, manifest, &bytes).await?;
                count += 1;
            }
            verify(self.wire, repository, &at, &bytes).await?;
        }
        for (tag, digest) in &contents.tags {
            if let Some(manifest) = contents.manifests.iter().find(|manifest| manifest.digest == *digest) {
                move_tag(self.wire, repository, tag, manifest, &self.read(digest)?).await?;
            }
        }
        Ok(count)
    }

    fn read(&self, digest: &Digest) -> Result<Vec<u8>, PushError> {
        Ok(self.blobs.read(digest, Limits::DEFAULT.manifest)?)
    }
}

/// Lets a tag stand for a manifest that is there, and looks whether it does.
pub(super) async fn move_tag(
    wire: &Wire<'_>,
    repository: &str,
    tag: &str,
    manifest: &Descriptor,
    bytes: &[u8],
) -> Result<bool, PushError> {
    if resolve(wire, repository, tag).await? == Some(manifest.digest) {
        return Ok(false);
    }
    put(wire, repository, tag, manifest, bytes).await?;
    verify(wire, repository, tag, bytes).await?;
    Ok(true)
}

/// What of a plan the registry lacks, in words; nothing is changed.
pub(super) async fn missing(wire: &Wire<'_>, plan: &Plan) -> Result<Vec<String>, PushError> {
    let manifests = plan
        .repositories
        .iter()
        .flat_map(|(name, contents)| contents.manifests.iter().map(move |manifest| (name.as_str(), manifest, true)));
    let blobs = plan
        .repositories
        .iter()
        .flat_map(|(name, contents)| contents.blobs.values().map(move |blob| (name.as_str(), blob, false)));
    let look = |(name, item, is_manifest): (_, &Descriptor, bool)| {
        let (digest, size) = (item.digest, item.size);
        async move {
            let is_there = match is_manifest {
                true => resolve(wire, name, &digest.to_string()).await? == Some(digest),
                false => has_blob(wire, name, &digest, size).await?,
            };
            Ok::<_, PushError>((!is_there).then(|| format!("{name}@{digest}")))
        }
    };
    let all = stream::iter(manifests.chain(blobs).map(look)).buffer_unordered(wire.options.workers);
    let missing: Vec<Option<String>> = all.try_collect().await?;
    Ok(missing.into_iter().flatten().collect())
}

/// Whether a repository has a blob of this size.
pub(super) async fn has_blob(wire: &Wire<'_>, repository: &str, digest: &Digest, size: u64) -> Result<bool, PushError> {
    let what = format!("look for blob {digest} in {repository}");
    let url = wire.url(&what, &format!("{repository}/blobs/{digest}"))?;
    let response = wire.ask(&what, &Scope::pull(repository), |client| client.head(url.clone())).await?;
    match response.status() {
        StatusCode::OK => {}
        StatusCode::NOT_FOUND => return Ok(false),
        _ => return Err(wire.refused(&what, response).await),
    }
    match length(&response) {
        Some(length) if length != size => {
            let (what, place) = (format!("blob {digest} of {repository}"), wire.place());
            Err(PushError::Changed { what, place, reason: format!("{length} bytes instead of {size}") })
        }
        _ => Ok(true),
    }
}
