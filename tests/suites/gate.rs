//! `consign verify` as a gate, image signatures, and the way through a malware scanner, by the programs themselves.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a suite reports by panicking, and what it writes need not survive a power cut"
)]

#[path = "gate/asked.rs"]
mod asked;
#[path = "gate/images.rs"]
mod images;
#[path = "gate/metadata.rs"]
mod metadata;
#[path = "gate/reports.rs"]
mod reports;
#[path = "gate/scanning.rs"]
mod scanning;
#[path = "gate/templates.rs"]
mod templates;
#[path = "gate/workshop.rs"]
mod workshop;
