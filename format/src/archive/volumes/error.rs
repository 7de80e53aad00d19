//! What can be wrong with a volume, and with a set of them. Each says which volume, and where in it.

use std::fmt;
use std::io;

use crate::error::{Code, Coded, codes};

/// A volume and a range of bytes in its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VolumePlace {
    /// Which volume.
    pub number: u64,
    /// Of how many.
    pub of: u64,
    /// The first byte.
    pub from: u64,
    /// The byte behind the last.
    pub to: u64,
}

impl fmt::Display for VolumePlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let VolumePlace { number, of, from, to } = self;
        write!(f, "volume {number} of {of}, bytes {from} to {to}")
    }
}

/// Volumes that are not here. What a read of their bytes fails with, inside an [`io::Error`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} of {of} {} missing: bytes {from} to {to} of the bundle", numbers(.first, .last), if .first == .last { "is" } else { "are" })]
pub struct MissingVolumes {
    /// The first that is missing.
    pub first: u64,
    /// The last, if several in a row are.
    pub last: u64,
    /// Of how many.
    pub of: u64,
    /// Where in the bundle they begin.
    pub from: u64,
    /// Where in the bundle they end.
    pub to: u64,
}

impl MissingVolumes {
    /// What to do about it.
    pub const HINT: &'static str =
        "bring what is missing, and run again with all volumes in one folder; nothing was changed";

    /// `volume 2`, or `volumes 2 to 4`.
    pub fn numbers(&self) -> String {
        numbers(&self.first, &self.last)
    }
}

fn numbers(first: &u64, last: &u64) -> String {
    if first == last { format!("volume {first}") } else { format!("volumes {first} to {last}") }
}

/// What can be wrong with a volume.
#[derive(Debug, thiserror::Error)]
pub enum VolumeError {
    /// The medium could not be read.
    #[error("the volume cannot be read at byte {offset}")]
    Unreadable {
        /// The offset in the volume.
        offset: u64,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// It ends early.
    #[error("the volume ends too early: {0} are not there")]
    Truncated(VolumePlace),
    /// It ends within its own hint.
    #[error("the volume ends at byte {0}, before it has said what it is")]
    NoHint(u64),
    /// Its form is not the one that a volume has, or its hint contradicts itself.
    #[error("the volume is malformed: {0}")]
    Malformed(String),
    /// Its copy of the head is not the one it speaks of.
    #[error("the volume is damaged: {0} are not the head of its bundle")]
    Head(VolumePlace),
    /// Two volumes of one bundle contradict each other.
    #[error("the volume does not belong to the others: {0}")]
    Contradictory(String),
    /// It is a volume of another bundle.
    #[error("{wanted} is wanted, and this is {found}")]
    Foreign {
        /// What is wanted: volume, product, version.
        wanted: String,
        /// What was found.
        found: String,
    },
    /// Volumes are missing.
    #[error(transparent)]
    Missing(MissingVolumes),
}

impl Coded for VolumeError {
    fn code(&self) -> Code {
        match self {
            VolumeError::Unreadable { .. } => codes::MEDIUM_UNREADABLE,
            VolumeError::Truncated(_) | VolumeError::NoHint(_) => codes::TRUNCATED,
            VolumeError::Malformed(_) | VolumeError::Contradictory(_) => codes::VOLUME_MALFORMED,
            VolumeError::Head(_) => codes::DIGEST_MISMATCH,
            VolumeError::Foreign { .. } => codes::VOLUME_FOREIGN,
            VolumeError::Missing(_) => codes::VOLUME_MISSING,
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            VolumeError::Unreadable { .. } | VolumeError::Head(_) => {
                "the medium is damaged; copy this volume again or use another medium, nothing was changed"
            }
            VolumeError::Truncated(_) | VolumeError::NoHint(_) => {
                "the copy to the medium was not finished; copy this volume again and unmount before pulling it"
            }
            VolumeError::Malformed(_) => "copy this volume again; if it stays like this, report it",
            VolumeError::Contradictory(_) => {
                "keep only volumes of one `consign split` under one name; if they are, report it"
            }
            VolumeError::Foreign { .. } => "put the wanted volume in its place, or take it away; nothing was changed",
            VolumeError::Missing(_) => MissingVolumes::HINT,
        };
        Some(hint.to_owned())
    }
}
