//! All volumes at once: in a folder, whatever they are called, on a medium that nobody can write to.

use std::fs;

use consign_tests::command::Outcome;

use super::{NARROW, ROOM, cut, has_all, read_only, release, site};

#[test]
fn a_folder_of_volumes_is_the_bundle() {
    let forge = release();
    for room in [ROOM, NARROW] {
        let (folder, volumes) = cut(&forge, room);
        // Names that lie, and a volume that is there twice.
        let last = volumes.len() - 1;
        let aside = folder.path().join("aside");
        fs::rename(&volumes[0], &aside).unwrap();
        fs::rename(&volumes[last], &volumes[0]).unwrap();
        fs::rename(&aside, &volumes[last]).unwrap();
        fs::copy(&volumes[1], folder.path().join("lamp.consign.999-of-999")).unwrap();
        fs::write(folder.path().join("._lamp.consign.1-of-9"), b"left by a file manager").unwrap();
        read_only(folder.path());
        let site = site(&forge);
        site.invoke(["verify"]).arg(folder.path()).succeeds();
        let done = site.export(folder.path()).arg("--json").succeeds().json();
        assert_eq!(done["outcome"], "applied", "{done}");
        has_all(&site, &forge);
        // Again, by one of them: everything is here.
        let again = site.export(&volumes[1]).arg("--json").succeeds().json();
        assert_eq!((&again["alreadyCurrent"], &again["loaded"]["written"]), (&true.into(), &0.into()), "{again}");
    }
}

#[test]
fn a_scan_lies_beside_the_volumes_as_beside_the_bundle() {
    let forge = release();
    let (folder, _volumes) = cut(&forge, ROOM);
    let site = site(&forge);
    let config = site.root().join("etc/consign/site.toml");
    fs::create_dir_all(config.parent().unwrap()).unwrap();
    fs::write(config, "requireScan = true\n").unwrap();
    let said = site.export(folder.path()).run();
    assert_ne!(said.exit, Some(0), "{said}");
    assert!(!said.stderr.contains("-of-"), "no volume has a scan of its own: {said}");
}

#[test]
fn two_bundles_in_a_folder_are_two() {
    let forge = release();
    let (folder, volumes) = cut(&forge, ROOM);
    fs::write(folder.path().join("lamp.consign"), forge.bundle()).unwrap();
    let site = site(&forge);
    let said: Outcome = site.export(folder.path()).fails("which-bundle", 2);
    said.says("lamp.consign, lamp.consign in volumes");
    // Named, each is found.
    site.invoke(["verify"]).arg(&volumes[0]).succeeds();
    site.invoke(["verify"]).arg(folder.path().join("lamp.consign")).succeeds();
}
