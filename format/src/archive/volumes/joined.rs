//! Volumes, read as the one bundle they are of. Nothing is copied; what is not here is said when it is read.

use std::collections::BTreeMap;
use std::io::{self, Read, Seek, SeekFrom};

use super::error::VolumeError;
use super::hint::{FRONT_LENGTH, Hint};
use super::map::Map;
use crate::archive::head::OpenedBundle;
use crate::archive::header::{BLOCK, END_LENGTH};
use crate::release::ReleaseManifest;
use crate::{Digest, DigestWriter, Limits};

/// Reads the volumes that are here as one bundle. A read that meets a missing one fails with
/// [`super::MissingVolumes`] inside the error.
#[derive(Debug)]
pub struct Joined<R> {
    map: Map,
    volumes: BTreeMap<u64, R>,
    at: u64,
    /// Which volume stands where; a volume that goes on is not sought anew.
    stands: Option<(u64, u64)>,
}

impl<R: Read + Seek> Joined<R> {
    /// Puts volumes together; each number in the map has its file here.
    pub fn new(map: Map, volumes: BTreeMap<u64, R>) -> Self {
        Joined { map, volumes, at: 0, stands: None }
    }

    /// Which volumes are here, and what lies where.
    pub fn map(&self) -> &Map {
        &self.map
    }

    /// How far the bundle was read.
    pub fn position(&self) -> u64 {
        self.at
    }

    /// The one volume that holds a whole range of the bundle in one piece, and where in it.
    pub fn in_one(&self, from: u64, length: u64) -> Option<(&R, u64)> {
        let found = self.map.find(from)?.ok().filter(|found| length <= found.left)?;
        Some((self.volumes.get(&found.number)?, found.at))
    }
}

impl<R: Read + Seek> Read for Joined<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let Some(found) = self.map.find(self.at) else { return Ok(0) };
        let found = found.map_err(io::Error::other)?;
        let volume = self.volumes.get_mut(&found.number).ok_or(io::ErrorKind::NotFound)?;
        if self.stands != Some((found.number, found.at)) {
            self.stands = None;
            volume.seek(SeekFrom::Start(found.at))?;
        }
        let room = buf.len().min(usize::try_from(found.left).unwrap_or(usize::MAX));
        let read = volume.read(&mut buf[..room])?;
        self.at += read as u64;
        self.stands = Some((found.number, found.at + read as u64));
        Ok(read)
    }
}

impl<R: Read + Seek> Seek for Joined<R> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let to = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
            SeekFrom::End(by) => self.map.length().checked_add_signed(by),
        };
        self.at = to.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}

/// Reads what of a volume is not the bundle's: its hint, the headers of its pieces, its end; and its copy of the head,
/// which is held against the digest in the hint. What is left is checked when the bundle is read.
///
/// # Errors
/// [`VolumeError`].
pub fn check_volume(volume: &mut (impl Read + Seek)) -> Result<Hint, VolumeError> {
    seek(volume, SeekFrom::Start(0))?;
    let hint = Hint::read(volume)?;
    let (length, expected) = (seek(volume, SeekFrom::End(0))?, hint.length());
    if length < expected {
        return Err(VolumeError::Truncated(hint.place(length, expected)));
    }
    if length > expected {
        return Err(VolumeError::Malformed(format!("bytes follow its end at byte {expected}")));
    }
    check_head(volume, &hint)?;
    let unmakable = |error: io::Error| VolumeError::Malformed(error.to_string());
    for segment in hint.segments().into_iter().filter(|segment| segment.is_piece) {
        let header = segment.header().map_err(unmakable)?;
        expect(volume, segment.at - BLOCK, &header, "the header of a piece is not the canonical one")?;
    }
    if let Some(end) = hint.end() {
        expect(volume, end, &[0; END_LENGTH as usize], "its end is not zero")?;
    }
    Ok(hint)
}

fn check_head(volume: &mut (impl Read + Seek), hint: &Hint) -> Result<(), VolumeError> {
    let length = if !hint.is_sealed() {
        hint.boundary
    } else if hint.number == 1 {
        // Cut so small that no volume has all of it, nothing but the content tells it.
        match hint.bundle.min(super::SEALED_FRONT) {
            front if front <= hint.leading => front,
            _ => return Ok(()),
        }
    } else {
        return Ok(());
    };
    let at = hint.segments().first().map_or(FRONT_LENGTH, |segment| segment.at);
    seek(volume, SeekFrom::Start(at))?;
    let mut hash = DigestWriter::new(io::sink());
    let copied = io::copy(&mut volume.take(length), &mut hash);
    let copied = copied.map_err(|source| VolumeError::Unreadable { offset: at, source })?;
    let place = hint.place(at, at + length);
    match hash.finish() {
        (_, found, _) if found == hint.head => Ok(()),
        _ if copied < length => Err(VolumeError::Truncated(place)),
        _ => Err(VolumeError::Head(place)),
    }
}

/// What a volume claims to be of, in words; not one byte of it is believed.
pub fn claims(volume: &mut (impl Read + Seek), hint: &Hint) -> String {
    let mut release = || {
        volume.seek(SeekFrom::Start(FRONT_LENGTH)).ok()?;
        let head = OpenedBundle::open(volume.take(hint.boundary), Limits::DEFAULT).ok()?.read_head().ok()?;
        ReleaseManifest::parse(&head.documents()[4]).ok()
    };
    let told = |release: ReleaseManifest| format!("{} {}", release.product, release.version);
    // Two heads of one release differ by who has signed.
    let id = hint.head.hex().chars().take(12).collect::<String>();
    format!("{} (head {id})", release().map_or("a bundle".to_owned(), told))
}

/// The digest by which volumes of an encrypted bundle are told: of its first bytes.
///
/// # Errors
/// What reading says.
pub fn sealed_front(bundle: &mut impl Read) -> io::Result<Digest> {
    let mut hash = DigestWriter::new(io::sink());
    io::copy(&mut bundle.take(super::SEALED_FRONT), &mut hash)?;
    Ok(hash.finish().1)
}

fn seek(volume: &mut impl Seek, to: SeekFrom) -> Result<u64, VolumeError> {
    volume.seek(to).map_err(|source| VolumeError::Unreadable { offset: 0, source })
}

/// Demands these bytes at an offset.
fn expect(volume: &mut (impl Read + Seek), at: u64, bytes: &[u8], otherwise: &str) -> Result<(), VolumeError> {
    seek(volume, SeekFrom::Start(at))?;
    let mut found = vec![0; bytes.len()];
    volume.read_exact(&mut found).map_err(|source| VolumeError::Unreadable { offset: at, source })?;
    if found != bytes {
        return Err(VolumeError::Malformed(format!("{otherwise}, at byte {at}")));
    }
    Ok(())
}
