//! Who converges the cluster: the room for `direct` and `export` now, for Argo CD, Flux and Git later.
//!
//! A handoff receives the verified desired state as data and answers with data. It decides nothing:
//! whether to go on, to halt or to roll back is said by the release's policy, in the main path.
//! It must never render, resolve or change an image: what is in [`Desired`] is what runs.

use std::future::Future;
use std::time::Duration;

use consign_format::error::Failure;
use consign_format::release::SecretRule;
use serde_json::Value;

use crate::site_secrets::SealedSecrets;

pub mod change_set;
pub mod chosen;
pub mod export;
pub mod field_change;
pub mod go_ahead;
pub mod health_report;
pub mod needs;
pub mod object_key;
pub mod owner;

pub use change_set::{Action, ChangeSet, Counts, Entry, Plan};
pub use field_change::{FieldChange, ObjectDiff};
pub use go_ahead::{Always, GoAhead};
pub use health_report::{HealthReport, Unhealthy};
pub use needs::Needs;
pub use object_key::{GroupKind, ObjectKey};
pub use owner::Owner;

/// The desired state of one release of one product, as it came out of the verified state artifact.
#[derive(Debug, Clone)]
pub struct Desired {
    /// The product; names the ApplySet parent `consign-<product>`.
    pub product: String,
    /// The release's version, for messages and events only.
    pub version: String,
    /// The version of this program, written as `consign/<tooling>` on the ApplySet parent.
    pub tooling: String,
    /// The namespace for namespaced objects that name none. It is created where neither cluster nor release has it.
    pub namespace: Option<String>,
    /// Every object, one JSON value each, in any order.
    pub objects: Vec<Value>,
    /// What the release manifest says about Secrets whose data it does not carry.
    /// A `generate` without keys means the one key `password`.
    pub secrets: Vec<SecretRule>,
    /// Secrets of this site alone, still encrypted. [`Desired::opened`] makes objects of them, at the last moment.
    pub sealed: Option<SealedSecrets>,
    /// What the release was built for.
    pub needs: Needs,
}

/// What the release and the site allow while applying. The zero value is the careful one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Policy {
    /// Kinds that may be pruned although they hold state: `PersistentVolumeClaim`, `PersistentVolume`, `Namespace`,
    /// `CustomResourceDefinition.apiextensions.k8s.io` (`Kind` alone is understood too). From the signed `allowPrune`.
    pub allow_prune: Vec<String>,
    /// Whose objects and fields may be taken over.
    pub adopt: Vec<Owner>,
    /// Refuse workloads whose update would interrupt their service.
    pub require_zero_downtime: bool,
    /// Let nodes pull the release's images before it is applied, and how long each may take.
    pub pre_pull: Option<Duration>,
    /// Take fields that other field managers hold, whoever they are.
    pub force_conflicts: bool,
    /// How long a sync wave may take to become healthy before the next one starts. Without it no wave is waited for,
    /// and no hook is deleted when it is done.
    pub wave_timeout: Option<Duration>,
}

/// What a handoff tells while it works. For people and for journals; never carries Secret data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Dry-run on the server: so many of so many objects have been checked.
    Checked {
        /// Objects checked.
        done: usize,
        /// Objects to check.
        total: usize,
    },
    /// A node has been asked to pull.
    Pulled {
        /// The node.
        node: String,
        /// What came of it, such as `has the images that it needs (3)`.
        said: String,
        /// How many nodes are asked.
        nodes: usize,
    },
    /// A stage of the apply order begins.
    Stage {
        /// The name of the stage, such as `definitions` or `workloads`.
        name: &'static str,
        /// The sync wave inside it.
        wave: i64,
        /// How many objects it holds.
        objects: usize,
    },
    /// Something happened to one object.
    Object(Entry),
    /// Waiting for health: sent when the picture changes.
    Waiting {
        /// Objects healthy so far.
        ready: usize,
        /// Objects waited for.
        total: usize,
        /// What the rest waits for, one line per object.
        reasons: Vec<String>,
    },
    /// Something worth knowing that stops nothing.
    Note(String),
}

/// Receives events. The callback must not block for long: the cluster waits.
pub type OnEvent<'a> = dyn FnMut(Event) + Send + 'a;

/// The work stopped midway: why, and what had been done until then.
#[derive(Debug)]
pub struct Stopped {
    /// Why.
    pub failure: Failure,
    /// What was written before.
    pub changes: ChangeSet,
}

/// What a rollback came to.
#[derive(Debug, Clone)]
pub struct RolledBack {
    /// What was written to get back.
    pub changes: ChangeSet,
    /// Whether what was brought back is healthy again.
    pub health: HealthReport,
}

/// One way to bring the desired state into a cluster.
///
/// Every call is idempotent: the same desired state applied twice writes nothing the second time,
/// and a call after a power cut finishes what the first one left.
pub trait Handoff: Send + Sync {
    /// The name in configuration and receipts, such as `direct`.
    fn name(&self) -> &'static str;

    /// Checks what can be checked and says what [`Handoff::apply`] would do. Writes nothing.
    fn plan(
        &self,
        desired: &Desired,
        policy: &Policy,
        on: &mut OnEvent<'_>,
    ) -> impl Future<Output = Result<Plan, Failure>> + Send;

    /// Brings the images of the release to the nodes whose pods will need them, where the policy asks for that and this
    /// program is who converges the cluster. Changes nothing that runs.
    fn pre_pull(
        &self,
        _desired: &Desired,
        _policy: &Policy,
        _on: &mut OnEvent<'_>,
    ) -> impl Future<Output = Result<(), Failure>> + Send {
        async { Ok(()) }
    }

    /// Makes the cluster hold the desired state, removed objects removed. Refuses before the first write where it can.
    /// Between stages it asks `go` whether it may go on.
    fn apply(
        &self,
        desired: &Desired,
        policy: &Policy,
        go: &dyn GoAhead,
        on: &mut OnEvent<'_>,
    ) -> impl Future<Output = Result<ChangeSet, Stopped>> + Send;

    /// Waits until everything is healthy, something has failed, or the time is over; all three are an `Ok` report.
    /// An `Err` means that health could not be learned.
    fn await_healthy(
        &self,
        desired: &Desired,
        timeout: Duration,
        on: &mut OnEvent<'_>,
    ) -> impl Future<Output = Result<HealthReport, Failure>> + Send;

    /// Brings the previous release back: its objects re-applied, newly made members pruned (never what holds state),
    /// then waits for health. A `previous` without objects means that there was none.
    /// It never asks whether it may go on: a cluster between two releases is worse than one that is in use.
    fn rollback(
        &self,
        previous: &Desired,
        policy: &Policy,
        timeout: Duration,
        on: &mut OnEvent<'_>,
    ) -> impl Future<Output = Result<RolledBack, Stopped>> + Send;
}
