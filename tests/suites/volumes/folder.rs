//! All volumes at once: in a folder, whatever they are called, on a medium that nobody can write to.

use std::fs;

use consign_tests::command::Outcome;
use consign_tests::forge::ROOT;
use consign_tests::forge::sheet::root;
use consign_tests::volumes;

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
        assert_eq!(done["bundles"][0]["outcome"], "applied", "{done}");
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
    let said: Outcome = site.invoke(["verify"]).arg(folder.path()).fails("which-bundle", 2);
    said.says("lamp.consign, lamp.consign.1-of-");
    // They are one release, and it is taken once.
    let done = site.export(folder.path()).arg("--json").succeeds().json();
    assert_eq!(done["bundles"].as_array().unwrap().len(), 1, "{done}");
    // Named, each is found.
    site.invoke(["verify"]).arg(&volumes[0]).succeeds();
    site.invoke(["verify"]).arg(folder.path().join("lamp.consign")).succeeds();
}

#[test]
fn a_volume_that_is_torn_or_anothers_holds_back_no_root() {
    let second = root(2).role("targets", &[4], 1).signed_by(&[ROOT]);
    let forge = release().with(|forge| {
        forge.roots.push(second);
        forge.approvers = vec![4];
    });
    let other = volumes::release(8, &[40_000, 70_000]);
    for what in ["torn", "another bundle's"] {
        let (folder, volumes) = cut(&forge, ROOM);
        let (_aside, others) = cut(&other, ROOM);
        match what {
            "torn" => fs::write(&volumes[1], &fs::read(&volumes[1]).unwrap()[..4096]).unwrap(),
            _ => drop(fs::copy(&others[1], &volumes[1]).unwrap()),
        }
        let site = site(&forge);
        let said = site.export(folder.path()).run();
        assert!(matches!(said.exit, Some(10 | 11 | 14)), "{what}: {said}");
        let status = site.status();
        assert_eq!(status["domains"][0]["rootVersion"], 2, "{what}: {status}");
        assert_eq!(status["products"], serde_json::json!([]), "{what}: nothing else was taken");
    }
}
