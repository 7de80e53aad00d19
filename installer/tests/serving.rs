//! What the registry shows of a store: closures of current, previous and staged releases, tags of current ones.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::disallowed_methods, reason = "a suite")]

mod kit;
mod site_kit;

use std::sync::{Arc, Mutex};

use consign_format::Digest;
use consign_installer::install_bundle::Order;
use consign_installer::serve::SiteContent;
use consign_registry::serve::Content;
use kit::Draft;
use site_kit::TestSite;

const HOST: &str = "registry.example";

fn content(site: &TestSite) -> (SiteContent, Arc<Mutex<Vec<String>>>) {
    let problems = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&problems);
    (SiteContent::new(site.store(), Arc::new(move |text: &str| told.lock().unwrap().push(text.to_owned()))), problems)
}

fn image(draft: &Draft) -> Digest {
    draft.release.images[0].digest
}

#[test]
fn tags_follow_the_current_release_and_digests_stay_while_they_may_be_needed() {
    let site = TestSite::enrolled();
    let (content, problems) = content(&site);
    let tag = || content.resolve_tag(HOST, "app", "1").unwrap().map(|found| found.digest);
    let held = |draft: &Draft| content.manifest(HOST, "app", &image(draft)).unwrap().is_some();
    let drafts = [Draft::new("1.0", 10), Draft::new("2.0", 20), Draft::new("3.0", 30)];
    assert_eq!((tag(), content.tags(HOST, "app").unwrap()), (None, None));
    site.install(&drafts[0]).unwrap();
    assert_eq!((tag(), held(&drafts[0])), (Some(image(&drafts[0])), true));
    site.install(&drafts[1]).unwrap();
    assert_eq!((tag(), held(&drafts[0]), held(&drafts[1])), (Some(image(&drafts[1])), true, true));
    site.install(&drafts[2]).unwrap();
    assert_eq!((tag(), held(&drafts[0]), held(&drafts[1])), (Some(image(&drafts[2])), false, true));
    assert_eq!(content.tags(HOST, "app").unwrap().unwrap(), ["1"]);
    assert!(problems.lock().unwrap().is_empty());
}

#[test]
fn a_repository_shows_its_own_blobs_and_no_others() {
    let site = TestSite::enrolled();
    let draft = Draft::new("1.0", 10).with_image("docker.io/library/other:2", "other layer");
    site.install(&draft).unwrap();
    let (content, _) = content(&site);
    let layer = Digest::of(b"layer of 1.0");
    let (path, size) = content.blob(HOST, "app", &layer).unwrap().unwrap();
    assert_eq!((std::fs::read(path).unwrap().as_slice(), size), (b"layer of 1.0".as_slice(), 12));
    assert!(content.blob("docker.io", "library/other", &layer).unwrap().is_none());
    assert!(content.blob("docker.io", "library/other", &Digest::of(b"other layer")).unwrap().is_some());
    assert!(content.blob("another.host", "app", &layer).unwrap().is_none());
}

#[test]
fn a_sparse_index_its_referrers_and_the_state_are_served() {
    let site = TestSite::enrolled();
    let draft = Draft::of("1.0+b7", 10, &[kit::config_map("a", "1")]).with_index("registry.example/multi:9", "multi");
    site.install(&draft).unwrap();
    let (content, problems) = content(&site);
    let index = image(&draft);
    let found = content.resolve_tag(HOST, "multi", "9").unwrap().unwrap();
    assert_eq!((found.digest, found.media_type.as_str()), (index, consign_format::media_type::OCI_INDEX));
    let referrers = content.referrers(HOST, "multi", &index).unwrap();
    assert_eq!(referrers.len(), 1);
    assert_eq!(referrers[0].artifact_type.as_deref(), Some("text/spdx"));
    let signature = format!("sha256-{}.sig", index.hex());
    assert_eq!(content.tags(HOST, "multi").unwrap().unwrap(), ["9".to_owned(), signature]);
    let state = content.resolve_tag("consign.internal", "state/demo", "1.0_b7").unwrap().unwrap();
    assert_eq!(state.digest, draft.release.state);
    assert!(problems.lock().unwrap().is_empty());
}

#[test]
fn packed_members_are_served_as_what_they_hold() {
    let site = TestSite::enrolled();
    let long = "a long layer, ".repeat(1000);
    let mut draft = Draft::of("1.0", 10, &[kit::config_map("a", "1")]).with_image("registry.example/app:1", &long);
    draft.packed = vec![Digest::of(long.as_bytes())];
    site.install(&draft).unwrap();
    let (content, _) = content(&site);
    let (path, _) = content.blob(HOST, "app", &Digest::of(long.as_bytes())).unwrap().unwrap();
    assert_eq!(std::fs::read(path).unwrap(), long.as_bytes());
}

#[test]
fn a_bundle_that_leaves_out_what_is_here_is_enough() {
    let site = TestSite::enrolled();
    let first = Draft::new("1.0", 10).with_image("registry.example/big:1", "the same in both");
    site.install(&first).unwrap();
    let mut second = Draft::new("2.0", 20).with_image("registry.example/big:1", "the same in both");
    second.left_out = vec![Digest::of(b"the same in both")];
    site.install(&second).unwrap();
    let (content, _) = content(&site);
    assert!(content.blob(HOST, "big", &Digest::of(b"the same in both")).unwrap().is_some());
}

#[test]
fn one_broken_release_does_not_take_the_others_down() {
    let site = TestSite::enrolled();
    site.install(&Draft::new("1.0", 10)).unwrap();
    site.install_bytes(&Draft::new("1.0", 10).product("other").bundle(), Order::default()).unwrap();
    let broken = site.product().current.unwrap().release.digest;
    let file = site.store().repositories_file(&broken);
    std::fs::remove_file(&file).unwrap();
    let (content, problems) = content(&site);
    assert!(content.resolve_tag("consign.internal", "state/other", "1.0").unwrap().is_some());
    assert!(content.resolve_tag("consign.internal", "state/demo", "1.0").unwrap().is_none());
    let problems = problems.lock().unwrap();
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(problems[0].contains("of demo cannot be shown"), "{problems:?}");
}
