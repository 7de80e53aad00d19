//! From a verified release to the desired state as data: manifest → layer → objects, each by its digest.

use std::time::Duration;

use consign_format::error::{Code, Coded, Failure, codes};
use consign_format::release::ReleaseManifest;
use consign_format::state::{self, StateError};
use consign_format::{Digest, Limits, Name};
use consign_registry::BlobError;
use consign_registry::manifest::{Manifest, ManifestError, Pointers};

use crate::config::{ApplyConfig, Conflicts};
use crate::handoff::{Desired, Needs, Policy};
use crate::site::Site;
use crate::site_secrets;

/// The state artifact cannot be read, though its bytes are the signed ones.
#[derive(Debug, thiserror::Error)]
pub enum DesiredError {
    /// A blob cannot be read.
    #[error(transparent)]
    Blob(#[from] BlobError),
    /// The artifact's manifest is none.
    #[error("the state artifact {digest} cannot be followed")]
    Manifest {
        /// The artifact.
        digest: Digest,
        /// Why.
        source: ManifestError,
    },
    /// The artifact does not have exactly one layer.
    #[error("the state artifact {digest} does not have exactly one layer")]
    Layers {
        /// The artifact.
        digest: Digest,
    },
    /// The layer cannot be read.
    #[error("the state artifact {digest} cannot be read")]
    Layer {
        /// The artifact.
        digest: Digest,
        /// Why.
        source: StateError,
    },
}

impl Coded for DesiredError {
    fn code(&self) -> Code {
        match self {
            DesiredError::Blob(error) => error.code(),
            _ => codes::RELEASE_MALFORMED,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            DesiredError::Blob(error) => error.hint(),
            _ => Some("the release was built wrong; ask those who built it".to_owned()),
        }
    }
}

/// Where blobs come from: a digest and a bound on its size go in, checked bytes come out.
pub type ReadBlob<'a> = dyn Fn(&Digest, u64) -> Result<Vec<u8>, BlobError> + 'a;

/// Reads the desired state of a release.
pub fn desired(release: &ReleaseManifest, read: &ReadBlob<'_>) -> Result<Desired, DesiredError> {
    let digest = release.state;
    let bytes = read(&digest, Limits::DEFAULT.manifest)?;
    let announced = release.blob(&digest).map(|blob| blob.media_type.as_str());
    let manifest = Manifest::parse(&bytes, announced).map_err(|source| DesiredError::Manifest { digest, source })?;
    let layer = match &manifest.content {
        Pointers::Image { layers, .. } if layers.len() == 1 => layers[0].digest,
        _ => return Err(DesiredError::Layers { digest }),
    };
    let layer = read(&layer, Limits::DEFAULT.state)?;
    let objects =
        state::read_layer(&layer, &Limits::DEFAULT).map_err(|source| DesiredError::Layer { digest, source })?;
    Ok(Desired { objects, secrets: release.secrets.clone(), needs: Needs::of(release), ..nothing(release) })
}

/// A release that is complete here and what it desires, from the store; its Secrets of this site still encrypted.
pub fn of_store(site: &Site, domain: &Name, release: &Digest) -> Result<(ReleaseManifest, Desired), Failure> {
    let release = site.store.read_release(release)?;
    let blobs = site.store.blobs()?;
    let mut desired = desired(&release, &|digest, limit| blobs.read(digest, limit))?;
    desired.sealed = site_secrets::find(site, domain, &release.secrets)?;
    Ok((release, desired))
}

/// What is desired when a first release is taken back: nothing.
pub fn nothing(release: &ReleaseManifest) -> Desired {
    Desired {
        product: release.product.to_string(),
        version: release.version.clone(),
        tooling: env!("CARGO_PKG_VERSION").to_owned(),
        namespace: release.namespace.clone(),
        objects: Vec::new(),
        secrets: Vec::new(),
        sealed: None,
        needs: Needs::default(),
    }
}

/// What may be done while a release is applied: what the release allows, and what the administrator of the site does.
pub fn policy(release: &ReleaseManifest, site: &ApplyConfig) -> Policy {
    Policy {
        allow_prune: release.rollout.allow_prune.clone(),
        adopt: site.adopt.clone(),
        wave_timeout: Some(Duration::from_secs(release.rollout.health_timeout)),
        require_zero_downtime: site.require_zero_downtime,
        pre_pull: site.pre_pulls().then(|| site.pre_pull_within()),
        force_conflicts: site.conflicts == Conflicts::Force,
    }
}
