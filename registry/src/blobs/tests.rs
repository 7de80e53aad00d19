use std::os::unix::fs::{PermissionsExt, symlink};

use super::*;

fn folder() -> (tempfile::TempDir, BlobFolder) {
    let dir = tempfile::tempdir().unwrap();
    let blobs = BlobFolder::open(dir.path()).unwrap();
    (dir, blobs)
}

/// Every way of writing one blob, so that each promise is held against all of them.
const WAYS: [&str; 6] = ["put", "put_from_file", "by hand", "writer", "bulk put", "bulk put_from_file"];

fn write(way: &str, blobs: &BlobFolder, digest: &Digest, size: u64, bytes: &[u8]) -> Result<(), BlobError> {
    let medium = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(medium.path(), [b"head".as_slice(), bytes].concat()).unwrap();
    let file = File::open(medium.path()).unwrap();
    let mut bulk = blobs.bulk();
    match way {
        "put" => blobs.put(digest, size, bytes),
        "put_from_file" => blobs.put_from_file(digest, size, &file, 4),
        // What `put_from_file` does between two file systems.
        "by hand" => {
            let draft = blobs.draft(digest, size, Section::new(&file, 4, size))?;
            blobs.name(draft, digest)
        }
        "bulk put" => bulk.put(digest, size, bytes).and_then(|()| bulk.finish()),
        "bulk put_from_file" => bulk.put_from_file(digest, size, &file, 4).and_then(|()| bulk.finish()),
        _ => {
            let mut writer = blobs.writer().unwrap();
            writer.write_all(bytes).unwrap();
            writer.finish(digest, size)
        }
    }
}

fn is_empty(blobs: &BlobFolder) -> bool {
    let listing = blobs.list().unwrap();
    listing.blobs.is_empty() && listing.strangers.is_empty()
}

#[test]
fn a_blob_is_there_after_each_way_of_writing_it() {
    for size in [0, 1, BUFFER - 1, BUFFER, BUFFER + 1, 3 * BUFFER] {
        let bytes: Vec<u8> = (0..size).map(|i| (i % 251) as u8).collect();
        let digest = Digest::of(&bytes);
        let (_dir, blobs) = folder();
        assert!(!blobs.contains(&digest, size as u64).unwrap());
        for way in WAYS {
            let done = write(way, &blobs, &digest, size as u64, &bytes);
            done.unwrap_or_else(|error| panic!("{way}, {size}: {error}"));
            assert!(blobs.contains(&digest, size as u64).unwrap(), "{way}");
            assert_eq!(blobs.rehash(&digest).unwrap(), size as u64, "{way}");
            assert_eq!(std::fs::metadata(blobs.path(&digest)).unwrap().permissions().mode() & 0o777, 0o444);
            blobs.remove(&digest).unwrap();
        }
        assert!(is_empty(&blobs));
    }
}

#[test]
fn wrong_bytes_leave_nothing() {
    let digest = Digest::of(b"promised");
    let (_dir, blobs) = folder();
    for way in WAYS {
        let done = write(way, &blobs, &digest, 8, b"other by");
        assert!(matches!(done, Err(BlobError::Mismatch { expected, .. }) if expected == digest), "{way}");
    }
    for way in WAYS {
        let done = write(way, &blobs, &digest, 8, b"promise");
        assert!(matches!(done, Err(BlobError::Short { actual: 7, .. })), "{way}");
    }
    assert!(is_empty(&blobs));
}

#[test]
fn a_source_that_goes_on_is_not_drained() {
    let digest = Digest::of(b"promised");
    let (_dir, blobs) = folder();
    assert!(matches!(blobs.put(&digest, 8, io::repeat(b'p')), Err(BlobError::Long { expected: 8, .. })));
    assert!(is_empty(&blobs));
}

#[test]
fn a_large_copy_is_hashed_by_the_second_thread() {
    let bytes: Vec<u8> = (0..70_000_000_u32).map(|i| (i / 7) as u8).collect();
    let digest = Digest::of(&bytes);
    let (dir, blobs) = folder();
    let medium = dir.path().join("medium");
    std::fs::write(&medium, &bytes).unwrap();
    let file = File::open(&medium).unwrap();
    let size = bytes.len() as u64;
    blobs.put_from_file(&digest, size, &file, 0).unwrap();
    assert_eq!(blobs.rehash(&digest).unwrap(), size);
    blobs.remove(&digest).unwrap();
    let longer = blobs.put_from_file(&digest, size + 1, &file, 0);
    assert!(matches!(longer, Err(BlobError::Short { .. })), "{longer:?}");
    let shifted = blobs.put_from_file(&digest, size - 1, &file, 1);
    assert!(matches!(shifted, Err(BlobError::Mismatch { .. })), "{shifted:?}");
    assert!(is_empty(&blobs));
}

