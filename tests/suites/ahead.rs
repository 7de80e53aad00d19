//! Nodes pull before a release is applied: who is asked, by what, what is said of those that cannot, and that nothing
//! stays behind. A real API server; five nodes whose kubelets are simulated.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    missing_docs,
    reason = "tests"
)]

#[path = "apply/bench.rs"]
#[allow(dead_code, reason = "shared with the suite `apply`")]
mod bench;
#[path = "ahead/nodes.rs"]
mod nodes;
#[path = "ahead/refused.rs"]
mod refused;
#[path = "ahead/secrets.rs"]
mod secrets;
#[path = "ahead/world.rs"]
mod world;
