//! What happens when a release does not become healthy: back, or halt, and never again unasked.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::disallowed_methods, reason = "a suite")]

mod fake_cluster;
mod kit;
mod site_kit;

use consign_format::error::codes;
use consign_format::receipt::Outcome;
use consign_format::release::OnFailure;
use fake_cluster::{Fake, running, shows};
use kit::Draft;
use site_kit::TestSite;

#[test]
fn a_sick_release_is_taken_back_and_remembered() {
    let site = running();
    let fake = Fake { sick: Some("2.0"), ..Fake::default() };
    let failure = fake.install(&site, &Draft::new("2.0", 20)).unwrap_err();
    assert_eq!(failure.code(), codes::UNHEALTHY);
    assert_eq!(
        failure.to_string(),
        "demo 2.0 did not become healthy and was rolled back, version 1.0 runs again: ConfigMap demo/a: image cannot be pulled"
    );
    assert_eq!(fake.asked(), ["plan 2.0 (2)", "apply 2.0 (2)", "health 2.0 (2)", "rollback 1.0 (2)"]);
    assert_eq!(shows(&site), "1.0 - 2.0");
    let receipt = &site.receipts()[1].receipt;
    assert_eq!(receipt.outcome, Outcome::RolledBack);
    assert_eq!(receipt.release.as_ref().unwrap().version, "2.0");
    assert_eq!(receipt.now_current.as_ref().unwrap().version, "1.0");
    assert_eq!(receipt.reasons, ["ConfigMap demo/a: image cannot be pulled"]);
    let phases: Vec<&str> = receipt.phases.iter().map(|phase| phase.name.as_str()).collect();
    assert_eq!(phases, ["verify", "load", "apply", "health", "rollback"]);

    let well = Fake::default();
    assert_eq!(well.install(&site, &Draft::new("2.0", 20)).unwrap_err().code(), codes::FAILED_BEFORE);
    assert!(well.asked().is_empty(), "not even planned");
    site.retry(&Draft::new("2.0", 20)).unwrap();
    assert_eq!(shows(&site), "2.0 1.0 -");
}

#[test]
fn a_release_that_says_halt_stays_where_it_is() {
    let site = running();
    let fake = Fake { sick: Some("2.0"), ..Fake::default() };
    let mut draft = Draft::new("2.0", 20);
    draft.release.rollout.on_failure = OnFailure::Halt;
    let failure = fake.install(&site, &draft).unwrap_err();
    assert_eq!(failure.code(), codes::UNHEALTHY);
    assert_eq!(fake.asked().last().unwrap(), "health 2.0 (2)");
    assert_eq!(shows(&site), "2.0! 1.0 2.0");
    assert_eq!(site.receipts()[1].receipt.outcome, Outcome::Halted);
}

#[test]
fn an_irreversible_release_is_never_taken_back() {
    let site = running();
    let fake = Fake { sick: Some("2.0"), ..Fake::default() };
    let mut draft = Draft::new("2.0", 20);
    draft.release.rollout.irreversible = true;
    fake.install(&site, &draft).unwrap_err();
    assert_eq!(shows(&site), "2.0! 1.0 2.0");
    let receipt = &site.receipts()[1].receipt;
    assert_eq!(receipt.outcome, Outcome::Halted);
    assert_eq!(receipt.reasons[1], "the release says that going back would lose data");
}

#[test]
fn a_first_release_is_taken_back_to_nothing() {
    let site = TestSite::enrolled();
    let fake = Fake { sick: Some("1.0"), ..Fake::default() };
    let failure = fake.install(&site, &Draft::new("1.0", 10)).unwrap_err();
    assert!(failure.to_string().contains("was rolled back, nothing runs again"), "{failure}");
    assert_eq!(fake.asked().last().unwrap(), "rollback 1.0 (0)");
    assert_eq!(shows(&site), "- - 1.0");
    assert_eq!(site.receipts()[0].receipt.now_current, None);
}

#[test]
fn going_back_may_fail_too_and_the_receipt_says_both() {
    let site = running();
    let fake = Fake { sick: Some("2.0"), rollback_stops: Some(codes::APPLY_REFUSED), ..Fake::default() };
    let failure = fake.install(&site, &Draft::new("2.0", 20)).unwrap_err();
    assert_eq!(failure.code(), codes::UNHEALTHY);
    assert_eq!(shows(&site), "2.0! 1.0 2.0");
    let receipt = &site.receipts()[1].receipt;
    assert_eq!(receipt.outcome, Outcome::Failed);
    assert_eq!(receipt.reasons[1], "going back failed: the cluster says no");
}

#[test]
fn an_apply_that_wrote_nothing_was_no_activation() {
    let site = running();
    let fake = Fake { stops: Some((codes::APPLY_REFUSED, false)), ..Fake::default() };
    let failure = fake.install(&site, &Draft::new("2.0", 20)).unwrap_err();
    assert_eq!(failure.code(), codes::APPLY_REFUSED);
    assert_eq!(shows(&site), "1.0 - -");
    assert_eq!(site.product().staged.unwrap().release.version, "2.0");
    assert_eq!(site.receipts().len(), 1);
}

#[test]
fn a_cluster_that_went_away_is_waited_for_by_running_again() {
    let site = running();
    let fake = Fake { stops: Some((codes::CLUSTER_UNREACHABLE, true)), ..Fake::default() };
    let failure = fake.install(&site, &Draft::new("2.0", 20)).unwrap_err();
    assert_eq!(failure.code(), codes::CLUSTER_UNREACHABLE);
    assert_eq!(shows(&site), "2.0! 1.0 -");
    assert_eq!(site.receipts()[1].receipt.outcome, Outcome::Failed);
    Fake::default().install(&site, &Draft::new("2.0", 20)).unwrap();
    assert_eq!(shows(&site), "2.0 1.0 -");
}

#[test]
fn an_apply_that_was_refused_midway_is_taken_back() {
    let site = running();
    let fake = Fake { stops: Some((codes::APPLY_REFUSED, true)), ..Fake::default() };
    let failure = fake.install(&site, &Draft::new("2.0", 20)).unwrap_err();
    assert_eq!(failure.code(), codes::UNHEALTHY);
    assert_eq!(shows(&site), "1.0 - 2.0");
}

#[test]
fn installing_again_never_takes_a_confirmed_release_back() {
    let site = running();
    Fake::default().install(&site, &Draft::new("2.0", 20)).unwrap();
    let fake = Fake { sick: Some("2.0"), ..Fake::default() };
    let failure = fake.install(&site, &Draft::new("2.0", 20)).unwrap_err();
    assert_eq!(failure.code(), codes::UNHEALTHY);
    assert_eq!(fake.asked().last().unwrap(), "health 2.0 (2)");
    assert_eq!(shows(&site), "2.0 1.0 -");
}
