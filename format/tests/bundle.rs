//! A small bundle is read whole, and refused after any change to it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::disallowed_methods)]

mod kit;

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

/// Tells whether a byte lies well inside a run of zeros.
fn zeros_around(bundle: &[u8], at: usize) -> bool {
    const ZEROS: [u8; 1200] = [0; 1200];
    bundle.get(at.wrapping_sub(600)..at + 600).is_some_and(|around| *around == ZEROS)
}

/// One bit of every byte that means something; of the filler's zeros, which are all alike, a sample.
/// (Every bit of a header is flipped beside the header's own code.)
#[test]
fn every_flip_is_refused() {
    let parts = parts();
    let (bundle, roots) = (parts.pack(), trust(&parts));
    let expected = [Exit::Damaged, Exit::Malformed, Exit::Untrusted, Exit::Limits, Exit::NotForSite];
    let mut flipped = bundle.clone();
    let mut seen = std::collections::BTreeMap::<Exit, usize>::new();
    for at in 0..bundle.len() {
        if zeros_around(&bundle, at) && at % 97 != 0 {
            continue;
        }
        flipped[at] ^= 1 << (at % 8);
        let refusal = read(&flipped, &roots).expect_err(&format!("byte {at} passed"));
        flipped[at] = bundle[at];
        let exit = refusal.code().exit;
        assert!(expected.contains(&exit), "byte {at}: {refusal:?}");
        *seen.entry(exit).or_default() += 1;
    }
    for exit in [Exit::Damaged, Exit::Malformed, Exit::Untrusted] {
        assert!(seen.contains_key(&exit), "no flip ended in {exit:?}: {seen:?}");
    }
}

#[test]
fn every_cut_is_refused() {
    let parts = parts();
    let (bundle, roots) = (parts.pack(), trust(&parts));
    for at in 0..bundle.len() {
        // The filler's zeros are all alike.
        if zeros_around(&bundle, at) && at % 509 != 0 && at + 1100 < bundle.len() {
            continue;
        }
        let refusal = read(&bundle[..at], &roots).expect_err("a cut bundle passed");
        assert_eq!(refusal.code(), codes::TRUNCATED, "cut at {at}: {refusal:?}");
    }
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
