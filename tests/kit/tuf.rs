//! Our verifier as a client of plain TUF repositories, with the command line that `tuf-conformance` asks of a client:
//! so that a suite by others can judge it.
//!
//! **Ours**: canonical form, envelopes, keys, signatures, thresholds, the chain of roots. **The adapter's**, because a
//! bundle has no use for it: fetching (§5.2), versions as what decides which is older and expiry by the clock, where
//! Consign has the approvers' sequence and a clock that decides nothing (§5.4.3 to §5.6.5), optional `length` and
//! `hashes` of metadata, consistent snapshots, targets of any name. Documents are brought into canonical form before
//! they are judged, for repositories may serve any JSON; a bundle may not.

mod client;
mod documents;
mod fetch;

pub use client::{Client, Refused};
