//! The connected side of Consign: from a Git repository to one signed bundle.
//!
//! A release is read from a commit ([`source`]), rendered ([`render`], [`yaml`], [`object`]), brought into
//! one form ([`normalise`]), freed of secrets ([`secrets`]), and its images are found ([`discover`]) and
//! pinned ([`pin`]). Each stage takes the plain data of the one before and returns its own.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::disallowed_methods))]

pub mod discover;
pub mod normalise;
pub mod object;
pub mod pin;
pub mod render;
pub mod secrets;
pub mod source;
pub mod tool;
pub mod yaml;
