//! A bundle cut at every size is the same bundle again; what is missing, foreign or damaged is named; no lie in a hint
//! brings other bytes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::disallowed_methods)]

mod kit;

use std::io::{Read, Seek, SeekFrom};

use consign_format::archive::volumes::{CutError, Shape, VolumeError, check_volume, cut};
use consign_format::error::{Coded, Exit, codes};
use consign_format::{Digest, archive::header};
use kit::volumes::{assemble, bytes, ends, least, split, write};
use kit::{Parts, parts, read, trust};

/// Members of many sizes, some larger than the smallest volume.
fn some() -> Parts {
    use consign_format::carriage::{Carried, Member, Place};
    use consign_format::release::{Blob, Role};
    let mut parts = parts();
    for length in [0, 1, 700, 9000, 4096, 512, 3000] {
        let content = vec![length as u8 ^ 0x5a; length];
        let digest = Digest::of(&content);
        let name = Place::Blob(digest).name();
        let media_type = "application/octet-stream".to_owned();
        let member = Member { name, length: length as u64, sha256: digest, carried: Carried::Full, packed: None };
        parts.release.blobs.push(Blob { digest, size: length as u64, media_type, role: Role::Layer });
        parts.contents.push((member, content));
    }
    parts.release.blobs.sort_by_key(|blob| blob.digest);
    parts
}

fn slices(volumes: &[Vec<u8>]) -> Vec<&[u8]> {
    volumes.iter().map(Vec::as_slice).collect()
}

/// The members of a volume, as any tar reads them.
fn members(volume: &[u8]) -> Vec<(String, u64)> {
    let (mut at, mut found) = (0, Vec::new());
    while volume[at..at + 512] != [0; 512] {
        let (name, length) = header::parse(volume[at..at + 512].try_into().unwrap()).unwrap();
        found.push((name, length));
        at += 512 + (length as usize).next_multiple_of(512);
    }
    assert!(volume[at..] == [0; 1024], "two zero blocks end it, and nothing follows");
    found
}

#[test]
fn cut_at_every_size_it_is_the_same_bundle_again() {
    let parts = some();
    let bundle = parts.pack_small();
    let whole = bundle.len() as u64 + 1024;
    for size in (least(&bundle)..whole + 1024).step_by(512) {
        let volumes = split(&bundle, size + size % 3);
        assert_eq!(bytes(&slices(&volumes)).unwrap(), bundle, "{size}");
        for volume in &volumes {
            assert!(volume.len() as u64 <= size, "{size}: {}", volume.len());
            members(volume);
        }
        assert_eq!(volumes.len() == 1, size >= whole, "{size}: {} volumes", volumes.len());
    }
    read(&bytes(&slices(&split(&bundle, least(&bundle)))).unwrap(), &trust(&parts)).unwrap();
}

#[test]
fn only_members_larger_than_a_volume_are_cut() {
    let bundle = some().pack_small();
    let (boundary, ends) = ends(&bundle);
    for room in [2048, 4096, 8192, 16384] {
        let size = 1024 + boundary + room + 1024;
        let hints = cut(Shape::Plain { boundary, ends: &ends }, Digest::of(b""), size).unwrap();
        for hint in &hints[1..] {
            if ends.contains(&hint.from) {
                continue;
            }
            let end = *ends.iter().find(|end| **end > hint.from).unwrap();
            let begin = ends.iter().rev().find(|end| **end < hint.from).copied().unwrap_or(boundary);
            assert!(end - begin > room, "room {room}: a member of {} is cut", end - begin);
        }
    }
    let small = cut(Shape::Plain { boundary, ends: &ends }, Digest::of(b""), least(&bundle) - 1);
    assert!(matches!(small, Err(CutError::TooSmall { least: n, .. }) if n == least(&bundle)));
}

#[test]
fn order_and_repetition_are_fine_and_what_is_missing_is_named() {
    let bundle = some().pack_small();
    let volumes = split(&bundle, least(&bundle) + 2048);
    let mut shuffled = slices(&volumes);
    assert!(shuffled.len() > 4, "{} volumes", shuffled.len());
    shuffled.reverse();
    shuffled.push(&volumes[1]);
    assert_eq!(bytes(&shuffled).unwrap(), bundle);
    // Without the second and the third; the last is always there to be reached.
    let some = [&slices(&volumes[..1])[..], &slices(&volumes[3..])].concat();
    let mut joined = assemble(&some).unwrap();
    let missing = joined.map().missing();
    assert_eq!(missing.len(), 1);
    assert_eq!((missing[0].first, missing[0].last, missing[0].of), (2, 3, volumes.len() as u64));
    let error = joined.read_to_end(&mut Vec::new()).unwrap_err();
    let said = error.to_string();
    assert_eq!(
        said,
        format!(
            "volumes 2 to 3 of {} are missing: bytes {} to {} of the bundle",
            volumes.len(),
            missing[0].from,
            missing[0].to
        )
    );
    assert_eq!(joined.position(), missing[0].from, "everything before it was read");
    joined.seek(SeekFrom::Start(missing[0].to)).unwrap();
    let mut rest = Vec::new();
    joined.read_to_end(&mut rest).unwrap();
    assert_eq!(rest, bundle[missing[0].to as usize..]);
}

