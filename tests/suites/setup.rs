//! A site set up: by a person at a terminal, by a script, by a tenant with one namespace; and what it puts on a machine.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::disallowed_methods, reason = "tests")]

#[path = "setup/guided.rs"]
mod guided;
#[path = "setup/pseudo.rs"]
mod pseudo;
#[path = "setup/tenant.rs"]
mod tenant;
#[path = "setup/terminal.rs"]
mod terminal;
#[path = "setup/units.rs"]
mod units;
