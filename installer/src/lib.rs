//! The site: verifies a bundle, loads it, applies it, confirms it, and hands back a signed receipt.
//!
//! [`install_bundle`] is the main path and reads like a table of contents; every stage is one file.
//! Nothing here prints, reads the environment or takes the time; only [`cli`], which `main.rs` runs, does.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::disallowed_methods))]

pub mod admit;
pub mod allow;
pub mod apply;
pub mod ask_program;
pub mod cli;
pub mod clock;
pub mod config;
pub mod desired;
pub mod diagnose;
pub mod doctor;
pub mod drift_run;
pub mod files;
pub mod gates;
pub mod gc;
pub mod handoff;
pub mod held_objects;
pub mod images;
pub mod install_bundle;
pub mod load;
pub mod medium;
pub mod nodes;
pub mod open;
pub mod pick;
pub mod pod_spec;
pub mod rbac;
pub mod reach;
pub mod receipts;
pub mod scan;
pub mod scrub;
pub mod serve;
pub mod services;
pub mod site;
pub mod site_registry;
pub mod site_secrets;
pub mod store;
pub mod supply;
pub mod tls;
pub mod units;
pub mod upgrade;
pub mod verify_bundle;
pub mod watch;

pub use site::Site;
pub use store::Store;
