//! The handoff `direct` against a real API server: what was applied is there, what left is gone, and nothing else moved.
//!
//! Each test keeps to namespaces, products and cluster-wide names of its own on one shared cluster.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    missing_docs,
    reason = "tests"
)]

#[path = "apply/adopting.rs"]
mod adopting;
#[path = "apply/bench.rs"]
mod bench;
#[path = "apply/between.rs"]
mod between;
#[path = "apply/depending.rs"]
mod depending;
#[path = "apply/faults.rs"]
mod faults;
#[path = "apply/fitness.rs"]
mod fitness;
#[path = "apply/guards.rs"]
mod guards;
#[path = "apply/health.rs"]
mod health;
#[path = "apply/hook_ends.rs"]
mod hook_ends;
#[path = "apply/life_goes_on.rs"]
mod life_goes_on;
#[path = "apply/lifecycle.rs"]
mod lifecycle;
#[path = "apply/plan.rs"]
mod plan;
#[path = "apply/recreating.rs"]
mod recreating;
#[path = "apply/rewriting.rs"]
mod rewriting;
#[path = "apply/secrets.rs"]
mod secrets;
#[path = "apply/webhooks.rs"]
mod webhooks;
#[path = "apply/with_kubectl.rs"]
mod with_kubectl;