#[test]
fn another_bundles_volume_and_another_cut_are_refused() {
    let bundle = some().pack_small();
    let volumes = split(&bundle, least(&bundle) + 2048);
    let mut other = some();
    other.release.sequence += 1;
    let foreign = split(&other.pack_small(), least(&bundle) + 2048);
    let error = bytes(&[&volumes[0], &foreign[1]]).unwrap_err();
    assert_eq!(error.code(), codes::VOLUME_FOREIGN);
    let again = split(&bundle, least(&bundle) + 4096);
    let error = bytes(&[&volumes[0], &again[1]]).unwrap_err();
    assert_eq!(error.code(), codes::VOLUME_MALFORMED);
}

/// Hints that leave a gap or overlap, each right in itself.
#[test]
fn gaps_and_overlaps_are_refused() {
    let bundle = some().pack_small();
    let (boundary, ends) = ends(&bundle);
    let head = &bundle[..boundary as usize];
    let shape = Shape::Plain { boundary, ends: &ends };
    let hints = cut(shape, Digest::of(head), least(&bundle) + 2048).unwrap();
    for by in [512_i64, -512] {
        let mut hint = hints[1].clone();
        (hint.leading, hint.trailing) = (0, 0);
        hint.from = hint.from.checked_add_signed(by).unwrap();
        let payload = vec![0; (hint.to - hint.from) as usize];
        let first = &split(&bundle, least(&bundle) + 2048)[0];
        let error = bytes(&[first, &write(vec![hint], head, &payload)[0]]).unwrap_err();
        assert!(matches!(error, VolumeError::Contradictory(_)), "{error}");
    }
}

#[test]
fn cut_off_at_every_byte_it_is_refused() {
    let bundle = some().pack_small();
    let volumes = split(&bundle, least(&bundle) + 2048);
    let volume = &volumes[1];
    for length in (0..4096).chain((4096..volume.len()).step_by(61)) {
        let error = bytes(&[&volumes[0], &volume[..length]]).unwrap_err();
        assert_eq!(error.code(), codes::TRUNCATED, "{length}: {error}");
    }
    let long = [volume.as_slice(), &[0]].concat();
    assert_eq!(bytes(&[&long]).unwrap_err().code(), codes::VOLUME_MALFORMED);
}

/// A flipped bit outside what the bundle itself vouches for is found here, or changes nothing that is read.
#[test]
fn a_flipped_bit_is_refused_or_the_bundle_refuses_it() {
    let parts = some();
    let bundle = parts.pack_small();
    let volumes = split(&bundle, least(&bundle) + 2048);
    let frame = |at: usize| at < 1024 || at >= volumes[1].len() - 1024;
    for at in (0..volumes[1].len()).filter(|at| frame(*at) || at % 97 == 0) {
        let mut flipped = volumes.clone();
        flipped[1][at] ^= 1 << (at % 8);
        let exit = match bytes(&slices(&flipped)) {
            Err(error) => error.code().exit,
            Ok(read) if frame(at) => panic!("byte {at} of the frame: {} bytes read", read.len()),
            Ok(read) => kit::read(&read, &trust(&parts)).map(|_| ()).unwrap_err().code().exit,
        };
        assert!(matches!(exit, Exit::Damaged | Exit::Malformed | Exit::NotForSite), "byte {at}: {exit:?}");
    }
}

#[test]
fn an_encrypted_bundle_is_cut_anywhere() {
    let bundle: Vec<u8> = (0..300 * 512_usize).map(|n| (n / 7) as u8).collect();
    let front = Digest::of(&bundle[..64 * 1024]);
    let length = bundle.len() as u64;
    for size in (70 * 1024..160 * 1024).step_by(1024) {
        let hints = cut(Shape::Sealed { length }, front, size).unwrap();
        let volumes = write(hints, &[], &bundle);
        let mut reversed = slices(&volumes);
        reversed.reverse();
        assert_eq!(bytes(&reversed).unwrap(), bundle);
        volumes.iter().for_each(|volume| assert!(members(volume)[1].0.starts_with("piece/")));
    }
    let hints = cut(Shape::Sealed { length }, front, 80 * 1024).unwrap();
    let mut first = write(hints, &[], &bundle).swap_remove(0);
    first[5000] ^= 1;
    assert_eq!(check_volume(&mut std::io::Cursor::new(first)).unwrap_err().code(), codes::DIGEST_MISMATCH);
}
