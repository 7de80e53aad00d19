//! What a long piece of work tells while it runs, and the three ways to show it.
//!
//! The libraries know the trait only. On a terminal a phase is a bar with bytes, rate and time left;
//! elsewhere (a log, a pipe) it is a plain line at its start, a few on the way, and one at its end.

use std::io::Write;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::amount::{bytes, duration};
use crate::report::escape_controls;

/// How much a phase has to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Amount {
    /// So many bytes; shown with a rate and the time left.
    Bytes(u64),
    /// So many things (objects, images, files).
    Items(u64),
    /// Nobody knows; what was done is counted in bytes.
    Unknown,
}

/// Receives the progress of one run.
///
/// Phases follow each other: `phase` ends the one before. All methods take `&self` and may be called from
/// several threads; they never fail and never block on anything but the terminal. Calling `advance` or `done`
/// outside a phase does nothing.
pub trait Progress: Send + Sync {
    /// Begins a phase. `name` is a verb in the present participle, lower case: `pulling`, `loading`.
    fn phase(&self, name: &str, amount: Amount);
    /// Counts further bytes or items of the current phase as done.
    fn advance(&self, count: u64);
    /// Ends the current phase.
    fn done(&self);
    /// Says one line about the work, without disturbing a bar: an image resolved, an object applied.
    fn note(&self, line: &str);
}

/// Says nothing; for tests and for `--json`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Progress for Silent {
    fn phase(&self, _: &str, _: Amount) {}
    fn advance(&self, _: u64) {}
    fn done(&self) {}
    fn note(&self, _: &str) {}
}

/// A bar per phase, on standard error.
pub(crate) struct Bars {
    area: MultiProgress,
    current: Mutex<Option<ProgressBar>>,
}

impl Bars {
    pub(crate) fn new() -> Bars {
        Bars {
            area: MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(10)),
            current: Mutex::new(None),
        }
    }

    /// Runs `print` with the bar taken off the screen.
    pub(crate) fn suspend<T>(&self, print: impl FnOnce() -> T) -> T {
        self.area.suspend(print)
    }
}

impl Progress for Bars {
    fn phase(&self, name: &str, amount: Amount) {
        self.done();
        let (length, template) = match amount {
            Amount::Bytes(total) => (
                Some(total),
                "{msg:>12} [{bar:30}] {decimal_bytes}/{decimal_total_bytes}, {decimal_bytes_per_sec}, {eta} left",
            ),
            Amount::Items(total) => (Some(total), "{msg:>12} [{bar:30}] {pos}/{len}"),
            Amount::Unknown => (None, "{msg:>12} {spinner} {decimal_bytes}, {decimal_bytes_per_sec}"),
        };
        // A template that does not parse would be a defect of this file; the default still shows a bar.
        let style = ProgressStyle::with_template(template)
            .unwrap_or_else(|_| ProgressStyle::default_bar())
            .progress_chars("=> ");
        let bar = match length {
            Some(total) => ProgressBar::new(total),
            None => ProgressBar::new_spinner(),
        };
        let bar = self.area.add(bar.with_style(style).with_message(escape_controls(name)));
        bar.enable_steady_tick(Duration::from_millis(200));
        *lock(&self.current) = Some(bar);
    }

    fn advance(&self, count: u64) {
        if let Some(bar) = lock(&self.current).as_ref() {
            bar.inc(count);
        }
    }

    fn done(&self) {
        if let Some(bar) = lock(&self.current).take() {
            bar.finish_and_clear();
        }
    }

    fn note(&self, line: &str) {
        // A terminal that went away is no reason to stop the work.
        let _ = self.area.println(escape_controls(line));
    }
}

/// Plain lines for logs and pipes: one when a phase begins, at most one per ten seconds on the way, one at the end.
pub(crate) struct Lines {
    state: Mutex<LinesState>,
}

struct LinesState {
    out: Box<dyn Write + Send>,
    phase: Option<LinesPhase>,
}

struct LinesPhase {
    name: String,
    amount: Amount,
    count: u64,
    begun: Instant,
    said: Instant,
}

/// So many bytes need no announcement.
const AT_ONCE: u64 = 16_000_000;
/// How long a log stays quiet within a phase.
const QUIET: Duration = Duration::from_secs(10);

