//! The connected side of Consign: from a Git repository to one signed bundle.
//!
//! A release is read from a commit ([`source`]), rendered ([`render`], [`yaml`], [`object`]), brought into
//! one form ([`normalise`]), freed of secrets ([`secrets`]), and its images are found ([`discover`]),
//! resolved ([`resolve`], [`lock`]) and pinned ([`pin`]). Everything behind them is named ([`collect`]),
//! laid out ([`plan`]), written ([`pack`]) and signed ([`sign`] by [`signer`]). Each stage takes the plain data of the one
//! before and returns its own; [`build_bundle`] alone knows the order.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::disallowed_methods))]

pub mod approval;
pub mod attest;
pub mod build_bundle;
pub mod bundle;
pub mod cli;
pub mod collect;
pub mod config;
pub mod demo;
pub mod depends;
pub mod desired;
pub mod detect;
pub mod development;
pub mod difference;
pub mod discover;
pub mod encrypt;
pub mod files;
pub mod gate;
pub mod image_sources;
pub mod join;
pub mod lock;
pub mod locking;
pub mod medium;
pub mod normalise;
pub mod object;
pub mod pack;
pub mod pin;
pub mod plan;
pub mod policy;
pub mod rehead;
pub mod render;
pub mod resolve;
pub mod root_changes;
pub mod root_files;
pub mod secrets;
pub mod sign;
pub mod signer;
pub mod site_kit;
pub mod site_record;
pub mod site_secrets;
pub mod source;
pub mod split;
pub mod statements;
mod tee;
pub mod tool;
pub mod unpack;
pub mod yaml;
