//! The target for volumes. Their hints are unsigned, so what counts is that no lie in one brings bytes from elsewhere.

use std::collections::BTreeMap;
use std::io::{Cursor, Read};
use std::sync::OnceLock;

use consign_format::Digest;
use consign_format::archive::header;
use consign_format::archive::volumes::{Hint, Joined, Map, MissingVolumes, VOLUME_MEMBER, check_volume};
use consign_format::carriage::BOUNDARY_UNIT;

/// Volumes by number.
type Files = BTreeMap<u64, Cursor<Vec<u8>>>;

/// Volumes longer than this are not made: a hint may claim any length.
const MOST: u64 = 160 << 10;

/// Behind a first byte of 0 stands a volume as it came; behind any other, hints, one a line, in which `#H` stands for
/// the sha256 of a head of zeros. Around a hint that is accepted the target makes the volume it speaks of, in which
/// every block of the bundle tells its offset.
pub fn volume(bytes: &[u8]) {
    let Some((first, rest)) = bytes.split_first() else { return };
    if *first == 0 {
        if let Ok(hint) = check_volume(&mut Cursor::new(rest)) {
            assert_eq!(hint.length(), rest.len() as u64);
            assert_eq!(hint.front().expect("it was read"), rest[..1024]);
        }
        return;
    }
    let mut set: Option<(Map, Files)> = None;
    for line in rest.split(|byte| *byte == b'\n') {
        let Some((hint, file)) = made(line) else { continue };
        let number = hint.number;
        match &mut set {
            None => set = Some((Map::new(hint), BTreeMap::from([(number, file)]))),
            Some((map, files)) => {
                if map.is_of(&hint) && map.add(hint).is_ok() {
                    files.entry(number).or_insert(file);
                }
            }
        }
    }
    if let Some((map, files)) = set {
        read(map, files);
    }
}

/// Makes the volume of a hint, if it is one.
fn made(line: &[u8]) -> Option<(Hint, Cursor<Vec<u8>>)> {
    static HEAD: OnceLock<String> = OnceLock::new();
    let head = HEAD.get_or_init(|| Digest::of(&[0; BOUNDARY_UNIT as usize]).to_string());
    let json = String::from_utf8_lossy(line).replace("#H", head).into_bytes();
    let mut front = header::canonical(VOLUME_MEMBER, json.len() as u64).ok()?.to_vec();
    front.extend(json);
    front.resize(front.len().next_multiple_of(512), 0);
    let hint = Hint::read(&mut front.as_slice()).ok()?;
    assert_eq!(hint.front().expect("it was read"), front, "a hint has one form");
    let length = usize::try_from(hint.length()).ok().filter(|length| *length as u64 <= MOST)?;
    let mut file = vec![0; length];
    file[..front.len()].copy_from_slice(&front);
    for segment in hint.segments() {
        let at = segment.at as usize;
        if segment.is_piece {
            file[at - 512..at].copy_from_slice(&segment.header().expect("a header"));
        }
        let stretch = &mut file[at..at + (segment.to - segment.from) as usize];
        for (n, block) in (0..).zip(stretch.chunks_mut(512)) {
            block.fill(told(&hint, segment.from + n * 512));
        }
    }
    let mut file = Cursor::new(file);
    let checked = check_volume(&mut file).ok()?;
    assert_eq!(checked, hint);
    Some((hint, file))
}

/// What stands at an offset of the bundle: a head of zeros, then what tells the block.
fn told(hint: &Hint, offset: u64) -> u8 {
    if offset < hint.boundary || hint.is_sealed() { 0 } else { (offset / 512).to_le_bytes()[0] ^ 0x5a }
}

/// Reads all that is here: each byte is the one of its offset, and only what is missing is.
fn read(map: Map, files: Files) {
    let (wanted, missing, length) = (map.wanted().clone(), map.missing(), map.length());
    let mut joined = Joined::new(map, files);
    let mut all = Vec::new();
    match joined.read_to_end(&mut all) {
        Ok(_) => assert!(missing.is_empty() && all.len() as u64 == length),
        Err(error) => {
            let said = error.get_ref().and_then(|inner| inner.downcast_ref::<MissingVolumes>());
            assert!(said.is_some_and(|said| missing.first() == Some(said)), "{error}");
            assert_eq!(all.len() as u64, missing[0].from);
        }
    }
    for (n, block) in (0..).zip(all.chunks(512)) {
        assert!(*block == [told(&wanted, n * 512); 512], "block {n}");
    }
}
