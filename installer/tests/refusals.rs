//! Nothing changes when a bundle is refused: what the site remembers, runs and serves is byte for byte what it was.
//!
//! Two exceptions, both by design: blobs whose digest held may wait, unreferenced, for a resume (TRUST §5), and the
//! journal counts the refusal for the next receipt.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::disallowed_methods, reason = "a suite")]

mod kit;
mod site_kit;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use consign_format::error::{Failure, codes};
use consign_format::trust::Audience;
use consign_format::trust::author;
use consign_format::trust::keys::SecretKey;
use consign_format::{Code, Digest};
use consign_installer::admit::Ask;
use consign_installer::install_bundle::{Order, Until};
use consign_installer::site::{Enrolment, Site, enrol};
use consign_installer::verify_bundle::verify_bundle;
use consign_terminal::Silent;
use kit::{Draft, EXPIRES, NOW, fingerprint, name};
use site_kit::{TestSite, clocks, enrolment};

/// Everything under the site's root but the blobs and the journal.
fn remembered(site: &TestSite) -> BTreeMap<PathBuf, (u32, Digest)> {
    let mut all = fingerprint(site.root.path());
    let dir = site.store().dir().to_owned();
    all.retain(|path, _| !path.starts_with(dir.join("blobs")) && !path.starts_with(dir.join("journal")));
    all
}

fn refused(site: &TestSite, bytes: &[u8], order: Order, code: Code, what: &str) -> Failure {
    let before = remembered(site);
    let failure = site.install_bytes(bytes, order).expect_err(what);
    assert_eq!(failure.code(), code, "{what}: {failure}");
    assert_eq!(remembered(site), before, "{what}: something has changed");
    failure
}

/// A site that runs 1.0 and keeps nothing else.
fn running() -> TestSite {
    let site = TestSite::enrolled();
    site.install(&Draft::new("1.0", 10)).unwrap();
    site
}

#[test]
fn what_is_not_for_this_site_now_is_refused() {
    let site = running();
    let next = || Draft::new("2.0", 20);
    let with = |change: &dyn Fn(&mut Draft)| {
        let mut draft = next();
        change(&mut draft);
        draft.bundle()
    };
    let others = Audience { sites: vec![name("hospital-8")], ..Audience::default() };
    let strict = Order { ask: Ask { enforce_expiry: true, ..Ask::default() }, ..Order::default() };
    let rows: Vec<(&str, Vec<u8>, Order, Code)> = vec![
        ("older", Draft::new("0.9", 9).bundle(), Order::default(), codes::OLDER_RELEASE),
        ("same sequence, other content", Draft::new("1.0b", 10).bundle(), Order::default(), codes::SEQUENCE_REUSED),
        ("other site", with(&|d| d.audience = others.clone()), Order::default(), codes::OTHER_SITE),
        ("narrowed to another site", with(&|d| d.narrowed = Some(others.clone())), Order::default(), codes::OTHER_SITE),
        ("newer installer", with(&|d| d.minimum_installer = "9.0".into()), Order::default(), codes::INSTALLER_TOO_OLD),
        (
            "must follow another version",
            with(&|d| d.release.upgrade_from = Some(">=1.5".into())),
            Order::default(),
            codes::NOT_UPGRADABLE,
        ),
        ("requires", next().requires("platform", ">=1").bundle(), Order::default(), codes::REQUIREMENT_MISSING),
        ("expired", with(&|d| d.expires = "2020-01-01T00:00:00Z".into()), strict, codes::EXPIRED),
        (
            "a blob is nowhere",
            with(&|d| d.left_out = vec![Digest::of(b"layer of 2.0")]),
            Order::default(),
            codes::BASE_MISSING,
        ),
        ("signed by another publisher", with(&|d| d.publisher = [8; 32]), Order::default(), codes::SIGNATURE_INVALID),
        (
            "of another root",
            with(&|d| {
                let stranger = SecretKey::from_seed(&[8; 32]);
                d.roots = vec![author::development_root(&name("dev"), &stranger, EXPIRES).unwrap()];
            }),
            Order::default(),
            codes::ROOT_UNKNOWN,
        ),
        ("no root at all", with(&|d| d.roots = vec![]), Order::default(), codes::ROOT_VERSION),
    ];
    for (what, bytes, order, code) in rows {
        refused(&site, &bytes, order, code, what);
    }
    // And the right one is still taken.
    site.install(&next()).unwrap();
}

