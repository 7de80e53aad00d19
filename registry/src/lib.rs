//! OCI distribution for Consign: blobs on disk, sources to pull images from, a registry to serve.
//!
//! - [`durable`]: files written once, that survive a power cut.
//! - [`blobs`]: a content-addressed folder, filled by verified rename only.
//! - [`source`]: where images come from: a registry, an OCI layout, an archive.
//! - [`client`]: the registry among those sources.
//! - [`push`]: what a store holds, into a registry that a site already has.
//! - [`volumes`]: the files of a bundle that was cut, put together while they are read.
//! - [`serve`]: the pull side of the OCI distribution API over whatever implements [`serve::Content`].
//!
//! Nothing here prints, reads the environment or decides what is trusted; a digest is checked wherever bytes enter.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::disallowed_methods))]

pub mod blobs;
pub mod client;
pub mod durable;
pub mod manifest;
pub mod push;
mod section;
pub mod serve;
pub mod source;
pub mod volumes;

pub use blobs::{BlobError, BlobFolder};
pub use client::{RegistryOptions, RemoteRegistry};
pub use source::{ImageSource, LocalImages, SourceError};
