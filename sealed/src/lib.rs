//! What only its recipients can read: the age key of a site, bundles encrypted to sites, messages encrypted to one; and
//! the MAC of codes that two of them share.
//!
//! ```text
//! consign-encrypted    the bytes `1\n`
//! keys                 one slot of 512 bytes per recipient, ascending: the bundle's key, wrapped for it
//! head.age             the bundle up to its boundary
//! payload.age          the bundle from its boundary to its end
//! two zero blocks, and not a byte more
//! ```
//!
//! The members are tar members of the one form that `consign_format::archive::header` knows. [`seal()`] writes them,
//! [`Unsealed`] reads them back as the plain bundle, while it decrypts.
//!
//! Encryption hides; it vouches for nothing. Who made a bundle and that it is whole is told by the signatures inside
//! (`consign_format::trust`), which are checked over the decrypted stream as over any other. The cryptography is
//! age's (age-encryption.org/v1), [`code`] excepted; it draws its own randomness, which is why this is a room of its own
//! and no part of `format` (docs/decisions/0005).
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::disallowed_methods))]

pub mod code;
pub mod error;
mod header;
pub mod key;
pub mod message;
pub mod seal;
mod section;
mod slots;
pub mod unseal;
pub mod values;

pub use error::SealedError;
pub use key::{Recipient, SiteKey};
pub use seal::{Sealing, seal};
pub use unseal::{Unsealed, is_sealed};

/// The first member, by which an encrypted bundle is told from a plain one.
pub const FORMAT_MEMBER: &str = consign_format::archive::ENCRYPTED_MEMBER;
/// The content of the first member.
pub const FORMAT_VERSION: &[u8] = b"1\n";
/// The member with one slot per recipient.
pub const KEYS_MEMBER: &str = "keys";
/// The member with the head.
pub const HEAD_MEMBER: &str = "head.age";
/// The member with the payload.
pub const PAYLOAD_MEMBER: &str = "payload.age";
