//! The hint of a volume: what it says of itself, and where things lie in it if that is true.

use std::io::{self, Read};

use serde::{Deserialize, Serialize};

use super::error::{VolumeError, VolumePlace};
use super::{MOST, PIECE_PREFIX, VOLUME_MEMBER};
use crate::archive::front;
use crate::archive::header::{BLOCK, END_LENGTH, canonical, parse};
use crate::canonical::{self as canonical_json, MAX_INTEGER};
use crate::carriage::BOUNDARY_UNIT;
use crate::{Digest, Limits};

/// The value of `_type`.
const TYPE: &str = "volume";
/// The hint with its header: its JSON never fills a block.
pub const FRONT_LENGTH: u64 = 2 * BLOCK;

/// What a volume says of itself. Unsigned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Hint {
    /// Always `volume`.
    #[serde(rename = "_type")]
    pub kind: String,
    /// Where the bundle's payload begins, and how long the head is that follows; 0 for an encrypted bundle.
    pub boundary: u64,
    /// The length of the bundle.
    pub bundle: u64,
    /// The version of this form: 1.
    pub format: u64,
    /// The first byte of the bundle behind its head that is in this volume.
    pub from: u64,
    /// The sha256 of the bundle's head; of an encrypted bundle, of its first 64 KiB.
    pub head: Digest,
    /// How many of the bytes from `from` on are a piece of a member that was cut.
    pub leading: u64,
    /// Which volume.
    pub number: u64,
    /// Of how many.
    pub of: u64,
    /// The byte behind the last.
    pub to: u64,
    /// How many of the bytes before `to` are a piece of a member that was cut.
    pub trailing: u64,
}

/// A stretch of the bundle, and where it lies in a volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    /// The first byte in the bundle.
    pub from: u64,
    /// The byte behind the last, in the bundle.
    pub to: u64,
    /// Where the first byte lies in the volume.
    pub at: u64,
    /// Whether it is a piece with a header of its own before it.
    pub is_piece: bool,
}

impl Hint {
    /// A hint of these numbers.
    pub(super) fn new(head: Digest, boundary: u64, bundle: u64) -> Self {
        let kind = TYPE.to_owned();
        Hint { kind, boundary, bundle, format: 1, from: 0, head, leading: 0, number: 0, of: 0, to: 0, trailing: 0 }
    }

    /// Reads the beginning of a volume.
    ///
    /// # Errors
    /// [`VolumeError`]; nothing of it is believed, but no number contradicts another.
    pub fn read(volume: &mut impl Read) -> Result<Self, VolumeError> {
        let mut front = [0; FRONT_LENGTH as usize];
        let (block, content) = front.split_at_mut(BLOCK as usize);
        fill(volume, block, 0)?;
        let malformed = |reason: &str| VolumeError::Malformed(reason.to_owned());
        let block: &[u8; BLOCK as usize] = (&*block).try_into().map_err(|_| malformed("its first header is short"))?;
        let (name, length) = parse(block).map_err(|error| VolumeError::Malformed(error.to_string()))?;
        if name != VOLUME_MEMBER {
            return Err(VolumeError::Malformed(format!("it begins with {name}")));
        }
        let length = usize::try_from(length).ok().filter(|length| *length <= content.len());
        let length = length.ok_or_else(|| malformed("its hint is too long"))?;
        fill(volume, content, BLOCK)?;
        let (json, padding) = content.split_at(length);
        if padding.iter().any(|byte| *byte != 0) {
            return Err(malformed("the padding of its hint is not zero"));
        }
        canonical_json::check(json).map_err(|error| VolumeError::Malformed(error.to_string()))?;
        let hint: Hint = serde_json::from_slice(json).map_err(|error| VolumeError::Malformed(error.to_string()))?;
        hint.check().map_err(malformed)?;
        Ok(hint)
    }

