//! From a bundle to plain files, through a malware scanner, to an attestation that a site demands.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use consign_format::Digest;
use consign_format::trust::keys::SecretKey;
use consign_tests::images::run;
use consign_tests::site::Site;
use consign_tests::skip;
use serde_json::Value;

use crate::workshop::Workshop;

const GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
const PLAIN: &str = "application/vnd.oci.image.layer.v1.tar";

/// Every file below a folder, and whether there is anything else than files and folders.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let kind = entry.file_type().unwrap();
        assert!(kind.is_dir() || kind.is_file(), "{} is neither file nor folder", entry.path().display());
        if kind.is_dir() {
            found.extend(files(&entry.path()));
        } else {
            found.push(entry.path());
        }
    }
    found
}

/// A layer as tar makes it: one file with this content.
fn layer(workshop: &Workshop, name: &str, content: &str) -> Vec<u8> {
    let root = workshop.folder.join("root");
    fs::create_dir_all(root.join("opt")).unwrap();
    fs::write(root.join("opt").join(name), content).unwrap();
    let tar = workshop.folder.join("layer.tar");
    run(Command::new("tar").arg("-cf").arg(&tar).arg("-C").arg(&root).arg("."));
    fs::remove_dir_all(root).unwrap();
    fs::read(tar).unwrap()
}

fn gzip(bytes: &[u8], workshop: &Workshop) -> Vec<u8> {
    let file = workshop.folder.join("plain");
    fs::write(&file, bytes).unwrap();
    run(Command::new("gzip").args(["--force", "--no-name"]).arg(&file));
    fs::read(workshop.folder.join("plain.gz")).unwrap()
}

fn unpacked(dir: &Path) -> Value {
    serde_json::from_slice(&fs::read(dir.join("unpacked.json")).unwrap()).unwrap()
}

#[test]
fn everything_with_content_is_laid_out_once() {
    if !Workshop::is_possible() {
        return;
    }
    let workshop = Workshop::new();
    let one = layer(&workshop, "plain", "as it is");
    workshop.add_image("plain", PLAIN, &one);
    workshop.add_image("again", PLAIN, &one);
    let bundle = workshop.build();
    let before = Digest::of(&fs::read(&bundle).unwrap());
    let dir = workshop.folder.join("laid");
    workshop.consign(["unpack", "--for-scan"]).arg(&bundle).arg(&dir).succeeds();
    assert_eq!(Digest::of(&fs::read(&bundle).unwrap()), before);
    let listing = unpacked(&dir);
    assert_eq!(listing["complete"], true, "{listing:#}");
    let found = files(&dir);
    assert_eq!(found.len() as u64, listing["files"].as_u64().unwrap() + 1, "one more is the listing itself");
    let text = |end: &str| {
        let mut all = found.iter().filter(|path| path.to_string_lossy().contains(end));
        let path = all.next().unwrap_or_else(|| panic!("no {end} in {found:?}"));
        assert!(all.next().is_none(), "{end} lies there twice");
        fs::read_to_string(path).unwrap()
    };
    assert_eq!(text("opt/plain"), "as it is");
    assert!(text("state/0001-deployment").contains("registry.example/lumen/"));
    let laid = listing["laid"].as_array().unwrap();
    let shared = laid.iter().find(|laid| !laid["also"].is_null() && laid["at"].as_str().unwrap().contains("layer-0"));
    let shared = shared.unwrap_or_else(|| panic!("no layer is shared: {listing:#}"));
    assert!(shared["at"].as_str().unwrap().starts_with("images/registry.example_lumen_"), "{shared}");

    // Another reader counts the same: every layer's files, by tar, from the layout that `export` writes.
    let oci = workshop.folder.join("oci");
    workshop.consign(["export", "--oci"]).arg(&oci).arg(&bundle).succeeds();
    let mut layers = 0;
    for laid in laid.iter().filter(|laid| laid["at"].as_str().unwrap().contains("/layer-")) {
        let digest = laid["digest"].as_str().unwrap().strip_prefix("sha256:").unwrap();
        let list = run(Command::new("tar").arg("-tvf").arg(oci.join("blobs/sha256").join(digest)));
        let (plain, links) = (
            list.lines().filter(|line| line.starts_with('-')).count() as u64,
            list.lines().filter(|line| line.starts_with(['l', 'h', 'c', 'b', 'p'])).count(),
        );
        assert_eq!(laid["files"].as_u64(), Some(plain), "{laid}");
        let at = format!("{}/", laid["at"].as_str().unwrap());
        let left = listing["leftOut"].as_array().unwrap().iter();
        assert_eq!(left.filter(|left| left["at"].as_str().unwrap().starts_with(&at)).count(), links, "{laid}");
        layers += 1;
    }
    assert!(layers >= 3, "{listing:#}");
}

