//! The names that a release puts into the registry: repository → tag → digest.
//!
//! One file per release, a pure function of its manifest, written when the release is complete here. What is
//! visible follows from the products' files: so activating and rolling back move every tag in one rename.

use consign_format::reference::is_tag;
use consign_format::release::ReleaseManifest;
use consign_format::{Descriptor, Digest, Reference, state};
use serde::{Deserialize, Serialize};

use super::{Store, StoreError, state_file};

/// One name and what it stands for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Named {
    /// The upstream host, such as `docker.io`, or `consign.internal` for what is our own.
    pub host: String,
    /// The repository under that host.
    pub repository: String,
    /// The tag; without one the content is had by digest only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// Media type of the manifest or index.
    pub media_type: String,
    /// Its digest.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
}

impl Named {
    /// The descriptor of what the name stands for.
    pub fn descriptor(&self) -> Descriptor {
        Descriptor::new(&self.media_type, self.digest, self.size)
    }
}

/// A release names an image in a way no registry can serve.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NamesError {
    /// The reference is none.
    #[error(transparent)]
    Reference(#[from] consign_format::reference::ReferenceError),
    /// The manifest is not among the blobs.
    #[error("{0} is named and not among the blobs of the release")]
    Unlisted(Digest),
}

/// Returns the names of a release: its images, what refers to them, and its state artifact.
pub fn names_of(release: &ReleaseManifest) -> Result<Vec<Named>, NamesError> {
    let named = |host: &str, repository: &str, tag: Option<String>, digest: &Digest| {
        let blob = release.blob(digest).ok_or(NamesError::Unlisted(*digest))?;
        let (host, repository, media_type) = (host.to_owned(), repository.to_owned(), blob.media_type.clone());
        Ok::<_, NamesError>(Named { host, repository, tag, media_type, digest: *digest, size: blob.size })
    };
    let mut names = Vec::new();
    for image in &release.images {
        let reference: Reference = image.reference.parse()?;
        names.push(named(&reference.host, &reference.repository, reference.tag.clone(), &image.digest)?);
        for referrer in &image.referrers {
            names.push(named(&reference.host, &reference.repository, referrer.tag.clone(), &referrer.digest)?);
        }
    }
    let tag = version_tag(&release.version);
    names.push(named(state::HOST, &state::repository(&release.product), tag, &release.state)?);
    Ok(names)
}

/// A version as a tag: semver's `+` and whatever else a tag must not have is written as `_`, as Helm does.
fn version_tag(version: &str) -> Option<String> {
    let plain = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_') { c } else { '_' };
    let tag: String = version.chars().map(plain).take(128).collect();
    is_tag(&tag).then_some(tag)
}

impl Store {
    /// Keeps the names of a release.
    pub fn write_names(&self, release: &Digest, names: &[Named]) -> Result<(), StoreError> {
        state_file::write(&self.repositories_file(release), &names, 0o644)
    }

    /// Reads the names of a release that is complete here.
    pub fn read_names(&self, release: &Digest) -> Result<Vec<Named>, StoreError> {
        let path = self.repositories_file(release);
        state_file::read(&path)?.ok_or(StoreError::Missing { path })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_become_tags() {
        for (version, tag) in [("2026.11.0", Some("2026.11.0")), ("1.0+b/7", Some("1.0_b_7")), ("-x", None), ("", None)]
        {
            assert_eq!(version_tag(version).as_deref(), tag, "{version}");
        }
    }
}
