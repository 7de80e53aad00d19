//! What only its recipients can read: the age key of a site, bundles encrypted to sites, secrets encrypted to one.
//!
//! Encryption hides; it vouches for nothing. Who made a bundle and that it is whole is told by the signatures inside
//! (`consign_format::trust`), which are checked over the decrypted stream as over any other. The cryptography is
//! age's (age-encryption.org/v1), none of it ours; it draws its own randomness, which is why this is a room of its own
//! and no part of `format` (docs/decisions/0005).
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::disallowed_methods))]

pub mod error;
pub mod key;

pub use error::SealedError;
pub use key::{Recipient, SiteKey};