#[test]
fn nothing_is_laid_out_of_what_is_not_whole_or_over_something_else() {
    if !Workshop::is_possible() {
        return;
    }
    let workshop = Workshop::new();
    let bundle = workshop.build();
    let dir = workshop.folder.join("laid");
    let unpack = |bundle: &Path| workshop.consign(["unpack", "--for-scan"]).arg(bundle).arg(&dir);
    let beside = || fs::read_dir(&workshop.folder).unwrap().count();
    let spoiled = workshop.folder.join("spoiled.consign");
    let mut bytes = fs::read(&bundle).unwrap();
    let near_end = bytes.len() - 5000;
    bytes[near_end] ^= 1;
    fs::write(&spoiled, &bytes).unwrap();
    let before = beside();
    unpack(&spoiled).fails("digest-mismatch", 10);
    workshop.consign(["unpack", "--for-scan", "--max-entries", "3"]).arg(&bundle).arg(&dir).fails("over-limit", 16);
    assert_eq!(beside(), before, "nothing is left behind");
    fs::create_dir(&dir).unwrap();
    fs::write(dir.join("mine"), "").unwrap();
    unpack(&bundle).fails("already-exists", 1);
    assert_eq!(fs::read_dir(&dir).unwrap().count(), 1);
    fs::remove_file(dir.join("mine")).unwrap();
    unpack(&bundle).succeeds();
    // A link to an empty folder is not one.
    let (empty, link) = (workshop.folder.join("empty"), workshop.folder.join("link"));
    fs::create_dir(&empty).unwrap();
    std::os::unix::fs::symlink(&empty, &link).unwrap();
    workshop.consign(["unpack", "--for-scan"]).arg(&bundle).arg(&link).fails("already-exists", 1);
}

#[test]
fn a_layer_that_cannot_be_read_is_told_and_not_attested() {
    if !Workshop::is_possible() {
        return;
    }
    let workshop = Workshop::new();
    let scanner = SecretKey::from_seed(&[3; 32]);
    workshop.give_scan_role(&[&scanner], 1);
    workshop.add_image("broken", GZIP, &[&gzip(b"no tar", &workshop)[..], b"and more"].concat());
    let bundle = workshop.build();
    let dir = workshop.folder.join("laid");
    let outcome = workshop.consign(["unpack", "--for-scan"]).arg(&bundle).arg(&dir).fails("not-unpacked", 11);
    outcome.says("1 blobs could not be laid out");
    let listing = unpacked(&dir);
    assert_eq!((&listing["complete"], listing["notUnpacked"].as_array().map(Vec::len)), (&false.into(), Some(1)));
    let report = workshop.folder.join("report");
    fs::write(&report, "clean").unwrap();
    let key = key_file(&workshop, "scanner", &scanner);
    let attest = workshop.consign(["attest-scan"]).arg(&bundle).option("--report", &report).option("--key", key);
    attest.option("--unpacked", &dir).fails("not-unpacked", 11);
    assert!(!beside(&bundle).exists());
}

fn key_file(workshop: &Workshop, name: &str, key: &SecretKey) -> PathBuf {
    use std::os::unix::fs::PermissionsExt;
    let path = workshop.folder.join(format!("{name}.key"));
    fs::write(&path, key.to_pem().unwrap()).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    path
}

fn beside(bundle: &Path) -> PathBuf {
    bundle.with_file_name("agent-1.0.0.consign.scan.json")
}

