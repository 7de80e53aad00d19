//! Our registry under the clients that nodes and people have, and our client under a registry by others.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a suite reports by panicking, and writes what may be lost"
)]

#[path = "registry/client.rs"]
mod client;
#[path = "registry/conformance.rs"]
mod conformance;
#[path = "registry/containerd.rs"]
mod containerd;
#[path = "registry/podman.rs"]
mod podman;
#[path = "registry/requests.rs"]
mod requests;
#[path = "registry/site.rs"]
mod site;
#[path = "registry/skopeo.rs"]
mod skopeo;
