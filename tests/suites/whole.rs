//! The main job from end to end: both programs, real images, a real Kubernetes API.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a suite reports by panicking, and what it writes need not survive a power cut"
)]

#[path = "whole/cluster.rs"]
mod cluster;
#[path = "whole/cluster_holds.rs"]
mod cluster_holds;
#[path = "whole/inputs.rs"]
mod inputs;
#[path = "whole/journey.rs"]
mod journey;
#[path = "whole/memory.rs"]
mod memory;
#[path = "whole/refusals.rs"]
mod refusals;
#[path = "whole/reproducible.rs"]
mod reproducible;
#[path = "whole/revocation.rs"]
mod revocation;