impl Lines {
    pub(crate) fn new(out: Box<dyn Write + Send>) -> Lines {
        Lines { state: Mutex::new(LinesState { out, phase: None }) }
    }
}

impl LinesState {
    fn line(&mut self, text: &str) {
        // A log that cannot be written is no reason to stop the work.
        let _ = writeln!(self.out, "{}", escape_controls(text));
    }

    fn end(&mut self) {
        if let Some(phase) = self.phase.take() {
            let text = phase.summary();
            self.line(&text);
        }
    }
}

impl LinesPhase {
    fn start(&self) -> String {
        match self.amount {
            Amount::Bytes(total) => format!("{}: {}", self.name, bytes(total)),
            Amount::Items(total) => format!("{}: {total}", self.name),
            Amount::Unknown => self.name.clone(),
        }
    }

    fn halfway(&self) -> String {
        match self.amount {
            Amount::Bytes(total) => format!("{}: {} of {}", self.name, bytes(self.count), bytes(total)),
            Amount::Items(total) => format!("{}: {} of {total}", self.name, self.count),
            Amount::Unknown => format!("{}: {}", self.name, bytes(self.count)),
        }
    }

    fn summary(&self) -> String {
        let time = duration(self.begun.elapsed());
        match self.amount {
            Amount::Items(_) => format!("{}: {} done in {time}", self.name, self.count),
            Amount::Unknown if self.count == 0 => format!("{}: done in {time}", self.name),
            Amount::Bytes(_) | Amount::Unknown => format!("{}: {} done in {time}", self.name, bytes(self.count)),
        }
    }
}

impl Progress for Lines {
    fn phase(&self, name: &str, amount: Amount) {
        let mut state = lock(&self.state);
        state.end();
        let now = Instant::now();
        let phase = LinesPhase { name: name.to_owned(), amount, count: 0, begun: now, said: now };
        // What is over at once is told once, at its end.
        if !matches!(amount, Amount::Bytes(total) if total < AT_ONCE) {
            let text = phase.start();
            state.line(&text);
        }
        state.phase = Some(phase);
    }

    fn advance(&self, count: u64) {
        let mut state = lock(&self.state);
        let Some(phase) = state.phase.as_mut() else { return };
        phase.count = phase.count.saturating_add(count);
        if phase.said.elapsed() >= QUIET {
            phase.said = Instant::now();
            let text = phase.halfway();
            state.line(&text);
        }
    }

    fn done(&self) {
        lock(&self.state).end();
    }

    fn note(&self, line: &str) {
        lock(&self.state).line(line);
    }
}

/// Takes a lock; a thread that panicked while printing leaves nothing half-done that matters here.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::tests::Shared;

    #[test]
    fn a_log_gets_a_line_at_both_ends_of_a_phase() {
        let log = Shared::default();
        let lines = Lines::new(Box::new(log.clone()));
        lines.advance(7); // outside a phase: nothing
        lines.phase("loading", Amount::Bytes(25_000_000));
        lines.advance(10_000_000);
        lines.note("registry.example/a\x07: 3 blobs");
        lines.advance(15_000_000);
        lines.phase("signing", Amount::Bytes(1000));
        lines.advance(1000);
        lines.phase("applying", Amount::Items(2)); // ends the one before
        lines.advance(2);
        lines.done();
        lines.done();
        let text = log.text();
        let got: Vec<&str> = text.lines().map(|line| line.split(" in ").next().unwrap()).collect();
        assert_eq!(
            got,
            [
                "loading: 25.0 MB",
                "registry.example/a\\u{7}: 3 blobs",
                "loading: 25.0 MB done",
                "signing: 1.0 kB done",
                "applying: 2",
                "applying: 2 done"
            ]
        );
    }

    #[test]
    fn bars_accept_every_kind_of_phase() {
        let bars = Bars::new();
        for amount in [Amount::Bytes(10), Amount::Items(3), Amount::Unknown] {
            bars.phase("pulling", amount);
            bars.advance(2);
            assert_eq!(lock(&bars.current).as_ref().unwrap().position(), 2);
        }
        bars.done();
        assert!(lock(&bars.current).is_none());
    }
}
