//! What the store keeps: exactly what current, previous and staged releases need; and what becomes of blobs that rot.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::disallowed_methods, reason = "a suite")]

mod kit;
mod site_kit;

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;

use consign_format::Digest;
use consign_format::error::{Coded, codes};
use consign_format::receipt::ByteCounts;
use consign_installer::gc::{self, Garbage, Scope};
use consign_installer::scrub;
use consign_installer::serve::SiteContent;
use consign_installer::store::products::Staged;
use consign_registry::serve::Content;
use consign_terminal::Silent;
use kit::{Draft, name, root};
use site_kit::TestSite;

fn draft(domain: &str, product: &str, sequence: u64) -> Draft {
    let mut draft = Draft::new(&format!("{sequence}.0"), sequence);
    draft = draft.with_image("docker.io/library/shared:1", "a layer of all");
    draft = draft.with_image("docker.io/library/own:1", &format!("of {domain} {product} {sequence}"));
    draft.release.product = name(product);
    draft.roots = vec![root(domain)];
    draft
}

fn there(site: &TestSite) -> BTreeSet<Digest> {
    let listing = site.store().blobs().unwrap().list().unwrap();
    assert_eq!((listing.strangers.len(), listing.aside.len()), (0, 0));
    listing.blobs.into_iter().collect()
}

fn needed(site: &TestSite) -> BTreeSet<Digest> {
    site.store().held_blobs().unwrap()
}

#[test]
fn after_ten_releases_of_two_products_the_store_holds_what_they_need() {
    let site = TestSite::enrolled();
    site.enrol_root(&root("other"), "hospital-7").unwrap();
    for sequence in 1..=10 {
        for (domain, product) in [("dev", "radiology"), ("other", "ward")] {
            site.install(&draft(domain, product, sequence)).unwrap();
            assert_eq!(there(&site), needed(&site), "{product} {sequence}");
        }
        if sequence % 3 == 0 {
            let garbage = gc::look(&site.store(), Scope::Everything).unwrap();
            assert_eq!(garbage, Garbage::default(), "the confirmations have collected it all");
        }
    }
    let held: Vec<Vec<u64>> =
        site.store().products().unwrap().iter().map(|p| p.held().map(|r| r.sequence).collect()).collect();
    assert_eq!(held, [[10, 9], [10, 9]]);
    assert_eq!(site.store().known_releases().unwrap().len(), 4, "their manifests, and no others");
    // One that is staged is needed as well.
    let mut product = site.store().products().unwrap().remove(0);
    product.staged = product.previous.take().map(|release| Staged {
        release,
        root: 1,
        agreed: false,
        at: 0,
        phases: vec![],
        bytes: ByteCounts::default(),
        warnings: vec![],
    });
    site.store().write_product(&product).unwrap();
    assert_eq!(gc::look(&site.store(), Scope::Everything).unwrap(), Garbage::default());
}

#[test]
fn a_load_that_was_cut_off_is_left_for_its_resume_until_somebody_collects() {
    let site = TestSite::enrolled();
    site.install(&draft("dev", "demo", 1)).unwrap();
    let blobs = site.store().blobs().unwrap();
    let left = Digest::of(b"left by a load");
    blobs.put(&left, 14, &b"left by a load"[..]).unwrap();
    for sequence in 2..=4 {
        site.install(&draft("dev", "demo", sequence)).unwrap();
    }
    assert!(there(&site).contains(&left));
    let garbage = gc::look(&site.store(), Scope::Everything).unwrap();
    assert_eq!((&garbage.blobs, garbage.bytes), (&BTreeSet::from([left]), 14));
    assert!(there(&site).contains(&left), "looking removes nothing");
    gc::collect(&site.store(), &garbage).unwrap();
    assert_eq!(there(&site), needed(&site));
}

