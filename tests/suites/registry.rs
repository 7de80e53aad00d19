//! Our registry under the clients that nodes and people have, and our client under a registry by others.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

#[path = "registry/containerd.rs"]
mod containerd;
#[path = "registry/podman.rs"]
mod podman;
#[path = "registry/site.rs"]
mod site;
#[path = "registry/skopeo.rs"]
mod skopeo;
