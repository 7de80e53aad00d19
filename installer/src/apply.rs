//! The handoff `direct`: this program applies the desired state itself.
//!
//! Server-side apply under an own field manager, in stages, tracked by an ApplySet, pruned by it, waited for.
//! It must never apply what was not verified, force what it was not told to force, or print a Secret.

use std::borrow::Cow;
use std::time::Duration;

use consign_format::error::Failure;

use crate::handoff::{
    Always, ChangeSet, Desired, GoAhead, Handoff, HealthReport, OnEvent, Plan, Policy, RolledBack, Stopped,
};

pub mod api_table;
pub mod applyset;
mod between;
pub mod cluster;
mod depends;
mod downtime;
pub mod drift;
pub mod error;
pub mod fields;
mod fitness;
pub mod health;
mod hook_ends;
pub mod hooks;
pub mod inherit;
mod inventory;
mod lease;
pub mod members;
mod permissions;
mod pod_trial;
mod pre_pull;
mod preflight;
mod prune;
pub mod reasons;
mod recreate;
pub mod refusal;
mod rewritten;
mod run;
mod running;
pub mod scaling;
mod secrets;
pub mod stage;
mod stages;
mod state_copy;
mod tenant;
pub mod tracking;
mod verbs;
mod wait;

pub use cluster::{Cluster, Lookup};
pub use error::ApplyError;
pub use pre_pull::NotPulled;

/// The field manager of everything that is applied.
pub const MANAGER: &str = "consign";

/// How long a definition or namespace may take to be served after it was applied.
const SERVED_WITHIN: Duration = Duration::from_secs(60);

/// Whether a release is brought in or brought back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    /// In.
    Forward,
    /// Back: hooks neither run nor go.
    Back,
}

/// What is to be applied, and under what conditions.
#[derive(Clone, Copy)]
pub(crate) struct Order<'a> {
    pub(crate) desired: &'a Desired,
    pub(crate) policy: &'a Policy,
    pub(crate) direction: Direction,
    /// Asked between stages.
    pub(crate) go: &'a dyn GoAhead,
}

/// Fills a buffer with random bytes. Given by `main`, so that the library owns no randomness.
pub type FillRandom = Box<dyn Fn(&mut [u8]) -> std::io::Result<()> + Send + Sync>;

/// The handoff `direct`.
pub struct Direct {
    cluster: Cluster,
    random: FillRandom,
}

impl Direct {
    /// Works on a cluster that answers.
    pub fn new(cluster: Cluster, random: FillRandom) -> Self {
        Direct { cluster, random }
    }

    /// Says what differs from a release that was installed: what bringing it back would change. Writes nothing.
    ///
    /// # Errors
    /// The cluster does not answer, or what differs cannot be brought back.
    pub async fn drift(&self, desired: &Desired, policy: &Policy) -> Result<Plan, Failure> {
        let desired = desired.opened()?;
        Ok(run::plan(self, &desired, policy, Direction::Back, &mut |_| {}).await?)
    }

    /// The cluster.
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }
}

/// With the Secrets of this site; nothing has been changed where they cannot be read.
fn opened(desired: &Desired) -> Result<Cow<'_, Desired>, Stopped> {
    desired.opened().map_err(|error| Stopped { failure: error.into(), changes: ChangeSet::default() })
}

impl Handoff for Direct {
    fn name(&self) -> &'static str {
        "direct"
    }

    async fn plan(&self, desired: &Desired, policy: &Policy, on: &mut OnEvent<'_>) -> Result<Plan, Failure> {
        let desired = desired.opened()?;
        Ok(run::plan(self, &desired, policy, Direction::Forward, on).await?)
    }

    async fn pre_pull(&self, desired: &Desired, policy: &Policy, on: &mut OnEvent<'_>) -> Result<(), Failure> {
        let desired = desired.opened()?;
        Ok(pre_pull::pre_pull(self, &desired, policy, on).await?)
    }

    async fn apply(
        &self,
        desired: &Desired,
        policy: &Policy,
        go: &dyn GoAhead,
        on: &mut OnEvent<'_>,
    ) -> Result<ChangeSet, Stopped> {
        let desired = opened(desired)?;
        let order = Order { desired: &desired, policy, direction: Direction::Forward, go };
        run::apply(self, &order, on).await
    }

    async fn await_healthy(
        &self,
        desired: &Desired,
        timeout: Duration,
        on: &mut OnEvent<'_>,
    ) -> Result<HealthReport, Failure> {
        let desired = desired.opened()?;
        Ok(run::await_healthy(self, &desired, timeout, Direction::Forward, on).await?)
    }

    async fn rollback(
        &self,
        previous: &Desired,
        policy: &Policy,
        timeout: Duration,
        on: &mut OnEvent<'_>,
    ) -> Result<RolledBack, Stopped> {
        // What the failed release was allowed to remove, going back is not; and waves have no say in an emergency.
        let careful = Policy { allow_prune: Vec::new(), wave_timeout: None, ..policy.clone() };
        let previous = opened(previous)?;
        let order = Order { desired: &previous, policy: &careful, direction: Direction::Back, go: &Always };
        let changes = run::apply(self, &order, on).await?;
        match run::await_healthy(self, &previous, timeout, Direction::Back, on).await {
            Ok(health) => Ok(RolledBack { changes, health }),
            Err(error) => Err(Stopped { failure: error.into(), changes }),
        }
    }
}
