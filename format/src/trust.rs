//! Trust: TUF 1.0 metadata at the head of every bundle, checked by a small pure state machine.
//!
//! Bytes go in, a stronger type or a typed refusal comes out; there is no clock and no I/O. The order is in
//! the types: [`roots::RootChain`] → [`chain::TimestampTrusted`] → … → [`chain::Vouched`], so a step cannot
//! be left out. Each step stands under the clause of the TUF specification (1.0.31) it implements;
//! departures are marked "Off-spec" with their reason.

pub mod author;
pub mod chain;
pub mod document;
pub mod envelope;
pub mod error;
pub mod fingerprint;
pub mod keys;
pub mod root_author;
pub mod roots;
pub mod scan;
pub mod site_secrets;
pub mod statement;

pub use document::Audience;
pub use error::TrustError;
pub use fingerprint::Fingerprint;
