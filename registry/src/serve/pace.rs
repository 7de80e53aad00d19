//! How slow a client may be. One that takes a byte a second would hold its place, a file and a buffer for years; a
//! thousand of them would hold all places.

use std::future::Future;
use std::io;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

/// What a client must take within the window, unless its answer ends before.
pub(super) const LEAST: u64 = 64 * 1024;

/// Watches one answer on its way.
pub(super) struct Pace {
    window: Duration,
    since: Instant,
    taken: u64,
}

impl Pace {
    pub(super) fn new(window: Duration) -> Self {
        Pace { window, since: Instant::now(), taken: 0 }
    }

    /// Waits for one step of the answer, no longer than the window lasts.
    pub(super) async fn within<T>(&self, step: impl Future<Output = io::Result<T>>) -> io::Result<T> {
        timeout_at(self.since + self.window, step).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }

    /// So many bytes were taken; enough of them begin a new window.
    pub(super) fn note(&mut self, bytes: u64) {
        self.taken += bytes;
        if self.taken >= LEAST {
            *self = Pace::new(self.window);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_trickle_is_cut_and_a_stream_is_not() {
        let second = || async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            Ok(())
        };
        let mut pace = Pace::new(Duration::from_secs(60));
        for _ in 0..600 {
            pace.within(second()).await.unwrap();
            pace.note(2 * 1024);
        }
        let (mut pace, mut taken) = (Pace::new(Duration::from_secs(60)), 0);
        while pace.within(second()).await.is_ok() {
            pace.note(1);
            taken += 1;
        }
        assert!((59..=60).contains(&taken), "{taken}");
    }
}
