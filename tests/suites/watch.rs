//! A stick appears, and nobody is there who knows Kubernetes: `consign-site watch` as a program, with FAT images as sticks,
//! mounted read-only and to be written, pulled out and put back, against a real API server.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a suite reports by panicking"
)]

#[path = "watch/by_itself.rs"]
mod by_itself;
#[path = "watch/hook.rs"]
mod hook;
#[path = "watch/once.rs"]
mod once;
#[path = "watch/stick.rs"]
mod stick;
#[path = "watch/ward.rs"]
mod ward;
#[path = "watch/with_a_person.rs"]
mod with_a_person;
