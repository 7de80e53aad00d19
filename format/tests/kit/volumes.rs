//! Cuts small bundles into volumes in memory, and puts them together again.

use std::collections::BTreeMap;
use std::io::{Cursor, Read, Write};

use consign_format::Digest;
use consign_format::archive::header;
use consign_format::archive::volumes::{Cutting, Hint, Joined, Map, Shape, VolumeError, check_volume, cut};

/// Where the payload of a bundle begins, and where each member of it ends.
pub fn ends(bundle: &[u8]) -> (u64, Vec<u64>) {
    let (mut at, mut ends, mut boundary) = (0, Vec::new(), 0);
    while at < bundle.len() - 1024 {
        let (name, length) = header::parse(bundle[at..at + 512].try_into().unwrap()).unwrap();
        at += 512 + (length as usize).next_multiple_of(512);
        match name.as_str() {
            "filler" => boundary = at as u64,
            _ if boundary > 0 => ends.push(at as u64),
            _ => {}
        }
    }
    (boundary, ends)
}

/// What the smallest volume of a bundle can hold.
pub fn least(bundle: &[u8]) -> u64 {
    1024 + ends(bundle).0 + 2048 + 1024
}

/// Cuts a bundle into volumes of a size.
pub fn split(bundle: &[u8], size: u64) -> Vec<Vec<u8>> {
    let (boundary, ends) = ends(bundle);
    let head = &bundle[..boundary as usize];
    let hints = cut(Shape::Plain { boundary, ends: &ends }, Digest::of(head), size).unwrap();
    write(hints, head, &bundle[head.len()..])
}

/// Writes volumes by their hints.
pub fn write(hints: Vec<Hint>, head: &[u8], payload: &[u8]) -> Vec<Vec<u8>> {
    let mut cutting = Cutting::begin(hints, head.to_vec(), |_| Ok(Vec::new()));
    cutting.write_all(payload).unwrap();
    cutting.finish().unwrap().into_iter().map(|(_, volume)| volume).collect()
}

/// Puts volumes together, in this order.
pub fn assemble<'a>(volumes: &[&'a [u8]]) -> Result<Joined<Cursor<&'a [u8]>>, VolumeError> {
    let mut map: Option<Map> = None;
    let mut files = BTreeMap::new();
    for volume in volumes {
        let mut file = Cursor::new(*volume);
        let hint = check_volume(&mut file)?;
        let number = hint.number;
        match &mut map {
            None => map = Some(Map::new(hint)),
            Some(map) if !map.is_of(&hint) => {
                return Err(VolumeError::Foreign { wanted: "this".into(), found: format!("volume {number}") });
            }
            Some(map) => drop(map.add(hint)?),
        }
        files.entry(number).or_insert(file);
    }
    Ok(Joined::new(map.expect("a volume"), files))
}

/// Reads all of it.
pub fn bytes(volumes: &[&[u8]]) -> Result<Vec<u8>, VolumeError> {
    let mut all = Vec::new();
    assemble(volumes)?.read_to_end(&mut all).map_err(|source| VolumeError::Unreadable { offset: 0, source })?;
    Ok(all)
}
