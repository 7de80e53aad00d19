//! Discs one at a time: each is loaded, the next is asked for, and nothing is changed before the last.

use std::fs;

use consign_tests::untouched::Untouched;
use consign_tests::volumes::noise;

use super::{NARROW, ROOM, burnt, cut, has_all, release, site};

#[test]
fn discs_are_loaded_one_after_the_other_in_any_order() {
    let forge = release();
    let (_folder, volumes) = cut(&forge, ROOM);
    let discs = burnt(&volumes);
    let of = discs.len();
    assert!(of >= 4, "{of} volumes");
    let site = site(&forge);
    let before = Untouched::of(&site);
    let (mut order, mut kept) = ((0..of).collect::<Vec<_>>(), 0);
    order.rotate_left(2);
    let (last, first) = order.split_last().unwrap();
    for disc in first {
        let said = site.export(discs[*disc].path()).fails("volume-missing", 10);
        said.says("not here yet: bring volume").says(&format!(" of {of}\n")).says("run again with it");
        assert!(!said.stderr.contains("cut"), "{said}");
        before.check(&site, "a disc of several");
        let now = fs::read_dir(site.kept().join("blobs/sha256")).unwrap().count();
        assert!(now > kept, "disc {disc} has brought nothing");
        kept = now;
        // The same disc again brings nothing, and harms nothing.
        site.export(discs[*disc].path()).fails("volume-missing", 10);
    }
    let done = site.export(discs[*last].path()).arg("--json").succeeds().json();
    let written = done["bundles"][0]["loaded"]["written"].as_u64().unwrap();
    let all: u64 = forge.content.blobs.values().map(|blob| blob["size"].as_u64().unwrap()).sum();
    assert!(written > 0 && written < all / 2, "the last disc brings its own part alone: {written} of {all}");
    has_all(&site, &forge);
    for (disc, volume) in discs.iter().zip(&volumes) {
        assert_eq!(fs::read_dir(disc.path()).unwrap().count(), 1, "something was left on a disc");
        let burnt = disc.path().join(volume.file_name().unwrap());
        assert!(fs::read(burnt).unwrap() == fs::read(volume).unwrap());
    }
    let receipt = fs::read_dir(site.kept().join("receipts")).unwrap().find_map(Result::ok).unwrap().path();
    let text = fs::read_to_string(receipt).unwrap();
    assert!(text.contains("\"refused\":0"), "waiting for a disc is no refusal: {text}");
}

#[test]
fn the_disc_that_is_wanted_is_named() {
    let forge = release();
    let (_folder, volumes) = cut(&forge, ROOM);
    let discs = burnt(&volumes);
    let site = site(&forge);
    let of = discs.len();
    // All but the third, in one folder.
    let some = tempfile::tempdir().unwrap();
    for volume in volumes.iter().filter(|volume| **volume != volumes[2]) {
        fs::copy(volume, some.path().join(volume.file_name().unwrap())).unwrap();
    }
    let verify = site.invoke(["verify"]).arg(some.path()).fails("volume-missing", 10);
    verify.says(&format!("volume 3 of {of} is missing: bytes "));
    site.export(some.path()).arg("--dry-run").run();
    site.export(some.path()).fails("volume-missing", 10).says(&format!("bring volume 3 of {of}"));
    site.export(discs[2].path()).succeeds();
    has_all(&site, &forge);
}

#[test]
fn a_blob_that_was_cut_needs_its_volumes_at_once() {
    let forge = release();
    let (folder, volumes) = cut(&forge, NARROW);
    let site = site(&forge);
    let discs = burnt(&volumes);
    for disc in discs.iter().chain(&discs) {
        site.export(disc.path()).fails("volume-missing", 10);
    }
    let said = site.export(discs[0].path()).fails("volume-missing", 10);
    said.says("needs all of its volumes at once");
    site.export(folder.path()).succeeds();
    has_all(&site, &forge);
}

#[test]
fn a_damaged_disc_is_named_by_volume_and_byte_range() {
    let forge = release();
    let (folder, volumes) = cut(&forge, ROOM);
    let mut bytes = fs::read(&volumes[1]).unwrap();
    let mut layers = (0..6).map(|n| noise(700 + n, 100));
    let at = layers.find_map(|layer| bytes.windows(100).position(|window| window == layer)).unwrap() + 50;
    bytes[at] ^= 1;
    fs::write(&volumes[1], bytes).unwrap();
    let site = site(&forge);
    let before = Untouched::of(&site);
    for run in [site.invoke(["verify"]).arg(folder.path()), site.export(folder.path())] {
        let said = run.fails("digest-mismatch", 10);
        let range = said
            .stderr
            .split(&format!("volume 2 of {}, bytes ", volumes.len()))
            .nth(1)
            .unwrap_or_else(|| panic!("{said}"));
        let numbers: Vec<usize> =
            range.split(|c: char| !c.is_ascii_digit()).filter_map(|text| text.parse().ok()).take(2).collect();
        assert!(numbers[0] <= at && at < numbers[1], "byte {at}: {said}");
    }
    before.check(&site, "a damaged disc");
    let output = folder.path().join("out.consign");
    let join = consign_tests::command::consign(["join"]).arg(folder.path()).option("--output", &output);
    join.fails("digest-mismatch", 10).says("volume 2 of ");
    assert!(!output.exists());
}
