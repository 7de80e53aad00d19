//! Bundles before judges who have no line of code in common with us: `docs/verify.sh`, python-tuf, tuf-js. On every
//! bundle, good or bad, each must say what `consign verify` says, but for what it cannot see, which is named.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a suite reports by panicking, and what it writes need not survive a power cut"
)]

#[path = "judges/agreement.rs"]
mod agreement;
#[path = "judges/auditor.rs"]
mod auditor;
#[path = "judges/bundle.rs"]
mod bundle;
#[path = "judges/memory.rs"]
mod memory;
