//! The site's clocks, as `main` hands them in. No decision depends on the wall clock unless expiry is enforced.

use std::time::Duration;

/// Two clocks: one that people set, and one that only goes forward.
pub struct Clocks {
    /// Seconds since 1970, as far as this machine knows.
    pub wall: Box<dyn Fn() -> u64 + Send + Sync>,
    /// Time since some moment before this run; for how long things took.
    pub monotonic: Box<dyn Fn() -> Duration + Send + Sync>,
}

impl Clocks {
    /// Seconds since 1970 by the wall clock.
    pub fn now(&self) -> u64 {
        (self.wall)()
    }

    /// Time since some moment before this run.
    pub fn elapsed(&self) -> Duration {
        (self.monotonic)()
    }
}
