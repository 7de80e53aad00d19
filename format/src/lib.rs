//! What a Consign bundle **is**: its documents, its trust rules, its archive.
//!
//! This crate knows no network, no clock, no environment, no terminal and nothing asynchronous.
//! It works over bytes and over `Read`, `Write` and `Seek`; time and randomness are arguments.
//! Everything that both sides of the gap must agree on lives here and nowhere else.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::disallowed_methods))]

pub mod archive;
pub mod canonical;
pub mod carriage;
pub mod depends;
pub mod descriptor;
pub mod digest;
pub mod enrolment;
pub mod error;
pub mod frames;
pub mod kit;
pub mod layout;
pub mod limits;
pub mod media_type;
pub mod name;
pub mod node_file;
pub mod receipt;
pub mod reference;
pub mod release;
pub mod state;
pub mod trust;
pub mod verify;
pub mod version;

pub use descriptor::{Descriptor, Platform};
pub use digest::{Digest, DigestWriter};
pub use error::{Code, Coded, Exit, Failure};
pub use limits::Limits;
pub use name::Name;
pub use reference::Reference;
