//! The main job from end to end: both programs, real images, a real Kubernetes API.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

#[path = "whole/cluster.rs"]
mod cluster;
#[path = "whole/inputs.rs"]
mod inputs;
#[path = "whole/journey.rs"]
mod journey;
#[path = "whole/memory.rs"]
mod memory;
#[path = "whole/quickstart.rs"]
mod quickstart;
#[path = "whole/refusals.rs"]
mod refusals;
#[path = "whole/reproducible.rs"]
mod reproducible;
