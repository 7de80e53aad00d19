//! Power can go at any instant, a disk can fill up or fail at any call: what a site keeps is then the old state or the new
//! one, never a mixed one; running again ends where the first run would have ended; and what is torn is never taken for
//! new. The programs are the real ones: they are killed by the kernel, and their calls fail by strace.
//!
//! A kill loses nothing that was handed to the kernel. That the order of writes, fsyncs and renames is right as well is
//! shown on a disk that forgets what was not synced, and by letting them fail, one by one: the run must not end well.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a suite reports by panicking, and what it writes need not survive a power cut"
)]

#[path = "crash/calls.rs"]
mod calls;
#[path = "crash/full.rs"]
mod full;
#[path = "crash/ground.rs"]
mod ground;
#[path = "crash/heads.rs"]
mod heads;
#[path = "crash/instants.rs"]
mod instants;
#[path = "crash/power.rs"]
mod power;
#[path = "crash/soak.rs"]
mod soak;
#[path = "crash/steps.rs"]
mod steps;
#[path = "crash/torn.rs"]
mod torn;
