//! The clock: whether it can be right at all, and whether somebody keeps it right.
//!
//! No decision of this program depends on it; certificates of the cluster and the times in receipts do.

use super::{Check, Finding, PATIENCE, Patient};
use crate::ask_program::ask;
use crate::receipts::is_believable;

const CLOCK: Check = Check {
    id: "clock",
    why: "bundles are judged without the clock, but Kubernetes' certificates and the times in receipts need it",
};
const SOURCE: Check =
    Check { id: "clock-source", why: "nodes whose clocks drift apart refuse each other's certificates and tokens" };

pub(super) fn look(patient: &Patient<'_>) -> Vec<Finding> {
    vec![judge(patient.now, floor(patient), last_receipt(patient)), source(patient)]
}

/// The latest signed time that the site has seen.
fn floor(patient: &Patient<'_>) -> u64 {
    let domains = patient.site.iter().flat_map(|site| site.domains.values());
    domains.map(|domain| domain.time_floor).max().unwrap_or(0)
}

fn last_receipt(patient: &Patient<'_>) -> Option<u64> {
    let site = patient.site?;
    let last = site.store.last_receipt_number().ok()?;
    Some(site.store.read_receipt(last, &site.identity.public_key).ok()??.receipt.clock.now)
}

fn shown(seconds: u64) -> String {
    let at = i64::try_from(seconds).ok().and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
    at.map_or("a time beyond all calendars".to_owned(), |at| at.strftime("%Y-%m-%d %H:%M UTC").to_string())
}

fn judge(now: u64, floor: u64, last_receipt: Option<u64>) -> Finding {
    let what = format!("it shows {}", shown(now));
    let fix =
        "set it: timedatectl set-time 'YYYY-MM-DD hh:mm', and hwclock --systohc; is the battery of the machine empty?";
    if !is_believable(now, floor) {
        return CLOCK
            .fail(format!("{what}, and the newest signed release this site has seen is of {}", shown(floor)), fix);
    }
    match last_receipt {
        Some(receipt) if now < receipt => {
            CLOCK.warn(format!("{what}, earlier than the last receipt's {}", shown(receipt)), fix)
        }
        _ => CLOCK.ok(what),
    }
}

/// systemd knows what the kernel knows, whoever keeps the time: timesyncd, chrony or ntpd.
fn source(patient: &Patient<'_>) -> Finding {
    if !patient.place.is_some_and(crate::nodes::Place::is_machine) {
        return SOURCE.skipped("this site lies below a folder of its own; the machine is not its");
    }
    match ask("timedatectl", &["show", "--property=NTP", "--property=NTPSynchronized"], PATIENCE) {
        Ok(said) => judge_source(&String::from_utf8_lossy(&said)),
        Err(reason) => SOURCE.skipped(format!("timedatectl does not say: {reason}")),
    }
}

fn judge_source(said: &str) -> Finding {
    let is = |name: &str| said.lines().any(|line| line.strip_prefix(name).is_some_and(|value| value == "=yes"));
    match (is("NTPSynchronized"), is("NTP")) {
        (true, _) => SOURCE.ok("a time server keeps it right"),
        (false, true) => SOURCE.warn(
            "a time service runs and reaches no time server",
            "name a time server of the site in /etc/systemd/timesyncd.conf (or chrony.conf), or set the clock by hand and compare the nodes",
        ),
        (false, false) => SOURCE.ok("no time service runs; people keep it right"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Level;

    #[test]
    fn a_clock_is_held_against_what_was_signed_and_written() {
        let floor = 1_790_000_000;
        for (now, receipt, expected) in [
            (0, None, Level::Fail),
            (floor - 1, None, Level::Fail),
            (floor + 40 * 365 * 86_400, None, Level::Fail),
            (floor + 5, Some(floor + 9), Level::Warn),
            (floor + 5, Some(floor + 5), Level::Ok),
        ] {
            assert_eq!(judge(now, floor, receipt).level, expected, "{now}");
        }
        assert!(judge(0, floor, None).what.contains("1970-01-01 00:00 UTC"));
    }

    #[test]
    fn an_unreachable_time_server_is_told_from_none() {
        assert_eq!(judge_source("NTP=yes\nNTPSynchronized=no\n").level, Level::Warn);
        assert_eq!(judge_source("NTP=no\nNTPSynchronized=no\n").level, Level::Ok);
        assert_eq!(judge_source("NTP=no\nNTPSynchronized=yes\n").level, Level::Ok);
    }
}
