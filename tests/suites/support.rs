//! When it fails: what a site says of itself to people who were not there, by both programs and a real API server.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::disallowed_methods, reason = "tests")]

#[path = "support/diagnose.rs"]
mod diagnose;
#[path = "support/doctor.rs"]
mod doctor;
#[path = "support/kubelet.rs"]
mod kubelet;
#[path = "support/short.rs"]
mod short;
#[path = "support/ward.rs"]
mod ward;
#[path = "site/workshop.rs"]
#[allow(dead_code, reason = "the suite `site` uses more of it")]
mod workshop;
