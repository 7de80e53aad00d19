//! How both programs speak to people: errors, progress, JSON, exit codes.
//!
//! `consign` and `consign-site` are two programs by one house, so they say the same thing the same way.
//! A main creates one [`Terminal`], hands its [`Progress`] to the library, and ends in [`Terminal::finish`].
//! Nothing else in the workspace prints. This crate decides nothing: what it is told, it says.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::disallowed_methods))]

pub mod amount;
mod ask;
pub mod commands;
pub mod explain;
pub mod output;
pub mod progress;
pub mod report;

pub use amount::{bytes, duration};
pub use commands::{completions, markdown, parse};
pub use explain::explain;
pub use output::{Terminal, Usage};
pub use progress::{Amount, Progress, Silent};
pub use report::{ErrorDocument, report, report_json};
