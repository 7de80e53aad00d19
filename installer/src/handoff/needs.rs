//! What a release was built for, held against the cluster before anything is applied.

use consign_format::release::ReleaseManifest;

use crate::images::Brought;

/// What a release was built for. The zero value needs nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Needs {
    /// The Kubernetes version that it was rendered for, such as `1.33`.
    pub kubernetes: Option<String>,
    /// APIs beyond Kubernetes' own: `GROUP/VERSION`, or with a kind `GROUP/VERSION/KIND`.
    pub apis: Vec<String>,
    /// Its images, and for which platforms they are.
    pub images: Brought,
}

impl Needs {
    /// What the manifest of a release says.
    pub fn of(release: &ReleaseManifest) -> Self {
        Needs {
            kubernetes: Some(release.kubernetes.version.clone()).filter(|version| !version.is_empty()),
            apis: release.kubernetes.apis.clone(),
            images: Brought::of(&release.images),
        }
    }
}
