//! Our verifier as a client of plain TUF repositories (`tuf-client`), against one that misbehaves on request: a small
//! subset, made anew, of what `tuf-conformance` asks. That suite is in no package registry; docs/decisions/0002 says how
//! to run it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a suite reports by panicking, and what it writes need not survive a power cut"
)]

#[path = "conformance/client.rs"]
mod client;
#[path = "conformance/download.rs"]
mod download;
#[path = "conformance/left_out.rs"]
mod left_out;
#[path = "conformance/refresh.rs"]
mod refresh;
#[path = "conformance/repository.rs"]
mod repository;
#[path = "conformance/roots.rs"]
mod roots;
