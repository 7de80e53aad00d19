//! What a site remembers and how it is enrolled, by both programs: enrol-requests, site records, kits, receipts at
//! headquarters, clocks, damaged state, and the copy of the state in a real API server.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::disallowed_methods, reason = "tests")]

#[path = "site/clock.rs"]
mod clock;
#[path = "site/cluster_copy.rs"]
mod cluster_copy;
#[path = "site/enrolment.rs"]
mod enrolment;
#[path = "site/receipts.rs"]
mod receipts;
#[path = "site/workshop.rs"]
mod workshop;
