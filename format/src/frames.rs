//! Packed members: a run of independent zstd frames (RFC 8878), each of 4 MiB plain but the last.
//!
//! Stored lengths and digests of the frames stand in the carriage, so a frame is hashed before the decoder
//! sees it, and the decoder never writes more than the frame may hold.

use std::io::{self, Read, Write};

use zstd::zstd_safe;

use crate::carriage::{FRAME_SIZE, Frame, Packed};
use crate::digest::DigestWriter;
use crate::{Digest, verify};

/// The level packed members are written at.
pub const LEVEL: i32 = 3;
/// The largest window a frame may ask for: a power of two that holds its content.
const WINDOW_MAX: u64 = FRAME_SIZE;
/// The first four bytes of a frame (RFC 8878 §3.1.1).
const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// A frame that is not one plain frame of the promised size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct FrameError(pub &'static str);

/// Packs a source and returns what the carriage has to say of it.
pub fn pack(mut source: impl Read, mut out: impl Write) -> io::Result<Packed> {
    let mut plain = DigestWriter::new(io::sink());
    let mut frames = Vec::new();
    loop {
        let mut chunk = Vec::new();
        source.by_ref().take(FRAME_SIZE).read_to_end(&mut chunk)?;
        if chunk.is_empty() && !frames.is_empty() {
            break;
        }
        plain.write_all(&chunk)?;
        let stored = zstd::bulk::compress(&chunk, LEVEL)?;
        frames.push(Frame { length: stored.len() as u64, sha256: Digest::of(&stored) });
        out.write_all(&stored)?;
        if (chunk.len() as u64) < FRAME_SIZE {
            break;
        }
    }
    let (_, digest, size) = plain.finish();
    Ok(Packed { digest, size, frames })
}

/// Decodes one frame whose digest holds; `left` is how many plain bytes the member still owes.
pub(crate) fn decode(stored: &[u8], left: u64) -> Result<Vec<u8>, FrameError> {
    let expected = left.min(FRAME_SIZE);
    if !stored.starts_with(&MAGIC) {
        return Err(FrameError("it does not begin as a zstd frame"));
    }
    if zstd_safe::find_frame_compressed_size(stored) != Ok(stored.len()) {
        return Err(FrameError("it is not exactly one zstd frame"));
    }
    if !matches!(zstd_safe::get_frame_content_size(stored), Ok(Some(size)) if size == expected) {
        return Err(FrameError("it does not hold as many bytes as it must"));
    }
    if window(stored).is_none_or(|window| window > WINDOW_MAX) {
        return Err(FrameError("it asks for a dictionary, or for a larger window than any such frame needs"));
    }
    let plain = zstd::bulk::decompress(stored, expected as usize).map_err(|_| FrameError("it cannot be decoded"))?;
    if plain.len() as u64 != expected {
        return Err(FrameError("it does not hold as many bytes as it must"));
    }
    Ok(plain)
}

/// The window that a frame's header asks for (RFC 8878 §3.1.1.1); `None` where it asks for a dictionary, or ends early.
fn window(stored: &[u8]) -> Option<u64> {
    let descriptor = *stored.get(MAGIC.len())?;
    if descriptor & 0b11 != 0 {
        return None;
    }
    // A single segment: the window is the content, whose size was checked.
    if descriptor & 0b10_0000 != 0 {
        return Some(FRAME_SIZE);
    }
    let byte = u64::from(*stored.get(MAGIC.len() + 1)?);
    let base = 1_u64 << (10 + (byte >> 3));
    Some(base + base / 8 * (byte & 0b111))
}

/// Unpacks a whole packed member that lies in memory or in a file of its own.
pub fn unpack(mut stored: impl Read, packed: &Packed, mut out: impl Write) -> io::Result<()> {
    let mut left = packed.size;
    for frame in &packed.frames {
        let mut bytes = Vec::new();
        verify::VerifyingReader::new(&mut stored, frame.sha256, frame.length).read_to_end(&mut bytes)?;
        let plain = decode(&bytes, left).map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))?;
        left -= plain.len() as u64;
        out.write_all(&plain)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packed_content_comes_back() {
        for size in [0, 1, FRAME_SIZE as usize, FRAME_SIZE as usize + 7] {
            let plain: Vec<u8> = (0..size).map(|n| (n / 1000) as u8).collect();
            let mut stored = Vec::new();
            let packed = pack(plain.as_slice(), &mut stored).unwrap();
            assert_eq!((packed.size, packed.digest), (size as u64, Digest::of(&plain)));
            assert_eq!(packed.frames.len() as u64, (size as u64).div_ceil(FRAME_SIZE).max(1));
            let mut out = Vec::new();
            unpack(stored.as_slice(), &packed, &mut out).unwrap();
            assert_eq!(out, plain);
        }
    }

    #[test]
    fn other_frames_are_refused() {
        let frame = zstd::bulk::compress(&[7; 1000], LEVEL).unwrap();
        assert!(decode(&frame, 1000).is_ok());
        assert!(decode(&frame, 999).is_err(), "more than it owes");
        assert!(decode(&frame, 5000).is_err(), "less than it owes");
        assert!(decode(&[frame.as_slice(), frame.as_slice()].concat(), 1000).is_err(), "two frames");
        assert!(
            decode(&[&[0x50, 0x2a, 0x4d, 0x18, 0, 0, 0, 0], frame.as_slice()].concat(), 1000).is_err(),
            "skippable"
        );
        assert!(decode(&[], 0).is_err());
        let mut encoder = zstd::stream::Encoder::new(Vec::new(), LEVEL).unwrap();
        encoder.include_contentsize(false).unwrap();
        encoder.write_all(&[7; 1000]).unwrap();
        assert!(decode(&encoder.finish().unwrap(), 1000).is_err(), "no content size");
    }
}
