//! What can be wrong with an archive, in the words of whoever has to do something about it.

use std::io;

use super::volumes::{MissingVolumes, VolumePlace};
use crate::error::{Code, Coded, codes};
use crate::verify::{Mismatch, Undecryptable};

/// What can be wrong with an archive.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The medium could not be read.
    #[error("the medium cannot be read at byte {offset}, in {member}")]
    Unreadable {
        /// The offset in the bundle.
        offset: u64,
        /// The member.
        member: String,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// It is encrypted, and was to be read as it lies there.
    #[error("the bundle is encrypted")]
    Encrypted,
    /// What is encrypted does not decrypt.
    #[error("the bundle cannot be decrypted at byte {offset}, in {member}")]
    Undecryptable {
        /// The offset in the plain bundle.
        offset: u64,
        /// The member.
        member: String,
        /// What the cipher found.
        #[source]
        source: Undecryptable,
    },
    /// The bundle ends early.
    #[error("the bundle ends at byte {offset}, in the middle of {member}")]
    Truncated {
        /// The offset in the bundle.
        offset: u64,
        /// The member.
        member: String,
    },
    /// A member that the carriage lists is not where it must be; what follows it is.
    #[error("{member} is signed and missing: it should stand at byte {offset}")]
    Missing {
        /// The offset in the bundle.
        offset: u64,
        /// The member.
        member: String,
    },
    /// It lies in a volume that is not here.
    #[error("{member} cannot be read: {missing}")]
    VolumeMissing {
        /// The member.
        member: String,
        /// Which volumes.
        missing: MissingVolumes,
    },
    /// Something is wrong, and it is known in which volumes.
    #[error("{} cannot be used", told(.places))]
    InVolume {
        /// Where the bytes lie.
        places: Vec<VolumePlace>,
        /// What is wrong with them.
        #[source]
        source: Box<ArchiveError>,
    },
    /// It is one volume of a bundle, and was to be read as a whole one.
    #[error("this is one volume of a bundle")]
    Volume,
    /// The first bytes are not those of a bundle.
    #[error("this is not a Consign bundle of a version this program reads")]
    NotABundle,
    /// The bundle holds roots and statements, and a release was asked for.
    #[error("this bundle carries metadata alone: roots, site records or grants, and no release")]
    NoRelease,
    /// A header, a padding or the end is not the canonical one.
    #[error("the archive is malformed at byte {offset}: {reason}")]
    Malformed {
        /// The offset in the bundle.
        offset: u64,
        /// What is wrong.
        reason: String,
    },
    /// A member or a count exceeds its bound.
    #[error("{what} is over the limit of {limit}")]
    OverLimit {
        /// What.
        what: String,
        /// The bound.
        limit: u64,
    },
    /// A member's bytes are not the promised ones.
    #[error("the content of {member} is not what was signed")]
    Digest {
        /// The member.
        member: String,
        /// Both digests.
        #[source]
        source: Mismatch,
    },
    /// A packed member's frame cannot be decoded as it was promised.
    #[error("a frame of {member} is malformed: {reason}")]
    Frame {
        /// The member.
        member: String,
        /// What is wrong.
        reason: &'static str,
    },
}

impl ArchiveError {
    /// A read that failed: by the medium, or by a stream that decrypts it.
    pub fn unreadable(offset: u64, member: String, source: io::Error) -> Self {
        if let Some(missing) = source.get_ref().and_then(|inner| inner.downcast_ref::<MissingVolumes>()) {
            return ArchiveError::VolumeMissing { member, missing: missing.clone() };
        }
        match source.get_ref().and_then(|inner| inner.downcast_ref::<Undecryptable>()) {
            Some(reason) => ArchiveError::Undecryptable { offset, member, source: *reason },
            None => ArchiveError::Unreadable { offset, member, source },
        }
    }
}

impl Coded for ArchiveError {
    fn code(&self) -> Code {
        match self {
            ArchiveError::Unreadable { .. } => codes::MEDIUM_UNREADABLE,
            ArchiveError::Encrypted | ArchiveError::Undecryptable { .. } => codes::CANNOT_DECRYPT,
            ArchiveError::Truncated { .. } => codes::TRUNCATED,
            ArchiveError::Missing { .. } => codes::MEMBER_MISSING,
            ArchiveError::VolumeMissing { .. } => codes::VOLUME_MISSING,
            ArchiveError::InVolume { source, .. } => source.code(),
            ArchiveError::NotABundle | ArchiveError::Volume => codes::NOT_A_BUNDLE,
            ArchiveError::NoRelease => codes::NO_RELEASE,
            ArchiveError::Malformed { .. } | ArchiveError::Frame { .. } => codes::ARCHIVE_MALFORMED,
            ArchiveError::OverLimit { .. } => codes::OVER_LIMIT,
            ArchiveError::Digest { .. } => codes::DIGEST_MISMATCH,
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            ArchiveError::Unreadable { .. } | ArchiveError::Digest { .. } => {
                "the medium is damaged; copy the bundle again or use another medium, nothing was changed"
            }
            ArchiveError::Encrypted => {
                "approve and sign the plain bundle, encrypt it then, and split it last; where it is only to be read, name a \
                 key it is encrypted to with --identity FILE"
            }
            ArchiveError::Undecryptable { .. } => Undecryptable::HINT,
            ArchiveError::Truncated { .. } => {
                "the copy to the medium was not finished; copy it again and unmount before pulling it"
            }
            ArchiveError::Missing { .. } => {
                "the bundle is not whole; copy it again or ask for another, nothing was changed"
            }
            ArchiveError::VolumeMissing { .. } => MissingVolumes::HINT,
            ArchiveError::InVolume { source, .. } => return source.hint(),
            ArchiveError::Volume => "put the bundle together first: `consign join VOLUME -o FILE`",
            ArchiveError::NotABundle => "check that this is the .consign file, not compressed and not renamed",
            ArchiveError::NoRelease => "`consign-site install` takes it; for this command name a bundle of a release",
            ArchiveError::Malformed { .. } | ArchiveError::Frame { .. } => {
                "the bundle was changed after it was built; do not use it, and report it"
            }
            ArchiveError::OverLimit { .. } => "no honest bundle is like this; do not use it, and report it",
        };
        Some(hint.to_owned())
    }
}

fn told(places: &[VolumePlace]) -> String {
    places.iter().map(VolumePlace::to_string).collect::<Vec<_>>().join(" and ")
}
