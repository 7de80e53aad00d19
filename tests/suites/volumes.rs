//! Volumes, by both programs: a bundle is cut, carried in any order or one disc after the other, and is the same bundle.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a suite reports by panicking, and what it writes need not survive a power cut"
)]

#[path = "volumes/desk.rs"]
mod desk;
#[path = "volumes/discs.rs"]
mod discs;
#[path = "volumes/folder.rs"]
mod folder;
#[path = "volumes/sealed.rs"]
mod sealed;

use std::fs;
use std::path::{Path, PathBuf};

use consign_tests::forge::Forge;
use consign_tests::site::Site;
use consign_tests::volumes;
use tempfile::TempDir;

/// Room in a volume: more than any layer of [`release`] has.
const ROOM: u64 = 64 * 1024;
/// Room in a volume that the largest layer does not fit into.
const NARROW: u64 = 24 * 1024;

/// A release of a few hundred KB.
fn release() -> Forge {
    volumes::release(7, &[30_000, 9_000, 55_000, 100, 20_000, 48_000])
}

/// A site that trusts the release's root.
fn site(forge: &Forge) -> Site {
    let (site, folder) = (Site::bare(), tempfile::tempdir().unwrap());
    let root = folder.path().join("1.root.json");
    fs::write(&root, &forge.roots[0]).unwrap();
    site.enrol(&root).succeeds();
    site
}

/// The volumes of a release in a folder of their own.
fn cut(forge: &Forge, room: u64) -> (TempDir, Vec<PathBuf>) {
    let folder = tempfile::tempdir().unwrap();
    let volumes = volumes::cut(forge, room, folder.path());
    (folder, volumes)
}

/// Each volume on a disc of its own, which nobody can write to.
fn burnt(volumes: &[PathBuf]) -> Vec<TempDir> {
    let burn = |volume: &PathBuf| {
        let disc = tempfile::tempdir().unwrap();
        fs::copy(volume, disc.path().join(volume.file_name().unwrap())).unwrap();
        read_only(disc.path());
        disc
    };
    volumes.iter().map(burn).collect()
}

/// Takes all leave to write away.
fn read_only(folder: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    for entry in fs::read_dir(folder).unwrap() {
        fs::set_permissions(entry.unwrap().path(), fs::Permissions::from_mode(0o444)).unwrap();
    }
    fs::set_permissions(folder, fs::Permissions::from_mode(0o555)).unwrap();
}

/// Asserts that a site has the whole release, and serves what was packed.
fn has_all(site: &Site, forge: &Forge) {
    let (status, wanted) = (site.status(), &forge.content.fields["version"]);
    let receipt = &status["lastReceipt"];
    assert_eq!((&receipt["release"]["version"], &receipt["outcome"]), (wanted, &"applied".into()), "{status}");
    let served = site.serve();
    for digest in forge.content.blobs.keys() {
        let kept = fs::read(site.kept().join("blobs/sha256").join(digest.hex())).unwrap();
        assert_eq!(consign_format::Digest::of(&kept), *digest);
    }
    let (status, _) = served.get("/v2/registry.example/part-2/manifests/1");
    assert_eq!(status, 200);
}
