//! What happens when a release does not become healthy: back, or halt, and never again unasked.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::disallowed_methods, reason = "a suite")]

mod kit;
mod site_kit;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use consign_format::error::{Code, Coded, Failure, codes};
use consign_format::receipt::Outcome;
use consign_format::release::OnFailure;
use consign_installer::handoff::{
    Action, ChangeSet, Desired, GoAhead, Handoff, HealthReport, ObjectKey, OnEvent, Plan, Policy, RolledBack, Stopped,
    Unhealthy,
};
use consign_installer::install_bundle::{Finished, Order};
use kit::Draft;
use site_kit::TestSite;

/// A cluster that does as it is told and writes down what it was asked.
#[derive(Clone, Default)]
struct Fake {
    asked: Arc<Mutex<Vec<String>>>,
    /// The version that never becomes healthy.
    sick: Option<&'static str>,
    /// Apply stops with this code, after writing something or nothing.
    stops: Option<(Code, bool)>,
    rollback_fails: bool,
}

#[derive(Debug, thiserror::Error)]
#[error("the cluster says no")]
struct No(Code);

impl Coded for No {
    fn code(&self) -> Code {
        self.0
    }
}

impl Fake {
    fn note(&self, what: &str, desired: &Desired) {
        self.asked.lock().unwrap().push(format!("{what} {} ({})", desired.version, desired.objects.len()));
    }

    fn changes(desired: &Desired) -> ChangeSet {
        let mut changes = ChangeSet::default();
        for key in desired.objects.iter().filter_map(ObjectKey::of) {
            changes.push(key, Action::Configured, None);
        }
        changes
    }

    fn health(&self, desired: &Desired) -> HealthReport {
        let key = ObjectKey::of(&kit::config_map("a", "")).unwrap();
        let bad = Unhealthy { key, reason: "image cannot be pulled".into(), failed: true };
        let sick = self.sick == Some(desired.version.as_str());
        HealthReport { objects: 2, unhealthy: if sick { vec![bad] } else { vec![] } }
    }
}

impl Handoff for Fake {
    fn name(&self) -> &'static str {
        "direct"
    }

    async fn plan(&self, desired: &Desired, _: &Policy, _: &mut OnEvent<'_>) -> Result<Plan, Failure> {
        self.note("plan", desired);
        Ok(Plan::default())
    }

    async fn apply(
        &self,
        desired: &Desired,
        _: &Policy,
        _: &dyn GoAhead,
        _: &mut OnEvent<'_>,
    ) -> Result<ChangeSet, Stopped> {
        self.note("apply", desired);
        match self.stops {
            None => Ok(Fake::changes(desired)),
            Some((code, written)) => {
                let changes = if written { Fake::changes(desired) } else { ChangeSet::default() };
                Err(Stopped { failure: No(code).into(), changes })
            }
        }
    }

    async fn await_healthy(&self, d: &Desired, _: Duration, _: &mut OnEvent<'_>) -> Result<HealthReport, Failure> {
        self.note("health", d);
        Ok(self.health(d))
    }

    async fn rollback(
        &self,
        previous: &Desired,
        _: &Policy,
        _: Duration,
        _: &mut OnEvent<'_>,
    ) -> Result<RolledBack, Stopped> {
        self.note("rollback", previous);
        if self.rollback_fails {
            return Err(Stopped { failure: No(codes::APPLY_REFUSED).into(), changes: ChangeSet::default() });
        }
        Ok(RolledBack { changes: Fake::changes(previous), health: self.health(previous) })
    }
}

impl Fake {
    fn install(&self, site: &TestSite, draft: &Draft) -> Result<Finished, Failure> {
        self.asked.lock().unwrap().clear();
        site.install_with(&draft.bundle(), Order::default(), self.clone())
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

/// A site that runs 1.0.
fn running() -> TestSite {
    let site = TestSite::enrolled();
    Fake::default().install(&site, &Draft::new("1.0", 10)).unwrap();
    site
}

/// current, previous, failed by version; `!` when the current one is not confirmed.
fn shows(site: &TestSite) -> String {
    let product = site.product();
    let current = product.current.map_or("-".into(), |current| {
        format!("{}{}", current.release.version, if current.confirmed { "" } else { "!" })
    });
    let version =
        |release: Option<consign_installer::store::products::ReleaseRef>| release.map_or("-".into(), |r| r.version);
    format!("{current} {} {}", version(product.previous), version(product.failed))
}

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
    let fake = Fake { sick: Some("2.0"), rollback_fails: true, ..Fake::default() };
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
    assert_eq!(site.product().staged.unwrap().version, "2.0");
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
