//! The hostile table: everything that a courier, a stranger or a thief of keys may hand to a site, row by row.
//!
//! Every case goes through the real programs. It asserts the exit code, the error's name and what the message speaks of,
//! and that what the registry serves, what the state and the cluster hold and what lies on the medium are byte for byte
//! what they were. Each row leaves a line in the file that `CONSIGN_HOSTILE_TABLE` names; `cargo xtask hostile` makes
//! the table of them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a suite reports by panicking, and what it writes need not survive a power cut"
)]

#[path = "hostile/builder.rs"]
mod builder;
#[path = "hostile/cluster.rs"]
mod cluster;
#[path = "hostile/codec.rs"]
mod codec;
#[path = "hostile/counters.rs"]
mod counters;
#[path = "hostile/curve.rs"]
mod curve;
#[path = "hostile/form.rs"]
mod form;
#[path = "hostile/ground.rs"]
mod ground;
#[path = "hostile/headers.rs"]
mod headers;
#[path = "hostile/headquarters.rs"]
mod headquarters;
#[path = "hostile/installer.rs"]
mod installer;
#[path = "hostile/keys.rs"]
mod keys;
#[path = "hostile/liar.rs"]
mod liar;
#[path = "hostile/medium.rs"]
mod medium;
#[path = "hostile/metadata.rs"]
mod metadata;
#[path = "hostile/roots.rs"]
mod roots;
#[path = "hostile/sealed.rs"]
mod sealed;
#[path = "hostile/state.rs"]
mod state;
#[path = "hostile/trial.rs"]
mod trial;
#[path = "hostile/volumes.rs"]
mod volumes;
#[path = "hostile/workshop.rs"]
mod workshop;

use trial::Row;

/// How many rows the table has.
const ROWS: u8 = 81;

/// All rooms.
fn rooms() -> Vec<&'static [Row]> {
    vec![
        form::ROWS,
        headers::ROWS,
        metadata::ROWS,
        keys::ROWS,
        roots::ROWS,
        counters::ROWS,
        codec::ROWS,
        medium::ROWS,
        state::ROWS,
        builder::ROWS,
        sealed::ROWS,
        volumes::ROWS,
        installer::ROWS,
        headquarters::ROWS,
        cluster::ROWS,
    ]
}

#[test]
fn every_row_of_the_table_is_here_once() {
    let mut numbers: Vec<u8> = rooms().into_iter().flatten().map(|row| row.number).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=ROWS).collect::<Vec<_>>());
}

#[test]
fn form() {
    trial::run(form::ROWS);
}

#[test]
fn headers() {
    trial::run(headers::ROWS);
}

#[test]
fn metadata() {
    trial::run(metadata::ROWS);
}

#[test]
fn keys() {
    trial::run(keys::ROWS);
}

#[test]
fn roots() {
    trial::run(roots::ROWS);
}

#[test]
fn counters() {
    trial::run(counters::ROWS);
}

#[test]
fn codec() {
    trial::run(codec::ROWS);
}

#[test]
fn medium() {
    trial::run(medium::ROWS);
}

#[test]
fn state() {
    trial::run(state::ROWS);
}

#[test]
fn builder() {
    trial::run(builder::ROWS);
}

#[test]
fn sealed() {
    trial::run(sealed::ROWS);
}

#[test]
fn volumes() {
    trial::run(volumes::ROWS);
}

#[test]
fn installer() {
    trial::run(installer::ROWS);
}

#[test]
fn headquarters() {
    trial::run(headquarters::ROWS);
}

#[test]
fn cluster() {
    trial::run(cluster::ROWS);
}
