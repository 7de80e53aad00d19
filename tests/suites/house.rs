//! The house itself: who depends on whom, whether generated files and docs are what the code says.
//!
//! Nothing here needs more than the tree; `cargo xtask check` and `cargo xtask test --quick` run it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a suite reports by panicking"
)]

mod bundles;
mod dependencies;
mod docs;
mod errors;
mod images;
mod schemas;