#[test]
fn a_strangers_file_is_refused_and_left_for_a_person_to_look_at() {
    let bytes = b"promised";
    let digest = Digest::of(bytes);
    let (_dir, blobs) = folder();
    for content in [b"12345678".as_slice(), b"short"] {
        std::fs::write(blobs.path(&digest), content).unwrap();
        for way in WAYS {
            let done = write(way, &blobs, &digest, 8, bytes);
            assert!(matches!(done, Err(BlobError::Foreign { .. })), "{way}: {done:?}");
            assert_eq!(std::fs::read(blobs.path(&digest)).unwrap(), content, "{way}");
        }
        assert!(blobs.rehash(&digest).is_err());
    }
    assert!(matches!(blobs.contains(&digest, 8), Err(BlobError::Foreign { .. })));
}

#[test]
fn a_link_at_a_blobs_name_is_refused_and_not_followed() {
    let bytes = b"promised";
    let digest = Digest::of(bytes);
    let (dir, blobs) = folder();
    let outside = dir.path().join("outside");
    std::fs::write(&outside, bytes).unwrap();
    symlink(&outside, blobs.path(&digest)).unwrap();
    let unsafe_file = |error: &BlobError| matches!(error, BlobError::Durable(DurableError::Unsafe { .. }));
    assert!(unsafe_file(&blobs.contains(&digest, 8).unwrap_err()));
    assert!(unsafe_file(&blobs.open_blob(&digest).unwrap_err()));
    for way in WAYS {
        let done = write(way, &blobs, &digest, 8, bytes);
        assert!(unsafe_file(&done.unwrap_err()), "{way}");
    }
}

#[test]
fn a_blob_that_is_there_may_be_put_again() {
    let digest = Digest::of(b"twice");
    let (_dir, blobs) = folder();
    for way in WAYS {
        let done = write(way, &blobs, &digest, 5, b"twice");
        done.unwrap_or_else(|error| panic!("{way}: {error}"));
    }
    assert_eq!(blobs.list().unwrap().blobs, [digest]);
}

#[test]
fn links_in_place_of_the_folders_are_refused() {
    for link in ["blobs", "blobs/sha256"] {
        let dir = tempfile::tempdir().unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join(link).parent().unwrap()).unwrap();
        symlink(elsewhere.path(), dir.path().join(link)).unwrap();
        let error = BlobFolder::open(dir.path()).unwrap_err();
        assert!(matches!(error, BlobError::Durable(DurableError::Unsafe { .. })), "{link}: {error}");
    }
}

#[test]
fn reading_into_memory_is_bounded_and_checked() {
    let digest = Digest::of(b"document");
    let (_dir, blobs) = folder();
    blobs.put(&digest, 8, b"document".as_slice()).unwrap();
    assert_eq!(blobs.read(&digest, 8).unwrap(), b"document");
    assert!(matches!(blobs.read(&digest, 7), Err(BlobError::Long { .. })));
    assert!(matches!(blobs.read(&Digest::of(b"absent"), 7), Err(BlobError::Missing { .. })));
}

#[test]
fn bulk_shows_nothing_before_its_bytes_are_on_the_disk() {
    let (_dir, blobs) = folder();
    let mut bulk = blobs.bulk();
    let digests: Vec<_> = (0..700_u32).map(|i| Digest::of(&i.to_le_bytes())).collect();
    for (i, digest) in (0_u32..).zip(&digests) {
        bulk.put(digest, 4, i.to_le_bytes().as_slice()).unwrap();
    }
    let before = blobs.list().unwrap();
    assert!(before.blobs.len() < 700 && !before.strangers.is_empty());
    bulk.finish().unwrap();
    let after = blobs.list().unwrap();
    assert_eq!((after.blobs.len(), after.strangers.len()), (700, 0));

    let mut dropped = blobs.bulk();
    dropped.put(&Digest::of(b"lost"), 4, b"lost".as_slice()).unwrap();
    drop(dropped);
    assert!(blobs.list().unwrap().strangers.is_empty());
}

#[test]
fn a_power_cut_leaves_whole_blobs_and_drafts_and_the_next_run_ends_the_same() {
    let (dir, blobs) = folder();
    let digests: Vec<_> = (0..600_u32).map(|i| Digest::of(&i.to_le_bytes())).collect();
    let mut cut = blobs.bulk();
    for (i, digest) in (0_u32..).zip(&digests) {
        cut.put(digest, 4, i.to_le_bytes().as_slice()).unwrap();
    }
    // No destructor runs when the power goes.
    std::mem::forget(cut);
    let again = BlobFolder::open(dir.path()).unwrap();
    for digest in again.list().unwrap().blobs {
        assert_eq!(again.rehash(&digest).unwrap(), 4);
    }
    let mut resumed = again.bulk();
    for (i, digest) in (0_u32..).zip(&digests) {
        if !again.contains(digest, 4).unwrap() {
            resumed.put(digest, 4, i.to_le_bytes().as_slice()).unwrap();
        }
    }
    resumed.finish().unwrap();
    assert!(again.remove_drafts().unwrap() > 0);
    let listing = again.list().unwrap();
    assert_eq!((listing.blobs.len(), listing.strangers.len()), (600, 0));
}