/// A scanner that is not ours, with one signature in its database: the digest of what a layer holds.
#[test]
fn a_scanner_finds_what_lies_in_a_layer() {
    let here = Command::new("clamscan").arg("--version").output().is_ok();
    if !Workshop::is_possible() || !skip::unless(here, "clamscan is not installed", "apt-get install clamav") {
        return;
    }
    let workshop = Workshop::new();
    // Not EICAR: this file would be found by whoever scans the repository.
    let virus = "the stand-in for a virus, known to nobody but this test\n".repeat(9);
    let infected = layer(&workshop, "infected", &virus);
    let sample = workshop.folder.join("sample");
    fs::write(&sample, &virus).unwrap();
    let database = workshop.folder.join("test.hsb");
    let digest = Digest::of(virus.as_bytes()).hex();
    fs::write(&database, format!("{digest}:{}:Test.StandIn:73\n", virus.len())).unwrap();
    let scan = |bundle: &Path, dir: &str| {
        let dir = workshop.folder.join(dir);
        workshop.consign(["unpack", "--for-scan"]).arg(bundle).arg(&dir).succeeds();
        let said = Command::new("clamscan")
            .args(["--recursive", "--infected", "--no-summary", "--database"])
            .arg(&database)
            .arg(&dir)
            .output()
            .unwrap();
        (said.status.code(), String::from_utf8_lossy(&said.stdout).into_owned())
    };
    let (code, said) = scan(&workshop.build(), "clean");
    assert_eq!(code, Some(0), "{said}");
    workshop.add_image("infected", GZIP, &gzip(&infected, &workshop));
    let (code, said) = scan(&workshop.build(), "dirty");
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("/opt/infected: Test.StandIn.UNOFFICIAL FOUND"), "{said}");
}

#[test]
fn two_scanners_attest_and_a_site_demands_both() {
    if !Workshop::is_possible() {
        return;
    }
    let workshop = Workshop::new();
    let (one, two) = (SecretKey::from_seed(&[3; 32]), SecretKey::from_seed(&[4; 32]));
    workshop.give_scan_role(&[&one, &two], 2);
    let bundle = workshop.build();
    let before = fs::read(&bundle).unwrap();
    let dir = workshop.folder.join("laid");
    workshop.consign(["unpack", "--for-scan"]).arg(&bundle).arg(&dir).succeeds();
    let report = workshop.folder.join("report");
    fs::write(&report, "scanned, nothing found\n").unwrap();
    let keys = [("one", &one), ("two", &two)].map(|(name, key)| key_file(&workshop, name, key));
    let attest = |key: &Path, report: &Path| {
        let attest = workshop.consign(["attest-scan", "--scanner", "clamav 1.4"]).arg(&bundle).option("--key", key);
        attest.option("--report", report).option("--unpacked", &dir)
    };

    let site = Site::enrolled(&workshop.folder.join("trust"));
    let config = site.root().join("etc/consign/site.toml");
    consign_tests::sample::replace(&config, "require-scan = false", "require-scan = true");
    let offered = || site.invoke(["verify"]).arg(&bundle);
    offered().fails("scan-missing", 25);
    site.export(&bundle).fails("scan-missing", 25);

    attest(&workshop.folder.join("trust/dev.key"), &report).fails("key-unknown", 12);
    attest(&keys[0], &report).succeeds().says("1 of 2, 1 more needed");
    offered().fails("below-threshold", 12);
    let other = workshop.folder.join("other");
    fs::write(&other, "another report").unwrap();
    attest(&keys[1], &other).fails("already-exists", 1);
    let done = attest(&keys[1], &report).arg("--json").succeeds().json();
    assert_eq!((&done["signatures"], &done["threshold"]), (&2.into(), &2.into()), "{done}");
    offered().succeeds();
    assert_eq!(fs::read(&bundle).unwrap(), before, "the bundle's bytes do not change");

    // A spoiled attestation; the attestation of another bundle.
    let whole = fs::read(beside(&bundle)).unwrap();
    let mut spoiled = whole.clone();
    let at = spoiled.windows(5).position(|part| part == b"clean").unwrap();
    spoiled[at] = b'C';
    fs::write(beside(&bundle), &spoiled).unwrap();
    offered().fails("signature-invalid", 12);
    fs::write(beside(&bundle), &whole).unwrap();
    site.export(&bundle).succeeds();
    workshop.add_image("more", PLAIN, &layer(&workshop, "more", "more"));
    let next = workshop.build();
    assert_eq!(next, bundle);
    offered().fails("scan-missing", 25).says("is of bundle");
    attest(&keys[0], &report).fails("not-unpacked", 11);
}
