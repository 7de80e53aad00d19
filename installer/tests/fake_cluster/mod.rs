//! A cluster that does as it is told: for the ways in which an apply can end that a real one does not take on demand.
#![allow(dead_code, missing_docs, unreachable_pub, clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::disallowed_methods, reason = "a kit; every suite uses a part of it")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use consign_format::error::{Code, Coded, Failure};
use consign_installer::handoff::{
    Action, ChangeSet, Desired, GoAhead, Handoff, HealthReport, ObjectKey, OnEvent, Plan, Policy, RolledBack, Stopped,
    Unhealthy,
};
use consign_installer::install_bundle::{Finished, Order};
use consign_installer::store::products::ReleaseRef;

use super::kit::{self, Draft};
use super::site_kit::TestSite;

/// A cluster that does as it is told and writes down what it was asked.
#[derive(Clone, Default)]
pub struct Fake {
    pub asked: Arc<Mutex<Vec<String>>>,
    /// The version that never becomes healthy.
    pub sick: Option<&'static str>,
    /// Apply stops with this code, after writing something or nothing.
    pub stops: Option<(Code, bool)>,
    /// Nodes cannot pull, with this code.
    pub pull_fails: Option<Code>,
    /// Going back stops with this code.
    pub rollback_stops: Option<Code>,
    /// Done between the first stage of an apply and the second, of which the gates are asked.
    pub between: Option<Arc<dyn Fn() + Send + Sync>>,
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

    async fn pre_pull(&self, desired: &Desired, policy: &Policy, _: &mut OnEvent<'_>) -> Result<(), Failure> {
        assert!(policy.pre_pull.is_some(), "nobody asked for it");
        self.note("pull", desired);
        self.pull_fails.map_or(Ok(()), |code| Err(No(code).into()))
    }

    async fn apply(
        &self,
        desired: &Desired,
        _: &Policy,
        go: &dyn GoAhead,
        _: &mut OnEvent<'_>,
    ) -> Result<ChangeSet, Stopped> {
        self.note("apply", desired);
        if let Some(between) = &self.between {
            between();
        }
        if let Err(failure) = go.may_go_on().await {
            return Err(Stopped { failure, changes: Fake::changes(desired) });
        }
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
        if let Some(code) = self.rollback_stops {
            return Err(Stopped { failure: No(code).into(), changes: ChangeSet::default() });
        }
        Ok(RolledBack { changes: Fake::changes(previous), health: self.health(previous) })
    }
}

impl Fake {
    pub fn install(&self, site: &TestSite, draft: &Draft) -> Result<Finished, Failure> {
        self.asked.lock().unwrap().clear();
        site.install_with(&draft.bundle(), Order::default(), self.clone())
    }

    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

/// A site that runs 1.0.
pub fn running() -> TestSite {
    let site = TestSite::enrolled();
    Fake::default().install(&site, &Draft::new("1.0", 10)).unwrap();
    site
}

/// current, previous, failed by version; `!` when the current one is not confirmed.
pub fn shows(site: &TestSite) -> String {
    let product = site.product();
    let current = product.current.map_or("-".into(), |current| {
        format!("{}{}", current.release.version, if current.confirmed { "" } else { "!" })
    });
    let version = |release: Option<ReleaseRef>| release.map_or("-".into(), |r| r.version);
    format!("{current} {} {}", version(product.previous), version(product.failed))
}
