//! The handoff that a site has chosen, as one type: the edge picks it, the main path does not care.

use std::time::Duration;

use consign_format::error::Failure;

use super::export::Export;
use super::{ChangeSet, Desired, GoAhead, Handoff, HealthReport, OnEvent, Plan, Policy, RolledBack, Stopped};
use crate::apply::Direct;

/// One of the handoffs.
pub enum Chosen {
    /// This program applies.
    Direct(Direct),
    /// Somebody else does.
    Export(Export),
}

impl Handoff for Chosen {
    fn name(&self) -> &'static str {
        match self {
            Chosen::Direct(direct) => direct.name(),
            Chosen::Export(export) => export.name(),
        }
    }

    async fn plan(&self, desired: &Desired, policy: &Policy, on: &mut OnEvent<'_>) -> Result<Plan, Failure> {
        match self {
            Chosen::Direct(direct) => direct.plan(desired, policy, on).await,
            Chosen::Export(export) => export.plan(desired, policy, on).await,
        }
    }

    async fn pre_pull(&self, desired: &Desired, policy: &Policy, on: &mut OnEvent<'_>) -> Result<(), Failure> {
        match self {
            Chosen::Direct(direct) => direct.pre_pull(desired, policy, on).await,
            Chosen::Export(export) => export.pre_pull(desired, policy, on).await,
        }
    }

    async fn apply(
        &self,
        desired: &Desired,
        policy: &Policy,
        go: &dyn GoAhead,
        on: &mut OnEvent<'_>,
    ) -> Result<ChangeSet, Stopped> {
        match self {
            Chosen::Direct(direct) => direct.apply(desired, policy, go, on).await,
            Chosen::Export(export) => export.apply(desired, policy, go, on).await,
        }
    }

    async fn await_healthy(
        &self,
        desired: &Desired,
        timeout: Duration,
        on: &mut OnEvent<'_>,
    ) -> Result<HealthReport, Failure> {
        match self {
            Chosen::Direct(direct) => direct.await_healthy(desired, timeout, on).await,
            Chosen::Export(export) => export.await_healthy(desired, timeout, on).await,
        }
    }

    async fn rollback(
        &self,
        previous: &Desired,
        policy: &Policy,
        timeout: Duration,
        on: &mut OnEvent<'_>,
    ) -> Result<RolledBack, Stopped> {
        match self {
            Chosen::Direct(direct) => direct.rollback(previous, policy, timeout, on).await,
            Chosen::Export(export) => export.rollback(previous, policy, timeout, on).await,
        }
    }
}
