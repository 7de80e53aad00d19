//! `mode = "confirm"` and `mode = "stage"`: what waits for a person, and what goes on by itself once one has asked.

use consign_tests::desk::Desk;

use crate::ward::Ward;

#[test]
fn a_person_asks_once_and_the_rest_goes_by_itself() {
    if !Desk::is_possible() {
        return;
    }
    let desk = Desk::sample();
    let ward = Ward::new(&desk, "mode = 'confirm'");
    ward.put(&desk.build());
    let watch = ward.watch();
    watch.says("staged", "2026.11.0");
    watch.is_silent(3);
    ward.site.invoke(["hold", "set", "lumen", "--reason", "stocktaking"]).succeeds();
    ward.command(["activate"]).fails("held", 24);
    let waits = watch.says("waiting", "2026.11.0");
    assert_eq!(waits["code"], "held", "{waits}");
    ward.site.invoke(["hold", "lift", "lumen"]).succeeds();
    watch.says("activated", "2026.11.0");
    watch.stop();
}

#[test]
fn what_is_only_staged_stays_so_whatever_opens() {
    if !Desk::is_possible() {
        return;
    }
    let desk = Desk::sample();
    let ward = Ward::new(&desk, "mode = 'stage'");
    let bundle = desk.build();
    ward.put(&bundle);
    let once = ward.command(["watch", "--once", "--json"]).succeeds().json();
    assert_eq!((&once["event"], &once["version"]), (&"staged".into(), &"2026.11.0".into()));
    let watch = ward.watch();
    watch.says("staged", "2026.11.0");
    watch.is_silent(22);
    watch.stop();
    assert!(ward.site.status()["products"][0]["current"].is_null());
    ward.command(["activate"]).succeeds();
}
