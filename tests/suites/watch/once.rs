//! `watch --once`: one look, and what its exit code says.

use consign_tests::desk::Desk;
use consign_tests::sample::{self, replace};
use consign_tests::workshop::Workshop;

use crate::ward::Ward;

#[test]
fn one_look_ends_with_what_it_found() {
    if !Desk::is_possible() {
        return;
    }
    let mut desk = Desk::sample();
    let first = desk.build();
    let sick = desk.build_next("2026.11.1", |tree| {
        sample::break_router(tree);
        replace(&tree.join("release.yaml"), "healthTimeout: 2m", "healthTimeout: 20s");
    });
    let ward = Ward::new(&desk, "mode = 'window'");
    let look = || ward.command(["watch", "--once"]);
    assert_eq!(look().succeeds().stdout, "", "there is no medium");

    ward.configure("[[windows]]\nkind = 'deny'\nschedule = '* * * * *'\nduration = '1h'");
    ward.put(&first);
    look().fails("outside-window", 24).says("staged lumen 2026.11.0").says("waits lumen 2026.11.0");
    assert!(ward.site.status()["products"][0]["current"].is_null());
    ward.configure("");
    look().succeeds().says("activated lumen 2026.11.0");
    look().succeeds();

    // Two bundles, and the newer one is sick: what it went back from is said, and not tried again.
    ward.put(&sick);
    look().fails("unhealthy", 22).says("not healthy lumen 2026.11.1");
    look().succeeds();
    assert_eq!(ward.receipts(), ["applied 2026.11.0", "rolledBack 2026.11.1"]);
}

#[test]
fn what_is_for_another_site_is_no_failure_and_what_a_stranger_signed_is_one() {
    if !Desk::is_possible() {
        return;
    }
    let mut desk = Desk::sample();
    let ours = desk.build();
    let theirs = desk.build_next("2026.11.1", |tree| {
        replace(
            &tree.join("release.yaml"),
            "version: 2026.11.1\n",
            "version: 2026.11.1\naudience: {sites: [ward-8]}\n",
        );
    });
    let ward = Ward::new(&desk, "mode = 'window'");
    let look = || ward.command(["watch", "--once"]);
    let left_alone = format!("left alone {}", ward.put(&theirs).display());
    look().succeeds().says(&left_alone).says("[other-site]");
    assert_eq!(ward.site.status()["products"], serde_json::json!([]));

    // Beside one that is for this site.
    ward.put(&ours);
    look().succeeds().says("activated lumen 2026.11.0").says(&left_alone);

    std::fs::remove_file(ward.put(&ours)).unwrap();
    std::fs::remove_file(ward.put(&theirs)).unwrap();
    ward.put(&Workshop::stranger().build("1.0.0", ""));
    look().fails("root-unknown", 12).says("refused");
    assert_eq!(ward.receipts(), ["applied 2026.11.0"]);
}
