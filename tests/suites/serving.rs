//! `consign-site serve` as nodes and administrators meet it: TLS with the site's own authority, users, logs, bounds.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a suite reports by panicking, and writes what may be lost"
)]

#[path = "serving/curl.rs"]
mod curl;
#[path = "serving/program.rs"]
mod program;
#[path = "serving/tls.rs"]
mod tls;
