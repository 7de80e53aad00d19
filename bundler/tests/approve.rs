//! Roots of several people, approval by requests, and heads rewritten in place, by the program itself.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::disallowed_methods)]

#[path = "approve/desk.rs"]
mod desk;
#[path = "approve/heads.rs"]
mod heads;
#[path = "approve/requests.rs"]
mod requests;
#[path = "approve/roots.rs"]
mod roots;
#[path = "approve/statements.rs"]
mod statements;
