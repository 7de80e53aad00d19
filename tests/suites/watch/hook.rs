//! The site's hook: it may change the site itself, and what becomes of it harms nobody.

use consign_tests::desk::Desk;

use crate::ward::Ward;

#[test]
fn a_hook_changes_the_site_that_calls_it() {
    if !Desk::is_possible() {
        return;
    }
    let desk = Desk::sample();
    let ward = Ward::new(&desk, "mode = 'window'");
    let root = ward.site.root().display().to_string();
    let script = ward.site.root().join("hook.sh");
    let text = format!(
        "read -r event\ncase $event in\n*'\"staged\"'*) exec consign-site --root-dir {root} hold set lumen --reason asked;;\n\
         *'\"activated\"'*) exec consign-site --root-dir {root} receipts export {root}/told;;\nesac\n"
    );
    std::fs::write(&script, text).unwrap();
    ward.configure(&format!("hook = ['/bin/sh', '{}']", script.display()));
    ward.put(&desk.build());
    let watch = ward.watch();
    watch.says("staged", "2026.11.0");
    let waits = watch.says("waiting", "2026.11.0");
    assert_eq!(waits["code"], "held", "the hook found the site busy: {waits}");
    ward.site.invoke(["hold", "lift", "lumen"]).succeeds();
    watch.says("activated", "2026.11.0");
    // Asked to end, it ends after the hook.
    watch.stop();
    assert_eq!(crate::ward::receipts_in(&ward.site.root().join("told")), 1);
}

#[test]
fn a_hook_that_fails_or_hangs_is_warned_of_and_no_more() {
    if !Desk::is_possible() {
        return;
    }
    let desk = Desk::sample();
    let ward = Ward::new(&desk, "mode = 'stage'");
    ward.put(&desk.build());
    let look = || ward.command(["watch", "--once"]).succeeds();
    ward.configure("hook = ['/bin/false']");
    look().says("staged lumen 2026.11.0").says("the hook /bin/false ended with exit status: 1");
    ward.configure("hook = ['/bin/sleep', '600']\nhook-timeout = '1s'");
    look().says("staged lumen 2026.11.0").says("the hook /bin/sleep was ended after 1 s");
    ward.configure("hook = ['/nonexistent']");
    look().says("the hook /nonexistent cannot be run");
}
