//! Rendering by the real tools: Helm and Kustomize in the versions the kit pins, and manifests that other
//! projects publish.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
#![allow(clippy::disallowed_methods, reason = "nothing that a test writes has to survive a power cut")]

#[path = "render/charts.rs"]
mod charts;
#[path = "render/inputs.rs"]
mod inputs;
#[path = "render/kubectl.rs"]
mod kubectl;
#[path = "render/kustomizations.rs"]
mod kustomizations;
#[path = "render/refusals.rs"]
mod refusals;
#[path = "render/repository.rs"]
mod repository;
#[path = "render/signatures.rs"]
mod signatures;