#[test]
fn a_damaged_bundle_is_refused_wherever_it_is_damaged() {
    let site = running();
    let good = Draft::new("2.0", 20).with_index("registry.example/multi:1", "multi").bundle();
    let layer = good.windows(12).position(|window| window == b"layer of 2.0").unwrap();
    let rows: Vec<(&str, Vec<u8>, Code)> = vec![
        ("a flipped byte in a layer", flipped(&good, layer), codes::DIGEST_MISMATCH),
        ("a flipped byte in a member's header", flipped(&good, layer - 512), codes::ARCHIVE_MALFORMED),
        ("a flipped byte in a member's padding", flipped(&good, layer + 100), codes::ARCHIVE_MALFORMED),
        ("cut in a layer", good[..layer + 3].to_vec(), codes::TRUNCATED),
        ("cut before the end", good[..good.len() - 1].to_vec(), codes::TRUNCATED),
        ("a byte appended", [good.as_slice(), b"\0"].concat(), codes::ARCHIVE_MALFORMED),
        ("empty", vec![], codes::TRUNCATED),
        ("zeros", vec![0; 100_000], codes::NOT_A_BUNDLE),
        ("something else", b"\x1f\x8b\x08\0 this is gzip, perhaps ".repeat(100), codes::NOT_A_BUNDLE),
    ];
    for (what, bytes, code) in rows {
        refused(&site, &bytes, Order::default(), code, what);
    }
    assert_eq!(site.store().refused().unwrap(), 0, "only the command counts refusals");
}

fn flipped(bytes: &[u8], at: usize) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[at] ^= 1;
    bytes
}

#[test]
fn no_flipped_byte_and_no_cut_passes_verify() {
    let site = TestSite::enrolled();
    let good = Draft::new("1.0", 10).bundle();
    let verify = |bytes: &[u8]| {
        let (_medium, path) = site.medium(bytes);
        verify_bundle(&site.site(), &path, Ask::default(), &clocks(NOW), &Silent)
    };
    verify(&good).unwrap();
    let before = fingerprint(site.root.path());
    // A prime step walks over every kind of byte; format's own tests take every single bit.
    for at in (0..good.len()).step_by(379) {
        assert!(verify(&flipped(&good, at)).is_err(), "byte {at} of {}", good.len());
        assert!(verify(&good[..at]).is_err(), "cut at {at}");
    }
    assert_eq!(fingerprint(site.root.path()), before, "verify changes nothing at all");
}

#[test]
fn an_image_that_is_not_whole_is_not_tagged() {
    let site = running();
    let mut hollow = Draft::new("2.0", 20);
    let manifest = hollow.release.images[0].digest;
    // The manifest stays; a layer it points to leaves the release, which still holds together otherwise.
    let layer = Digest::of(b"layer of 2.0");
    hollow.release.blobs.retain(|blob| blob.digest != layer);
    hollow.content.remove(&layer);
    assert!(hollow.release.blob(&manifest).is_some());
    let failure = refused(&site, &hollow.bundle(), Order::default(), codes::IMAGE_MALFORMED, "a layer is missing");
    assert!(failure.to_string().starts_with("registry.example/app:1@"), "{failure}");
}

#[test]
fn a_site_for_production_refuses_development_roots() {
    let site = TestSite::bare();
    let root = kit::root("dev");
    let enrolment = Enrolment { production: true, ..enrolment(&root, "s") };
    let error = enrol(&site.store(), &enrolment).unwrap_err();
    assert_eq!(Failure::from(error).code(), codes::DEVELOPMENT_ROOT);
    let empty = fingerprint(site.root.path());
    assert!(empty.is_empty(), "{empty:?}");
}

#[test]
fn without_a_root_nothing_is_trusted() {
    let site = TestSite::bare();
    let failure = site.install(&Draft::new("1.0", 1)).unwrap_err();
    assert_eq!(failure.code(), codes::NOT_ENROLLED);
    assert!(fingerprint(site.root.path()).is_empty());
}

