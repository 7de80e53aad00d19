//! What the suites need around them: real servers started and stopped, images and repositories made from nothing.
//!
//! It fakes nothing that can be had for real, and leaves nothing behind: no process, no file, no port.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a kit reports by failing the test"
)]

pub mod cluster;
pub mod command;
pub mod desk;
pub mod forge;
pub mod generated;
pub mod images;
pub mod judges;
pub mod meddler;
pub mod power;
pub mod programs;
pub mod registry;
pub mod sample;
pub mod site;
pub mod skip;
pub mod token_service;
pub mod tools;
pub mod tuf;
pub mod untouched;
pub mod volumes;
pub mod webhook;
pub mod workshop;
