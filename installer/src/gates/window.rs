//! Whether a window is open, by Argo CD's rules: a window that forbids wins; where there are windows that allow, one of
//! them must be open; where there are none, all is open that is not forbidden.
//!
//! Pure: schedules and a moment go in. A window begins where its schedule says, in its own time zone, and lasts as long
//! as it says, whatever the clocks in that zone do meanwhile.

use jiff::{SignedDuration, Timestamp};

use crate::config::gates::{Kind, Schedule, WindowConfig};

/// The first of January 9000: a clock beyond it is not asked for windows.
pub const BELIEVABLE: Timestamp = Timestamp::constant(221_845_392_000, 0);

/// So many beginnings are looked at to find how long overlapping ones last.
const BEGINNINGS: usize = 1000;

/// What the windows say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Go on.
    Open,
    /// None that allows is open.
    Outside {
        /// When the next one opens.
        opens: Option<Timestamp>,
    },
    /// One that forbids is.
    Denied {
        /// When it ends.
        until: Timestamp,
    },
}

/// Judges the windows of one product. `running`: its activation began while it was allowed.
pub fn judge(windows: &[&WindowConfig], now: Timestamp, running: bool) -> Verdict {
    let open = |window: &&&WindowConfig| ends(&window.schedule, window.duration.0, now);
    let counts = |window: &&&WindowConfig| !(running && window.overrun);
    let denied = windows.iter().filter(|window| window.kind == Kind::Deny).filter(counts);
    if let Some(until) = denied.filter_map(|window| open(&window)).max() {
        return Verdict::Denied { until };
    }
    let mut allowing = windows.iter().filter(|window| window.kind == Kind::Allow).peekable();
    if allowing.peek().is_none() {
        return Verdict::Open;
    }
    let mut opens = None;
    for window in allowing {
        if open(&window).is_some() || running && window.overrun {
            return Verdict::Open;
        }
        let next = window.schedule.next(now);
        opens = match (opens, next) {
            (Some(known), Some(next)) => Some(std::cmp::min(known, next)),
            (known, next) => known.or(next),
        };
    }
    Verdict::Outside { opens }
}

/// When the window that is open ends; `None` where it is not open.
fn ends(schedule: &Schedule, duration: SignedDuration, now: Timestamp) -> Option<Timestamp> {
    let mut from = now.checked_sub(duration).ok()?;
    let mut last = None;
    for _ in 0..BEGINNINGS {
        match schedule.next(from).filter(|begins| *begins <= now) {
            Some(begins) => (from, last) = (begins, Some(begins)),
            None => break,
        }
    }
    last.and_then(|begins| begins.checked_add(duration).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn windows(text: &str) -> Vec<WindowConfig> {
        #[derive(serde::Deserialize)]
        struct File {
            windows: Vec<WindowConfig>,
        }
        toml::from_str::<File>(text).unwrap().windows
    }

    fn at(text: &str, now: &str, running: bool) -> String {
        let windows = windows(text);
        match judge(&windows.iter().collect::<Vec<_>>(), now.parse().unwrap(), running) {
            Verdict::Open => "open".to_owned(),
            Verdict::Outside { opens } => format!("opens {}", opens.map_or("never".to_owned(), |at| at.to_string())),
            Verdict::Denied { until } => format!("denied until {until}"),
        }
    }

    const NIGHT: &str = "[[windows]]\nkind = 'allow'\nschedule = '0 2 * * *'\nduration = '3h'\n\
                         time-zone = 'Europe/Berlin'\n";

    #[test]
    fn a_window_is_open_from_its_beginning_to_just_before_its_end_in_its_own_zone() {
        // Winter: 02:00 in Berlin is 01:00 UTC.
        for (now, expected) in [
            ("2026-11-25T00:59:59Z", "opens 2026-11-25T01:00:00Z"),
            ("2026-11-25T01:00:00Z", "open"),
            ("2026-11-25T03:59:59Z", "open"),
            ("2026-11-25T04:00:00Z", "opens 2026-11-26T01:00:00Z"),
            // Summer: 00:00 UTC.
            ("2026-07-01T00:00:00Z", "open"),
            ("2026-07-01T03:00:00Z", "opens 2026-07-02T00:00:00Z"),
        ] {
            assert_eq!(at(NIGHT, now, false), expected, "{now}");
        }
    }

    #[test]
    fn a_window_across_midnight_and_across_weeks() {
        let long = "[[windows]]\nkind = 'allow'\nschedule = '0 22 * * FRI'\nduration = '60h'\n";
        assert_eq!(at(long, "2026-11-29T12:00:00Z", false), "open", "Sunday noon");
        assert_eq!(at(long, "2026-11-30T10:00:00Z", false), "opens 2026-12-04T22:00:00Z", "Monday");
    }

    #[test]
    fn what_forbids_wins_and_alone_leaves_the_rest_open() {
        let deny = "[[windows]]\nkind = 'deny'\nschedule = '0 3 * * *'\nduration = '1h'\ntime-zone = 'Europe/Berlin'\n";
        assert_eq!(at(deny, "2026-11-25T02:30:00Z", false), "denied until 2026-11-25T03:00:00Z");
        assert_eq!(at(deny, "2026-11-25T12:00:00Z", false), "open");
        let both = format!("{NIGHT}{deny}");
        assert_eq!(at(&both, "2026-11-25T02:30:00Z", false), "denied until 2026-11-25T03:00:00Z");
        assert_eq!(at(&both, "2026-11-25T01:30:00Z", false), "open");
    }

    #[test]
    fn overrun_lets_what_runs_go_on() {
        let overrun = format!("{NIGHT}overrun = true\n");
        assert_eq!(at(&overrun, "2026-11-25T04:30:00Z", true), "open");
        assert!(at(&overrun, "2026-11-25T04:30:00Z", false).starts_with("opens"));
        assert!(at(NIGHT, "2026-11-25T04:30:00Z", true).starts_with("opens"));
    }

    #[test]
    fn the_ends_of_time_are_survived() {
        assert!(at(NIGHT, "1970-01-01T00:00:00Z", false).starts_with("op"));
        assert!(judge(&windows(NIGHT).iter().collect::<Vec<_>>(), BELIEVABLE, false) != Verdict::Open);
        assert_eq!(BELIEVABLE.to_string(), "9000-01-01T00:00:00Z");
    }
}