#[test]
fn damaged_state_is_never_a_fresh_start() {
    let damage = |file: &str, how: &dyn Fn(&Path)| {
        let site = running();
        let path = site.store().dir().join(file);
        assert!(path.exists(), "{file}");
        how(&path);
        refused(&site, &Draft::new("0.1", 1).bundle(), Order::default(), codes::STATE_DAMAGED, file);
    };
    let files = ["trust/site", "trust/domains/dev", "products/dev/demo"];
    for file in files {
        damage(file, &|path| std::fs::remove_file(path).unwrap());
        damage(file, &|path| {
            let bytes = std::fs::read(path).unwrap();
            std::fs::remove_file(path).unwrap();
            std::fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
        });
        damage(file, &|path| {
            let bytes = std::fs::read(path).unwrap();
            std::fs::remove_file(path).unwrap();
            std::fs::write(path, flipped(&bytes, bytes.len() - 3)).unwrap();
        });
        damage(file, &|path| {
            std::fs::remove_file(path).unwrap();
            std::fs::write(path, b"").unwrap();
        });
    }
}

#[test]
fn state_of_another_site_is_refused() {
    let site = running();
    let other = TestSite::bare();
    other.enrol_root(&kit::root("dev"), "hospital-8").unwrap();
    let file = "trust/domains/dev";
    std::fs::copy(other.store().dir().join(file), site.store().dir().join(file)).unwrap();
    refused(&site, &Draft::new("0.1", 1).bundle(), Order::default(), codes::STATE_DAMAGED, "another site's counters");
}

#[test]
fn two_runs_do_not_work_on_one_site() {
    let site = running();
    let held = Site::open_exclusive(site.store()).unwrap();
    refused(&site, &Draft::new("2.0", 20).bundle(), Order::default(), codes::BUSY, "busy");
    drop(held);
    site.install(&Draft::new("2.0", 20)).unwrap();
}

#[test]
fn a_dry_run_changes_nothing_at_all() {
    let site = running();
    let before = fingerprint(site.root.path());
    let order = Order { until: Until::Planned, ..Order::default() };
    let finished = site.install_bytes(&Draft::new("2.0", 20).bundle(), order).unwrap();
    let consign_installer::install_bundle::Finished::Planned(planned) = finished else { panic!("{finished:?}") };
    assert_eq!(planned.plan.changes.counts().to_string(), "0 created, 1 configured, 1 unchanged, 0 deleted, 0 skipped");
    assert_eq!(fingerprint(site.root.path()), before);
}

#[test]
fn a_pod_whose_image_the_release_does_not_bring_is_found_before_anything_is_applied() {
    let site = running();
    let hook = |image: &str| {
        serde_json::json!({"apiVersion": "batch/v1", "kind": "Job",
            "metadata": {"name": "migrate", "namespace": "demo", "annotations": {"helm.sh/hook": "pre-install"}},
            "spec": {"template": {"spec": {"initContainers": [{"name": "i", "image": image}],
                "containers": [{"name": "c", "image": "registry.example/app:1"}]}}}})
    };
    let with = |image: &str| {
        let objects = [kit::config_map("a", "2.0"), hook(image)];
        Draft::of("2.0", 20, &objects).with_image("registry.example/app:1", "layer of 2.0").bundle()
    };
    let elsewhere = format!("registry.example/app:1@sha256:{}", "0".repeat(64));
    for image in ["registry.example/other:1", "registry.example/app:2", elsewhere.as_str(), "NOT A REFERENCE"] {
        let bytes = with(image);
        let failure = refused(&site, &bytes, Order::default(), codes::IMAGE_ABSENT, image);
        assert_eq!(failure.to_string(), format!("the release does not bring {image} (of Job demo/migrate)"));
        let dry = Order { until: Until::Planned, ..Order::default() };
        refused(&site, &bytes, dry, codes::IMAGE_ABSENT, image);
    }
    site.install_bytes(&with("registry.example/app:1"), Order::default()).unwrap();
}