#[test]
fn nothing_is_collected_while_a_release_is_on_trial() {
    let site = TestSite::enrolled();
    site.install(&draft("dev", "demo", 1)).unwrap();
    let store = site.store();
    store.blobs().unwrap().put(&Digest::of(b"x"), 1, &b"x"[..]).unwrap();
    let mut product = store.products().unwrap().remove(0);
    product.current.as_mut().unwrap().confirmed = false;
    store.write_product(&product).unwrap();
    for scope in [Scope::Dropped, Scope::Everything] {
        assert_eq!(gc::look(&store, scope).unwrap_err().code(), codes::NOT_CONFIRMED);
    }
}

#[test]
fn a_manifest_that_cannot_be_read_makes_nothing_garbage() {
    let site = TestSite::enrolled();
    site.install(&draft("dev", "demo", 1)).unwrap();
    let store = site.store();
    let release = store.products().unwrap()[0].current.clone().unwrap().release.digest;
    std::fs::remove_file(store.release_file(&release)).unwrap();
    assert_eq!(gc::look(&store, Scope::Everything).unwrap_err().code(), codes::STATE_DAMAGED);
}

/// Changes a byte of a blob on the disk, as a dying disk does: size and name stay.
fn rot(site: &TestSite, digest: &Digest) {
    let path = site.store().blobs().unwrap().path(digest);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[0] ^= 1;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    std::fs::write(&path, bytes).unwrap();
}

#[test]
fn what_rots_is_named_refused_to_clients_and_brought_back_by_a_bundle() {
    let site = TestSite::enrolled();
    let release = draft("dev", "demo", 1);
    site.install(&release).unwrap();
    let store = site.store();
    let layer = Digest::of(b"a layer of all");
    rot(&site, &layer);
    let found = scrub::check(&store, false, &Silent).unwrap();
    assert_eq!((found.rotten.len(), found.set_aside, found.rotten[0].digest), (1, false, layer));
    assert_eq!(found.rotten[0].needed_by, ["demo 1.0"]);
    assert_eq!(found.sound, needed(&site).len() - 1);
    let verdict = found.verdict().unwrap_err();
    assert_eq!(verdict.code(), codes::STORE_ROTTEN);
    assert!(verdict.hint().unwrap().contains("demo 1.0"));
    assert!(scrub::check(&store, true, &Silent).unwrap().set_aside);
    // The name is listed, and no bytes stand behind it: the registry answers 500, and a second server is asked.
    let content = SiteContent::new(store.clone(), std::sync::Arc::new(|_: &str| {}));
    let (path, _) = content.blob("docker.io", "library/shared", &layer).unwrap().unwrap();
    assert!(!path.exists());
    let again = scrub::check(&store, true, &Silent).unwrap();
    assert_eq!((again.rotten.len(), again.missing.len(), again.missing[0].digest), (0, 1, layer));
    // Another release that has the same layer brings it back for both.
    site.install(&draft("dev", "demo", 2)).unwrap();
    assert!(path.exists());
    scrub::check(&store, true, &Silent).unwrap().verdict().unwrap();
    let garbage = gc::look(&store, Scope::Everything).unwrap();
    assert_eq!((garbage.blobs.len(), &garbage.aside), (0, &BTreeSet::from([format!("{}.rotten", layer.hex())])));
    gc::collect(&store, &garbage).unwrap();
    assert_eq!(there(&site), needed(&site));
}

#[test]
fn the_same_bundle_brings_it_back_as_well() {
    let site = TestSite::enrolled();
    let release = draft("dev", "demo", 1);
    site.install(&release).unwrap();
    rot(&site, &Digest::of(b"a layer of all"));
    scrub::check(&site.store(), true, &Silent).unwrap();
    site.install(&release).unwrap();
    scrub::check(&site.store(), true, &Silent).unwrap().verdict().unwrap();
}

#[test]
fn a_strangers_file_is_named_and_stays() {
    let site = TestSite::enrolled();
    site.install(&draft("dev", "demo", 1)).unwrap();
    let folder = site.store().dir().join("blobs/sha256");
    std::fs::write(folder.join("readme"), "mine").unwrap();
    let garbage = gc::look(&site.store(), Scope::Everything).unwrap();
    assert_eq!(garbage.strangers, BTreeSet::from(["readme".to_owned()]));
    gc::collect(&site.store(), &garbage).unwrap();
    assert!(folder.join("readme").exists());
}
