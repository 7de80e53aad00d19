//! An encrypted bundle, from the outside: what its recipients read, and what everybody else sees.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests report by panicking")]

use std::collections::BTreeSet;
use std::io::{Cursor, Read, Seek, SeekFrom, Write};

use consign_format::archive::header;
use consign_format::error::{Coded, codes};
use consign_format::verify::Undecryptable;
use consign_sealed::{Recipient, SealedError, SiteKey, Unsealed, is_sealed, seal};
use proptest::prelude::*;

const BOUNDARY: usize = 128 * 1024;

/// Bytes that repeat nowhere within a chunk and are the same every time.
fn plain(length: usize) -> Vec<u8> {
    (0..length as u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}

fn sealed(plain: &[u8], keys: &[&SiteKey]) -> Vec<u8> {
    let recipients: BTreeSet<Recipient> = keys.iter().map(|key| key.recipient()).collect();
    let mut sealing = seal(Cursor::new(Vec::new()), &recipients, &plain[..BOUNDARY]).unwrap();
    sealing.write_all(&plain[BOUNDARY..]).unwrap();
    sealing.finish().unwrap().into_inner()
}

fn read(bytes: &[u8], key: &SiteKey) -> Result<Vec<u8>, SealedError> {
    let mut out = Vec::new();
    Unsealed::open(Cursor::new(bytes), Some(key))?.read_to_end(&mut out)?;
    Ok(out)
}

fn refusal(bytes: &[u8], key: &SiteKey, what: &str) -> SealedError {
    read(bytes, key).err().unwrap_or_else(|| panic!("{what}: it was taken"))
}

/// Whether an error is the cipher's: on opening, or inside the error of a read.
fn is_undecryptable(error: &SealedError) -> bool {
    match error {
        SealedError::Io(source) => source.get_ref().is_some_and(|inner| inner.is::<Undecryptable>()),
        other => other.code() == codes::CANNOT_DECRYPT,
    }
}

fn members(bytes: &[u8]) -> Vec<(String, std::ops::Range<usize>)> {
    let (mut found, mut at) = (Vec::new(), 0);
    while bytes[at] != 0 {
        let (name, length) = header::parse(bytes[at..at + 512].try_into().unwrap()).unwrap();
        found.push((name, at + 512..at + 512 + length as usize));
        at += header::stored(length).unwrap() as usize;
    }
    assert_eq!(bytes[at..], [0; 1024]);
    found
}

#[test]
fn every_recipient_reads_the_whole_bundle() {
    let keys: Vec<SiteKey> = (0..3).map(|_| SiteKey::generate()).collect();
    // A last chunk that is short, full, and one byte.
    for length in [BOUNDARY + 1024, BOUNDARY + 64 * 1024, BOUNDARY + 128 * 1024 + 1] {
        let plain = plain(length);
        let bytes = sealed(&plain, &keys.iter().collect::<Vec<_>>());
        assert!(is_sealed(&mut Cursor::new(&bytes)).unwrap());
        for key in &keys {
            assert!(read(&bytes, key).unwrap() == plain, "{length}");
        }
        let opened = Unsealed::open(Cursor::new(&bytes), Some(&keys[0])).unwrap();
        assert_eq!((opened.length(), opened.medium_length()), (length as u64, bytes.len() as u64));
    }
}

#[test]
fn the_members_are_the_four_and_their_sizes_are_known() {
    let (key, other) = (SiteKey::generate(), SiteKey::generate());
    let bytes = sealed(&plain(BOUNDARY + 100_000), &[&key, &other]);
    let found = members(&bytes);
    let names: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["consign-encrypted", "keys", "head.age", "payload.age"]);
    assert_eq!(bytes[found[0].1.clone()], *b"1\n");
    assert_eq!(found[1].1.len(), 2 * 512);
    for (n, ciphertext) in [(2, BOUNDARY + 2 * 16), (3, 100_000 + 2 * 16)] {
        let header = found[n].1.len() - ciphertext;
        assert!((150..500).contains(&header), "{}: a header of {header}", names[n]);
    }
}

#[test]
fn another_key_and_no_key_are_told_apart() {
    let bytes = sealed(&plain(BOUNDARY + 1024), &[&SiteKey::generate(), &SiteKey::generate()]);
    let stranger = SiteKey::generate();
    let error = refusal(&bytes, &stranger, "a stranger");
    assert!(matches!(error, SealedError::NotForUs { recipients: 2, .. }), "{error}");
    assert!(error.to_string().contains(stranger.recipient().as_str()));
    let error = Unsealed::open(Cursor::new(&bytes), None).err().unwrap();
    assert!(matches!(error, SealedError::NoKey { recipients: 2 }), "{error}");
    assert_eq!(error.code(), codes::CANNOT_DECRYPT);
    let nobody = seal(Cursor::new(Vec::new()), &BTreeSet::new(), b"head");
    assert!(matches!(nobody.err(), Some(SealedError::NoRecipient)));
}

