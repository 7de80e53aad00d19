//! Registries that a site already has, by others: pushed to, read by others, failing in every way they fail.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a suite reports by panicking, and what it writes need not survive a power cut"
)]

#[path = "push/faults.rs"]
mod faults;
#[path = "push/going_back.rs"]
mod going_back;
#[path = "push/goods.rs"]
mod goods;
#[path = "push/refusals.rs"]
mod refusals;
#[path = "push/registries.rs"]
mod registries;
#[path = "push/site.rs"]
mod site;
#[path = "push/strain.rs"]
mod strain;
#[path = "push/tokens.rs"]
mod tokens;
