//! Encrypted bundles are cut without a key, and all volumes are needed at once.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Cursor, Write as _};

use consign_sealed::{SiteKey, seal};
use consign_tests::command::consign;
use consign_tests::untouched::Untouched;
use consign_tests::volumes::split;

use super::{has_all, release, site};

#[test]
fn an_encrypted_bundle_travels_in_volumes() {
    let forge = release();
    let site = site(&forge);
    let key = fs::read_to_string(site.kept().join("trust/site.age")).unwrap();
    let to = SiteKey::from_text(&key).unwrap().recipient();
    let (tape, plain) = (forge.tape(), forge.bundle());
    let boundary = tape.boundary() as usize;
    let mut sealing = seal(Cursor::new(Vec::new()), &BTreeSet::from([to]), &plain[..boundary]).unwrap();
    sealing.write_all(&plain[boundary..]).unwrap();
    let sealed = sealing.finish().unwrap().into_inner();
    let folder = tempfile::tempdir().unwrap();
    let whole = folder.path().join("lamp.consign");
    fs::write(&whole, &sealed).unwrap();
    let discs = tempfile::tempdir().unwrap();
    let done = split(&whole, 100_000, discs.path()).arg("--json").succeeds().json();
    let volumes = done["volumes"].as_array().unwrap();
    assert!(volumes.len() > 2 && done.get("product").is_none(), "{done}");
    let output = folder.path().join("again.consign");
    consign(["join"]).arg(discs.path()).option("--output", &output).succeeds();
    assert!(fs::read(&output).unwrap() == sealed);
    let before = Untouched::of(&site);
    let second = volumes[1]["path"].as_str().unwrap();
    let aside = folder.path().join("aside");
    fs::rename(second, &aside).unwrap();
    site.export(discs.path()).fails("volume-missing", 10).says("volume 2 of ");
    before.check(&site, "a volume of an encrypted bundle is missing");
    fs::rename(&aside, second).unwrap();
    site.invoke(["verify"]).arg(discs.path()).succeeds();
    site.export(discs.path()).succeeds();
    has_all(&site, &forge);
}
