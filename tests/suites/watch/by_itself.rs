//! `mode = "window"`: everything goes by itself, as far as windows, interlock and health let it.

use consign_tests::desk::Desk;
use consign_tests::sample::{self, replace};

use crate::stick::{self, As, Stick};
use crate::ward::{Ward, receipts_in};

#[test]
fn a_stick_from_the_slot_to_the_receipt() {
    if !Desk::is_possible() || !stick::is_possible() {
        return;
    }
    let mut desk = Desk::sample();
    let (first, folder) = (desk.build(), desk.folder().to_owned());
    let second = desk.build_next("2026.11.1", sample::drop_network_policy);
    let third = desk.build_next("2026.11.2", |tree| {
        sample::break_router(tree);
        replace(&tree.join("release.yaml"), "healthTimeout: 2m", "healthTimeout: 20s");
    });
    let (in_use, back) = (folder.join("in-use"), folder.join("back"));
    let settings = format!(
        "mode = 'window'\nreceipts = '{}'\nreceipts-on-medium = true\n[interlock]\nfile = '{}'",
        back.display(),
        in_use.display()
    );
    let ward = Ward::new(&desk, &settings);
    let slot = ward.slot();
    let watch = ward.watch();

    // Read-only: nothing is written to it, and it is no reason to complain.
    let mut one = Stick::with(&folder, "one.img", &[&first]);
    one.put_in(&slot, As::ReadOnly);
    watch.says("staged", "2026.11.0");
    watch.says("activated", "2026.11.0");
    let copied = watch.says("receipts", "");
    assert_eq!(copied["path"], back.to_str().unwrap());
    assert_eq!(receipts_in(&back), 1);
    one.pull();

    // Writable, and the scanner is in use.
    std::fs::write(&in_use, "patient on the table\n").unwrap();
    let mut two = Stick::with(&folder, "two.img", &[&second]);
    two.put_in(&slot, As::Writable);
    watch.says("staged", "2026.11.1");
    let waits = watch.says("waiting", "2026.11.1");
    assert_eq!(waits["code"], "interlocked", "{waits}");
    watch.is_silent(25);
    assert_eq!(ward.site.status()["products"][0]["current"]["release"]["version"], "2026.11.0");
    std::fs::remove_file(&in_use).unwrap();
    watch.says("activated", "2026.11.1");
    watch.says("receipts", "");
    watch.says("receipts", "");
    assert_eq!(receipts_in(&slot.join("consign-receipts")), 2);
    two.pull();

    // It never becomes healthy; it stays in the drive, and the power goes.
    let mut three = Stick::with(&folder, "three.img", &[&third]);
    three.put_in(&slot, As::ReadOnly);
    watch.says("staged", "2026.11.2");
    watch.says("unhealthy", "2026.11.2");
    watch.says("receipts", "");
    watch.is_silent(3);
    drop(watch);
    let after = ward.watch();
    let left = after.says("left-alone", "");
    assert_eq!(left["code"], "failed-before", "{left}");
    after.is_silent(25);
    assert_eq!(ward.site.status()["products"][0]["current"]["release"]["version"], "2026.11.1");
    assert_eq!(ward.receipts(), ["applied 2026.11.0", "applied 2026.11.1", "rolledBack 2026.11.2"]);
    after.stop();
}

#[test]
fn a_stick_that_is_pulled_out_in_the_middle_and_put_back() {
    if !Desk::is_possible() || !stick::is_possible() {
        return;
    }
    let desk = Desk::sample();
    let (bundle, folder) = (desk.build(), desk.folder().to_owned());
    let ward = Ward::new(&desk, "mode = 'window'");
    let before = ward.site.snapshot();
    let mut stick = Stick::with(&folder, "torn.img", &[&bundle]);
    let size = bundle.metadata().unwrap().len();
    assert!(size > 4 << 20, "the tear has to be behind the head");
    let whole = stick.tear(size / 2 + (1 << 20));
    stick.put_in(&ward.slot(), As::ReadOnly);
    let watch = ward.watch();
    let refused = watch.says("refused", "");
    assert!(["medium-unreadable", "truncated"].contains(&refused["code"].as_str().unwrap()), "{refused}");
    watch.is_silent(3);
    assert_eq!(ward.site.status()["products"], serde_json::json!([]));
    let differs = |path: &std::path::Path| {
        let text = path.display().to_string();
        !["journal", "blobs", "lock"].iter().any(|part| text.contains(part))
    };
    let of = |site: &std::collections::BTreeMap<std::path::PathBuf, String>| -> Vec<(std::path::PathBuf, String)> {
        site.iter().filter(|(path, _)| differs(path)).map(|(path, what)| (path.clone(), what.clone())).collect()
    };
    stick.pull();
    assert_eq!(of(&ward.site.snapshot()), of(&before), "nothing burnt but journal and blobs");
    stick.mend(&whole);
    // Where the kernel gives a mount's number again, a person is slower than two looks.
    watch.is_silent(3);
    stick.put_in(&ward.slot(), As::ReadOnly);
    watch.says("staged", "2026.11.0");
    watch.says("activated", "2026.11.0");
    watch.stop();
}
