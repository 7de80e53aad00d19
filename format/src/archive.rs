//! The archive: an uncompressed tar of one canonical form, a head of signed metadata and a payload.
//!
//! ```text
//! consign-format          the bytes `1\n`
//! metadata/1.root.json … metadata/N.root.json
//! metadata/statements/HEX.json …      each named by its own sha256, ascending; often none
//! metadata/timestamp.json, snapshot.json, targets.json, carriage.json
//! release.json            the release manifest
//! filler                  zeros, up to the boundary that the carriage names
//! oci-layout, index.json  ─┐
//! blobs/sha256/…           │ the payload, exactly as the carriage lists it
//! packed/sha256/….zst     ─┘
//! two zero blocks, and not a byte more
//! ```
//!
//! A bundle of metadata alone ends behind its roots and statements: it brings new roots, site records, grants.
//!
//! The reader makes each header anew from the name and the length and compares; so links, devices, pax and
//! GNU extensions, modes, owners and times need no rule: they cannot be expressed (TRUST §3).

mod error;
pub mod front;
pub mod head;
pub mod header;
pub mod payload;
pub mod plan;
mod source;
pub mod volumes;

/// The first member.
pub const FORMAT_MEMBER: &str = "consign-format";
/// The content of the first member, for all time.
pub const FORMAT_VERSION: &[u8] = b"1\n";
/// Where statements lie.
pub const STATEMENT_FOLDER: &str = "metadata/statements/";
/// The first member of an encrypted bundle, which another crate reads; here so that it is told from other files.
pub const ENCRYPTED_MEMBER: &str = "consign-encrypted";
/// The member of zeros between head and payload.
pub const FILLER_MEMBER: &str = "filler";