    /// The beginning of a volume: the hint as a member.
    pub fn front(&self) -> io::Result<Vec<u8>> {
        let json = canonical_json::to_vec(self).map_err(io::Error::other)?;
        let mut front = canonical(VOLUME_MEMBER, json.len() as u64).map_err(io::Error::other)?.to_vec();
        front.extend_from_slice(&json);
        if front.len() as u64 > FRONT_LENGTH {
            return Err(io::Error::other("the hint of a volume is too long"));
        }
        front.resize(FRONT_LENGTH as usize, 0);
        Ok(front)
    }

    /// Whether the bundle is encrypted: then it is cut anywhere, and no head is repeated.
    pub fn is_sealed(&self) -> bool {
        self.boundary == 0
    }

    /// Everything that can be held against nothing but the hint itself.
    fn check(&self) -> Result<(), &'static str> {
        let Hint { boundary, bundle, from, leading, number, of, to, trailing, .. } = *self;
        let all = [boundary, bundle, from, leading, to, trailing];
        let length = to.saturating_sub(from);
        if self.kind != TYPE || self.format != 1 {
            return Err("it is of another version");
        }
        if all.iter().any(|number| *number > MAX_INTEGER || number % BLOCK != 0) {
            return Err("an offset is none of an archive");
        }
        if !boundary.is_multiple_of(BOUNDARY_UNIT) || boundary > front::limit(&Limits::DEFAULT) {
            return Err("no head ends where it says");
        }
        if number == 0 || number > of || of > MOST {
            return Err("its number is none");
        }
        if from < boundary || length == 0 || to > bundle || leading.saturating_add(trailing) > length {
            return Err("its parts do not add up");
        }
        if (number == 1) != (from == boundary) || (number == of) != (to == bundle) {
            return Err("its number and its place contradict each other");
        }
        let whole = length - leading - trailing;
        let ends_well = to != bundle || (trailing == 0 && whole >= END_LENGTH);
        if (self.is_sealed() && leading != length) || (!self.is_sealed() && !ends_well) {
            return Err("its pieces are none of a bundle");
        }
        Ok(())
    }

    /// The head, then what of the payload is here, in the order of the bundle.
    pub fn segments(&self) -> Vec<Segment> {
        let mut segments = Vec::new();
        if self.boundary > 0 {
            segments.push(Segment { from: 0, to: self.boundary, at: FRONT_LENGTH, is_piece: false });
        }
        let (whole, last) = (self.from + self.leading, self.to - self.trailing);
        let mut at = FRONT_LENGTH + self.boundary;
        for (from, to, is_piece) in [(self.from, whole, true), (whole, last, false), (last, self.to, true)] {
            if from < to {
                at += if is_piece { BLOCK } else { 0 };
                segments.push(Segment { from, to, at, is_piece });
                at += to - from;
            }
        }
        segments
    }

    /// Where the volume's own end begins; `None` for the last volume of a plain bundle, which ends as the bundle does.
    pub fn end(&self) -> Option<u64> {
        let bundles_own = !self.is_sealed() && self.to == self.bundle;
        (!bundles_own).then(|| self.content_end())
    }

    /// The length of the volume.
    pub fn length(&self) -> u64 {
        self.content_end() + self.end().map_or(0, |_| END_LENGTH)
    }

    fn content_end(&self) -> u64 {
        self.segments().last().map_or(FRONT_LENGTH, |segment| segment.at + (segment.to - segment.from))
    }

    /// A range of bytes in this volume.
    pub fn place(&self, from: u64, to: u64) -> VolumePlace {
        VolumePlace { number: self.number, of: self.of, from, to }
    }
}

impl Segment {
    /// The header before a piece.
    pub fn header(&self) -> io::Result<[u8; BLOCK as usize]> {
        canonical(&format!("{PIECE_PREFIX}{}", self.from), self.to - self.from).map_err(io::Error::other)
    }
}

/// Fills a buffer from an offset on.
fn fill(volume: &mut impl Read, buf: &mut [u8], offset: u64) -> Result<(), VolumeError> {
    match volume.read_exact(buf) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(VolumeError::NoHint(offset)),
        Err(source) => Err(VolumeError::Unreadable { offset, source }),
    }
}
