//! Heads rewritten in place, cut off anywhere, and heads that are not the bundle's.

use std::fs;
use std::path::Path;

use crate::desk::{BUNDLE, Desk, NEXT};

#[test]
fn a_head_that_waits_does_not_outlive_a_new_bundle() {
    let desk = Desk::with_root();
    let (old, new) = rewritten(&desk);
    let (boundary, head) = (boundary(&desk), desk.at(&format!("{BUNDLE}.head")));
    let build = "build --key keys/ci --key keys/carol --key keys/alice --passphrase-file keys/pass";
    let heads = [&new[..boundary], &new[..boundary / 2], b"hello"];
    for waiting in heads {
        for before in [Some(&old), None] {
            match before {
                Some(before) => fs::write(desk.at(BUNDLE), before).unwrap(),
                None => fs::remove_file(desk.at(BUNDLE)).unwrap(),
            }
            fs::write(&head, waiting).unwrap();
            desk.ok(build);
            assert!(!head.exists());
            let built = fs::read(desk.at(BUNDLE)).unwrap();
            assert!(built != new && built != old);
            desk.ok(&format!("verify {BUNDLE}"));
        }
    }
}

/// The bundle before and after a merge, and the request that was merged.
fn rewritten(desk: &Desk) -> (Vec<u8>, Vec<u8>) {
    desk.ok("build --key keys/ci --key keys/alice");
    desk.ok(&format!("approve --request {BUNDLE} -o r.json"));
    desk.ok("approve r.json --key keys/bob");
    let old = fs::read(desk.at(BUNDLE)).unwrap();
    desk.ok(&format!("approve --merge {BUNDLE} r.json"));
    let new = fs::read(desk.at(BUNDLE)).unwrap();
    assert_ne!(old, new);
    (old, new)
}

fn boundary(desk: &Desk) -> usize {
    use consign_bundler::{approval, medium};
    approval::read_head(medium::file(&desk.at(BUNDLE)).unwrap()).unwrap().boundary as usize
}

#[test]
fn a_rewriting_that_is_cut_anywhere_is_read_as_done_and_finished_by_the_next_run() {
    let desk = Desk::with_root();
    let (old, new) = rewritten(&desk);
    let boundary = boundary(&desk);
    assert_eq!(old[boundary..], new[boundary..], "the payload is not touched");
    let (bundle, head) = (desk.at(BUNDLE), desk.at(&format!("{BUNDLE}.head")));
    let differing: Vec<usize> = (0..boundary).filter(|at| old[*at] != new[*at]).collect();
    let (first, last) = (differing[0], differing[differing.len() - 1]);
    let cuts = [0, 1, first, first + 1, 4096, (first + last) / 2, last, last + 1, boundary - 1, boundary];
    for cut in cuts {
        fs::write(&bundle, [&new[..cut], &old[cut..]].concat()).unwrap();
        fs::write(&head, &new[..boundary]).unwrap();
        desk.ok(&format!("verify {BUNDLE}"));
        assert!(head.exists(), "who only reads leaves it to others");
        desk.ok(&format!("approve --merge {BUNDLE} r.json"));
        assert!(!head.exists(), "{cut}");
        assert!(fs::read(&bundle).unwrap() == new, "{cut}");
    }
    // Cut before the head was whole: there is a draft of another name, and the old bundle.
    fs::write(&bundle, &old).unwrap();
    fs::write(desk.at(".draft-1-0"), &new[..boundary / 2]).unwrap();
    assert_eq!(desk.refused(&format!("verify {BUNDLE}"), 12), "below-threshold");
}

#[test]
fn a_torn_or_foreign_head_is_never_written() {
    let desk = Desk::with_root();
    let (old, new) = rewritten(&desk);
    let boundary = boundary(&desk);
    let (bundle, head) = (desk.at(BUNDLE), desk.at(&format!("{BUNDLE}.head")));
    desk.build_next();
    let foreign = fs::read(desk.at(NEXT)).unwrap();
    for (name, bytes) in [
        ("empty", &new[..0]),
        ("torn", &new[..boundary / 2]),
        ("a byte short", &new[..boundary - 1]),
        ("longer", &new[..boundary + 512]),
        ("another bundle's", &foreign[..boundary]),
        ("no head", b"hello"),
    ] {
        fs::write(&bundle, &old).unwrap();
        fs::write(&head, bytes).unwrap();
        assert_eq!(desk.refused(&format!("approve --merge {BUNDLE} r.json"), 11), "head-foreign", "{name}");
        assert!(fs::read(&bundle).unwrap() == old && fs::read(&head).unwrap() == bytes, "{name}");
    }
    fs::write(&bundle, &new).unwrap();
    fs::write(&head, &new[..boundary / 2]).unwrap();
    desk.ok(&format!("verify {BUNDLE}"));
    fs::remove_file(&head).unwrap();
    std::os::unix::fs::symlink("/dev/zero", &head).unwrap();
    assert!(Path::exists(&head));
    assert_ne!(desk.run(&format!("approve --merge {BUNDLE} r.json")).0, 0);
    assert!(fs::read(&bundle).unwrap() == new);
}
