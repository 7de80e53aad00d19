//! A head on its way to its approvers: everything is held against everything, but for how many of them have signed.
//!
//! It is for the connected side, which shows it and adds what is missing. No way leads from here to a
//! [`super::Vouched`] head.

use super::{SnapshotTrusted, the_release, the_target};
use crate::Digest;
use crate::carriage::Carriage;
use crate::release::ReleaseManifest;
use crate::trust::TrustError;
use crate::trust::document::{Approval, Targets};
use crate::trust::envelope::Envelope;
use crate::trust::keys::Progress;
use crate::trust::roots::RootChain;

/// A head whose publisher has signed and whose approvers may not have.
#[derive(Debug, Clone)]
pub struct Awaiting {
    /// The bundle's id.
    pub bundle_id: Digest,
    /// What the approvers are asked to say.
    pub approval: Approval,
    /// The release's digest.
    pub release_digest: Digest,
    /// What the release is.
    pub release: ReleaseManifest,
    /// What this file carries.
    pub carriage: Carriage,
    /// How far the approvers have come.
    pub progress: Progress,
}

impl SnapshotTrusted<'_> {
    /// Holds the rest of a head against what the snapshot names; of the approvers' signatures, those that are there
    /// must hold.
    pub fn awaiting(self, targets: &[u8], carriage: &[u8], release: &[u8]) -> Result<Awaiting, TrustError> {
        let envelope = Envelope::parse("targets.json", targets)?;
        let progress = self.roots.progress(&envelope, "targets")?;
        let head = self.named(&envelope)?.carriage(carriage)?.release(release)?;
        Ok(Awaiting {
            bundle_id: head.bundle_id,
            approval: head.approval,
            release_digest: head.release_digest,
            release: head.release,
            carriage: head.carriage,
            progress,
        })
    }
}

/// What approvers are asked to sign: targets and the release manifest it names, without the journey around them.
#[derive(Debug, Clone)]
pub struct Asked {
    /// What they are asked to say.
    pub approval: Approval,
    /// The release's digest.
    pub release_digest: Digest,
    /// What the release is.
    pub release: ReleaseManifest,
    /// How far they have come.
    pub progress: Progress,
}

impl RootChain {
    /// Reads what approvers are asked; of their signatures, those that are there must hold.
    ///
    /// # Errors
    /// [`TrustError`]
    pub fn asked(&self, targets: &[u8], release: &[u8]) -> Result<Asked, TrustError> {
        let envelope = Envelope::parse("targets.json", targets)?;
        let progress = self.progress(&envelope, "targets")?;
        let targets: Targets = envelope.interpret()?;
        let (release_digest, length) = the_target(&targets)?;
        let release = the_release(release, (release_digest, length), &targets.bundle)?;
        Ok(Asked { approval: targets.bundle, release_digest, release, progress })
    }
}
