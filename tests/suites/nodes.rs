//! `consign-site nodes`: what it writes is read by the runtimes that nodes have, and leads to the site and nowhere else.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a suite reports by panicking, and writes what may be lost"
)]

#[path = "nodes/containerd.rs"]
mod containerd;
#[path = "nodes/crash.rs"]
mod crash;
#[path = "nodes/failover.rs"]
mod failover;
#[path = "nodes/files.rs"]
mod files;
#[path = "nodes/podman.rs"]
mod podman;
#[path = "nodes/refusals.rs"]
mod refusals;
#[path = "nodes/release.rs"]
mod release;
#[path = "nodes/tls.rs"]
mod tls;
#[path = "nodes/world.rs"]
mod world;
