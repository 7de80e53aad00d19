//! A small bundle is read whole, and refused after any change to it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::disallowed_methods)]

mod kit;

use std::ops::Range;

use consign_format::archive::header;
use consign_format::carriage::Place;
use consign_format::error::{Exit, codes};
use kit::{parts, read, trust};

#[test]
fn a_good_bundle_is_read_whole() {
    let parts = parts();
    let bundle = parts.pack();
    let blobs = read(&bundle, &trust(&parts)).unwrap();
    assert_eq!(blobs.len(), parts.contents.len());
    for (place, bytes) in &blobs {
        if let Place::Blob(digest) | Place::Packed(digest) = place {
            assert_eq!(consign_format::Digest::of(bytes), *digest);
        }
    }
    assert_eq!(bundle, parts.pack(), "the same parts give the same bytes");
}

#[test]
fn the_payload_begins_at_a_boundary() {
    let parts = parts();
    let bundle = parts.pack();
    let at = (65536..bundle.len()).step_by(65536).find(|&at| bundle[at..].starts_with(b"oci-layout\0"));
    assert!(at.is_some());
}

/// A stretch of a bundle, and how a change in it may end.
type Region = (Range<usize>, String, &'static [Exit]);

/// Every byte of a bundle, by what it is: the table's "form 11, signature 12, hash 10" (TRUST §5).
fn regions(bundle: &[u8]) -> Vec<Region> {
    let (mut regions, mut at): (Vec<Region>, usize) = (Vec::new(), 0);
    while at < bundle.len() - 1024 {
        let (name, length) = header::parse(bundle[at..at + 512].try_into().unwrap()).unwrap();
        let expected: &[Exit] = match name.as_str() {
            "consign-format" | "filler" => &[Exit::Malformed],
            "metadata/1.root.json" => &[Exit::Untrusted],
            "metadata/carriage.json" | "release.json" => &[Exit::Damaged],
            _ if name.starts_with("metadata/") => &[Exit::Malformed, Exit::Untrusted],
            _ => &[Exit::Damaged],
        };
        let (content, length) = (at + 512, length as usize);
        let next = (content + length).next_multiple_of(512);
        regions.push((at..content, format!("the header of {name}"), &[Exit::Malformed]));
        regions.push((content..content + length, name.clone(), expected));
        regions.push((content + length..next, format!("the padding of {name}"), &[Exit::Malformed]));
        at = next;
    }
    regions.push((at..bundle.len(), "the end".to_owned(), &[Exit::Malformed]));
    regions
}

/// Runs a check for every number below a limit, on all processors.
fn each(limit: usize, check: impl Fn(usize) + Sync) {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for first in 0..threads {
            let check = &check;
            scope.spawn(move || (first..limit).step_by(threads).for_each(check));
        }
    });
}

#[test]
fn every_flipped_bit_is_refused_as_what_it_is() {
    let parts = parts();
    let (bundle, roots) = (parts.pack_small(), trust(&parts));
    let regions = regions(&bundle);
    assert_eq!(regions.iter().map(|(range, ..)| range.len()).sum::<usize>(), bundle.len());
    each(bundle.len(), |at| {
        let (_, name, expected) = regions.iter().find(|(range, ..)| range.contains(&at)).unwrap();
        let mut flipped = bundle.clone();
        for bit in 0..8 {
            flipped[at] = bundle[at] ^ (1 << bit);
            let refusal = read(&flipped, &roots).expect_err("a flipped bit passed");
            let exit = refusal.code().exit;
            assert!(expected.contains(&exit), "bit {bit} of byte {at}, in {name}: {refusal:?}");
        }
    });
}

#[test]
fn every_cut_is_refused() {
    let parts = parts();
    let (bundle, roots) = (parts.pack_small(), trust(&parts));
    each(bundle.len(), |at| {
        let refusal = read(&bundle[..at], &roots).expect_err("a cut bundle passed");
        assert_eq!(refusal.code(), codes::TRUNCATED, "cut at {at}: {refusal:?}");
    });
}

#[test]
fn an_appended_byte_is_refused() {
    let parts = parts();
    let mut bundle = parts.pack();
    bundle.push(0);
    let refusal = read(&bundle, &trust(&parts)).unwrap_err();
    assert_eq!(refusal.code(), codes::ARCHIVE_MALFORMED);
}

#[test]
fn other_files_are_refused_by_name() {
    let roots = trust(&parts());
    for bytes in [vec![0; 2048], b"PK\x03\x04".repeat(300), [0x1f, 0x8b, 8, 0].repeat(300)] {
        assert_eq!(read(&bytes, &roots).unwrap_err().code(), codes::NOT_A_BUNDLE);
    }
    assert_eq!(read(&[], &roots).unwrap_err().code(), codes::TRUNCATED);
}

#[test]
fn a_foreign_root_is_refused() {
    let (ours, mut theirs) = (parts(), parts());
    theirs.key = kit::key(2);
    theirs.roots = vec![
        consign_format::trust::author::development_root(&"dev".parse().unwrap(), &theirs.key, kit::EXPIRES).unwrap(),
    ];
    assert_eq!(read(&theirs.pack(), &trust(&ours)).unwrap_err().code(), codes::ROOT_UNKNOWN);
    theirs.roots = ours.roots.clone();
    assert_eq!(read(&theirs.pack(), &trust(&ours)).unwrap_err().code(), codes::SIGNATURE_INVALID);
}

#[test]
fn what_the_publisher_may_not_say_is_refused() {
    let parts = parts();
    let roots = trust(&parts);
    let code = |bundle: Vec<u8>| read(&bundle, &roots).unwrap_err().code();
    let malformed = codes::DOCUMENT_MALFORMED;
    assert_eq!(code(parts.pack_with(|_| {}, |c| c.payload += 512)), malformed);
    assert_eq!(code(parts.pack_with(|_| {}, |c| c.boundary += 65536)), malformed);
    assert_eq!(code(parts.pack_with(|_| {}, |c| c.members[3].length += 1)), malformed);
    assert_eq!(code(parts.pack_with(|_| {}, |c| c.members[2] = c.members[3].clone())), malformed);
    assert_eq!(code(parts.pack_with(|_| {}, |c| c.members.swap(0, 1))), malformed);
    assert_eq!(code(parts.pack_with(|_| {}, |c| c.members[2].name = "../escape".into())), malformed);
    assert_eq!(code(parts.pack_with(|_| {}, |c| c.members[2].length = u64::MAX >> 11)), malformed);
    assert_eq!(code(parts.pack_with(|a| a.sequence += 1, |_| {})), malformed);
    let narrow = |a: &mut consign_format::trust::document::Approval| {
        a.audience = consign_format::trust::Audience { sites: vec!["clinic-7".parse().unwrap()], ..Default::default() };
    };
    let widen = |c: &mut consign_format::carriage::Carriage| c.audience = Some(consign_format::trust::Audience::any());
    assert_eq!(code(parts.pack_with(narrow, widen)), codes::SIGNATURE_INVALID);
}