#[test]
fn a_flipped_bit_is_refused_wherever_it_is() {
    let key = SiteKey::generate();
    let mut bytes = sealed(&plain(BOUNDARY + 70_000), &[&key]);
    let found = members(&bytes);
    let mut places: Vec<usize> = (0..512).collect();
    for (_, content) in &found {
        places.extend((content.start - 512..(content.start + 600).min(bytes.len())).step_by(3));
        places.extend((content.end.saturating_sub(20)..(content.end + 600).min(bytes.len())).step_by(7));
    }
    places.extend((0..bytes.len()).step_by(9973));
    for at in places {
        // The first member's name makes it an encrypted bundle or another file.
        bytes[at] ^= 1 << (at % 8);
        let error = refusal(&bytes, &key, &format!("byte {at}"));
        assert!(is_undecryptable(&error), "byte {at}: {error}");
        bytes[at] ^= 1 << (at % 8);
    }
    assert!(read(&bytes, &key).is_ok());
}

#[test]
fn a_cut_and_an_appended_byte_are_refused() {
    let key = SiteKey::generate();
    let bytes = sealed(&plain(BOUNDARY + 70_000), &[&key]);
    for end in (0..bytes.len()).step_by(997).chain(bytes.len() - 1025..bytes.len()) {
        let error = refusal(&bytes[..end], &key, &format!("the first {end} bytes"));
        assert!(is_undecryptable(&error), "the first {end} bytes: {error}");
    }
    for more in [&[0_u8][..], &[0; 512], b"x"] {
        assert!(is_undecryptable(&refusal(&[&bytes, more].concat(), &key, "more bytes")));
    }
}

/// A courier who drops the last chunk and writes a header that fits.
#[test]
fn a_part_shortened_by_whole_chunks_is_refused() {
    let key = SiteKey::generate();
    let bytes = sealed(&plain(BOUNDARY + 3 * 64 * 1024), &[&key]);
    let payload = members(&bytes).pop().unwrap().1;
    let shorter = payload.len() - (64 * 1024 + 16);
    let mut forged = bytes[..payload.start - 512].to_vec();
    forged.extend(header::canonical("payload.age", shorter as u64).unwrap());
    forged.extend(&bytes[payload.start..payload.start + shorter]);
    forged.resize(forged.len() + header::padding(shorter as u64) as usize + 1024, 0);
    assert!(is_undecryptable(&refusal(&forged, &key, "a forgery")));
}

#[test]
fn a_header_of_four_thousand_stanzas_is_refused_unread() {
    let key = SiteKey::generate();
    let bytes = sealed(&plain(BOUNDARY + 1024), &[&key]);
    let head = members(&bytes)[2].1.clone();
    let stanza = "-> X25519 TEiF0ypqr+bpvcqXNyCVJpL7OuwPdVwPL7KQEbFDOCc\nEmECAEcKN+n/Vs9SbWiV+Hu0r+E8R77DdWYyd83nw7U\n";
    let many = format!("age-encryption.org/v1\n{}--- mac\n", stanza.repeat(4000)).into_bytes();
    let mut forged = bytes[..head.start - 512].to_vec();
    forged.extend(header::canonical("head.age", many.len() as u64).unwrap());
    forged.extend(&many);
    forged.resize(forged.len() + header::padding(many.len() as u64) as usize, 0);
    forged.extend(&bytes[head.start + header::stored(head.len() as u64).unwrap() as usize - 512..]);
    let error = refusal(&forged, &key, "a forgery");
    assert!(matches!(error, SealedError::Damaged(reason) if reason.0 == "its header names too many recipients"));
}

#[test]
fn two_encryptions_of_one_bundle_share_nothing() {
    let key = SiteKey::generate();
    let plain = plain(BOUNDARY + 70_000);
    let (one, two) = (sealed(&plain, &[&key]), sealed(&plain, &[&key]));
    for n in [2, 3] {
        // The last bytes of both, where no header is; the same plain text at the same distance from the end.
        let body =
            |bytes: &[u8]| bytes[members(bytes)[n].1.clone()].iter().rev().take(60_000).copied().collect::<Vec<_>>();
        let (one, two) = (body(&one), body(&two));
        let equal = one.iter().zip(&two).filter(|(a, b)| a == b).count();
        // One byte in 256 is equal by chance: 234 of 60 000, with a deviation of 15.
        assert!((100..400).contains(&equal), "{equal} equal bytes");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn reading_from_anywhere_is_reading_the_plain_bundle(
        more in 1024_usize..200_000,
        reads in prop::collection::vec((any::<prop::sample::Index>(), 0_usize..100_000), 1..12),
    ) {
        let key = SiteKey::generate();
        let plain = plain(BOUNDARY + more);
        let bytes = sealed(&plain, &[&key]);
        let mut unsealed = Unsealed::open(Cursor::new(&bytes), Some(&key)).unwrap();
        for (index, length) in reads {
            let at = index.index(plain.len() + 1);
            prop_assert_eq!(unsealed.seek(SeekFrom::Start(at as u64)).unwrap(), at as u64);
            let mut out = Vec::new();
            (&mut unsealed).take(length as u64).read_to_end(&mut out).unwrap();
            prop_assert!(out == plain[at..(at + length).min(plain.len())]);
        }
        prop_assert!(unsealed.seek(SeekFrom::Start(plain.len() as u64 + 1)).is_err());
    }
}
