//! Where a bundle is cut: between members, unless one alone is larger than a volume.
//!
//! Such a member also fills what room the volume before it has left: the fewest volumes are the fewest discs to burn.

use super::MOST;
use super::hint::{FRONT_LENGTH, Hint};
use crate::Digest;
use crate::archive::header::{BLOCK, END_LENGTH};
use crate::canonical::MAX_INTEGER;

/// Room that a volume must have for a part of the payload.
const LEAST: u64 = 4 * BLOCK;

/// What is cut.
#[derive(Debug, Clone, Copy)]
pub enum Shape<'a> {
    /// A plain bundle.
    Plain {
        /// Where its payload begins.
        boundary: u64,
        /// Where each member ends, in their order.
        ends: &'a [u64],
    },
    /// An encrypted one, which can be cut anywhere.
    Sealed {
        /// Its length.
        length: u64,
    },
}

/// Why a bundle cannot be cut so.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CutError {
    /// A volume could not hold anything but the head.
    #[error("a volume repeats the bundle's head and so needs at least {least} bytes, not {size}")]
    TooSmall {
        /// The size of a volume that was asked for.
        size: u64,
        /// The least that works.
        least: u64,
    },
    /// There would be too many.
    #[error("that would be more than {MOST} volumes")]
    TooMany,
    /// The bundle is longer than any file.
    #[error("the bundle is longer than any file")]
    TooLong,
}

/// Cuts a bundle into volumes of at most this size. `head` tells it from others.
///
/// # Errors
/// [`CutError`].
pub fn cut(shape: Shape<'_>, head: Digest, size: u64) -> Result<Vec<Hint>, CutError> {
    let (boundary, bundle) = match shape {
        Shape::Plain { boundary, ends } => (boundary, ends.last().copied().unwrap_or(boundary) + END_LENGTH),
        Shape::Sealed { length } => (0, length),
    };
    let fixed = FRONT_LENGTH + boundary + END_LENGTH;
    let room = (size - size % BLOCK).checked_sub(fixed).filter(|room| *room >= LEAST);
    let room = room.ok_or(CutError::TooSmall { size, least: fixed + LEAST })?;
    if bundle > MAX_INTEGER {
        return Err(CutError::TooLong);
    }
    let empty = Hint { from: boundary, ..Hint::new(head, boundary, bundle) };
    let mut volumes = Vec::new();
    let mut at = boundary;
    while at < bundle {
        let mut volume = Hint { from: at, ..empty.clone() };
        match shape {
            Shape::Plain { ends, .. } => fill(&mut volume, ends, room),
            Shape::Sealed { .. } => {
                volume.leading = (room - BLOCK).min(bundle - at);
                volume.to = at + volume.leading;
            }
        }
        at = volume.to;
        volumes.push(volume);
        if volumes.len() as u64 > MOST {
            return Err(CutError::TooMany);
        }
    }
    let of = volumes.len() as u64;
    (1..).zip(&mut volumes).for_each(|(number, volume)| (volume.number, volume.of) = (number, of));
    Ok(volumes)
}

/// Takes as much into a volume as there is room for. What ends the volume, or the bundle, has room of its own.
fn fill(volume: &mut Hint, ends: &[u64], room: u64) {
    let (mut at, mut left) = (volume.from, room);
    let next = ends.partition_point(|end| *end <= at);
    let begins = next.checked_sub(1).map_or(volume.boundary, |before| ends[before]);
    for (n, end) in ends.iter().enumerate().skip(next) {
        let is_rest = n == next && begins < at;
        let length = end - at;
        let need = length + if is_rest { BLOCK } else { 0 };
        if need <= left {
            volume.leading += if is_rest { length } else { 0 };
            (at, left) = (*end, left - need);
            continue;
        }
        let is_too_large = is_rest || length > room;
        if is_too_large && left >= LEAST {
            let piece = left - BLOCK;
            // A volume within one member is one piece.
            if is_rest {
                volume.leading = piece
            } else {
                volume.trailing = piece
            }
            at += piece;
        }
        volume.to = at;
        return;
    }
    volume.to = volume.bundle;
}
