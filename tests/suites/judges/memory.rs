//! An older bundle after a newer one: every client that remembers refuses it, and so does a site.

use consign_tests::desk::Desk;
use consign_tests::judges::{Judge, Seat, Verdict};
use consign_tests::site::Site;
use consign_tests::skip;

use crate::bundle::pair;

fn seat(judge: Judge) -> Option<Seat> {
    let seat = judge.seat();
    let why = seat.as_ref().err().cloned().unwrap_or_default();
    (Desk::is_possible() && skip::unless(why.is_empty(), &why, Judge::HOW)).then(|| seat.unwrap())
}

fn a_client_refuses_to_go_back(judge: Judge) {
    let Some(seat) = seat(judge) else { return };
    let pair = pair();
    let state = tempfile::tempdir().unwrap();
    for (bundle, times) in [(&pair.older, 1), (&pair.newer, 2)] {
        for _ in 0..times {
            assert_eq!(seat.ask(bundle, &pair.fingerprint, state.path()), Verdict::Accepts, "{}", bundle.display());
        }
    }
    let Verdict::Refuses(why) = seat.ask(&pair.older, &pair.fingerprint, state.path()) else {
        panic!("{} went back to an older bundle", judge.name());
    };
    assert!(why.contains("ersion"), "refused for another reason than its version: {why}");
    assert_eq!(seat.ask(&pair.newer, &pair.fingerprint, state.path()), Verdict::Accepts, "and is none the worse");
}

#[test]
fn python_tuf_refuses_to_go_back() {
    a_client_refuses_to_go_back(Judge::PythonTuf);
}

#[test]
fn tuf_js_refuses_to_go_back() {
    a_client_refuses_to_go_back(Judge::TufJs);
}

#[test]
fn a_site_refuses_to_go_back() {
    if !Desk::is_possible() {
        return;
    }
    let pair = pair();
    let site = Site::enrolled(&pair.desk.trust());
    site.export(&pair.newer).succeeds();
    assert_eq!(site.export(&pair.older).run().exit, Some(13));
}

/// What its first lines say: an auditor at a desk has no memory.
#[test]
fn verify_sh_remembers_nothing() {
    let Some(seat) = seat(Judge::VerifySh) else { return };
    let pair = pair();
    let state = tempfile::tempdir().unwrap();
    for bundle in [&pair.newer, &pair.older] {
        assert_eq!(seat.ask(bundle, &pair.fingerprint, state.path()), Verdict::Accepts);
    }
}
