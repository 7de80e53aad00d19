//! What a watch remembers while it runs. Nothing of it is needed after a restart.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use consign_format::error::Failure;
use consign_format::{Exit, Name};

use crate::watch::Seen;

/// Between two looks at the gates, and after the first failure.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);
/// After many failures.
const LONG: Duration = Duration::from_secs(600);

/// The memory.
#[derive(Default)]
pub(super) struct Memory {
    /// What was seen at the look before, by folder.
    pub(super) before: BTreeMap<PathBuf, Seen>,
    /// What was dealt with, by folder.
    pub(super) done: BTreeMap<PathBuf, Seen>,
    /// For what a product waits, as it was said last.
    pub(super) waits: BTreeMap<Name, String>,
    /// What kept the last look from being made, as it was said.
    pub(super) said: Option<String>,
    /// What went wrong first; what only waits counts where nothing did.
    pub(super) trouble: Option<Failure>,
    /// Whether receipts were written that have not been copied.
    pub(super) receipts: bool,
    /// When the gates are looked at next.
    pub(super) next: Duration,
    /// What failed, and when it is tried again.
    pub(super) products: BTreeMap<Name, Again>,
    pub(super) media: BTreeMap<PathBuf, Again>,
}

impl Memory {
    /// Keeps what went wrong, for the exit code of a single look.
    pub(super) fn trouble(&mut self, failure: Failure) {
        let only_waits = |failure: &Failure| failure.code().exit == Exit::Busy;
        let replaces = |kept: &Failure| only_waits(kept) && !only_waits(&failure);
        if self.trouble.as_ref().is_none_or(replaces) {
            self.trouble = Some(failure);
        }
    }
}

/// A pause that grows with every failure.
#[derive(Clone, Copy)]
pub(super) struct Again {
    pub(super) at: Duration,
    pause: Duration,
}

impl Again {
    pub(super) fn after(before: Option<&Again>, now: Duration) -> Self {
        let pause = before.map_or(PATIENCE, |before| (before.pause * 2).min(LONG));
        Again { at: now + pause, pause }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_ten_minutes_and_no_longer() {
        let (mut again, mut pauses) = (None, Vec::new());
        for _ in 0..7 {
            let next = Again::after(again.as_ref(), Duration::from_secs(1000));
            assert_eq!(next.at, Duration::from_secs(1000) + next.pause);
            pauses.push(next.pause.as_secs());
            again = Some(next);
        }
        assert_eq!(pauses, [20, 40, 80, 160, 320, 600, 600]);
    }
}
