//! Kills and failures exactly at a call: each fsync, rename and write in turn, by strace, in the program as it is.
//!
//! strace counts calls by name and thread. So each name is gone through by itself, once with the main thread alone and
//! once with all threads.

use std::fs;
use std::process::Command;

use consign_tests::command::{Invocation, Outcome};
use consign_tests::desk::Desk;
use consign_tests::site::Site;
use consign_tests::skip;

use crate::ground::{Scenario, ground};

/// What makes things last. A `?` is for calls that not every machine has.
pub(crate) const LASTING: [&str; 8] =
    ["fsync", "fdatasync", "syncfs", "?rename", "?renameat", "renameat2", "?link", "linkat"];
/// What takes room.
pub(crate) const WRITING: [&str; 4] = ["write", "pwrite64", "copy_file_range", "fallocate"];

/// Whether this machine can do it; says so where it cannot.
pub(crate) fn is_possible() -> bool {
    let traced = Command::new("strace").args(["-o", "/dev/null", "true"]).output();
    let traced = traced.is_ok_and(|said| said.status.success());
    skip::unless(traced, "strace is missing or may not trace", "apt-get install strace") && Desk::is_possible()
}

/// One way to disturb a run: at the `n`th call of this name.
pub(crate) struct Blow<'a> {
    pub(crate) call: &'a str,
    /// `signal=SIGKILL`, `error=ENOSPC`.
    pub(crate) what: &'a str,
    pub(crate) n: usize,
    pub(crate) all_threads: bool,
}

impl std::fmt::Display for Blow<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let threads = if self.all_threads { " of any thread" } else { "" };
        write!(f, "{} at {} {}{threads}", self.what, self.call, self.n)
    }
}

impl Blow<'_> {
    /// Runs a program under it; how it ended, if it was hit.
    pub(crate) fn strike(&self, program: Invocation) -> Option<Outcome> {
        let trace = tempfile::NamedTempFile::new().unwrap();
        let program = program.under(["strace", "-qq", "-o"]).under([trace.path()]);
        let program = if self.all_threads { program.under(["-f"]) } else { program };
        let (calls, inject) = (format!("trace={}", self.call), format!("{}:{}:when={}", self.call, self.what, self.n));
        let outcome = program.under(["-e", &calls, "-e", &format!("inject={inject}")]).run();
        let traced = fs::read_to_string(trace.path()).unwrap();
        let hit = traced.contains("(INJECTED)") || traced.contains("+++ killed by SIGKILL +++");
        assert!(hit || outcome.exit == Some(0), "{self} did not hit, and yet:\n{outcome}");
        hit.then_some(outcome)
    }
}

/// Goes through every call of these names until the run is no longer hit; `judge` sees each run that was.
fn each(scenario: &Scenario, calls: &[&str], what: &str, judge: impl Fn(&Site, &Outcome, &str)) {
    let mut struck = 0;
    for (call, all_threads) in calls.iter().flat_map(|call| [(call, false), (call, true)]) {
        for n in 1.. {
            let site = scenario.site();
            let blow = Blow { call, what, n, all_threads };
            let Some(outcome) = blow.strike(scenario.install(&site)) else { break };
            struck += 1;
            let how = format!("{}, {blow}", scenario.name);
            judge(&site, &outcome, &how);
            scenario.check_cut_off(&site, &how);
            scenario.check_resumed(&site, &how);
        }
    }
    assert!(struck > 60, "{}: only {struck} calls were hit: this shows nothing", scenario.name);
    let _ = std::io::Write::write_fmt(
        &mut std::io::stderr().lock(),
        format_args!("crash: {}: {what} at {struck} calls\n", scenario.name),
    );
}

fn was_killed(_: &Site, outcome: &Outcome, how: &str) {
    assert_eq!(outcome.exit, None, "{how}\n{outcome}");
}

#[test]
fn a_fresh_install_killed_at_each_sync_and_rename_is_resumed() {
    if is_possible() {
        each(&ground().fresh, &LASTING, "signal=SIGKILL", was_killed);
    }
}

#[test]
fn an_upgrade_killed_at_each_sync_and_rename_is_resumed() {
    if is_possible() {
        each(&ground().upgrade, &LASTING, "signal=SIGKILL", was_killed);
    }
}

/// A run whose disk fails ends with an error of ours, unless the call was one it can do without; then all is done.
fn fails_well(scenario: &Scenario, site: &Site, outcome: &Outcome, how: &str) {
    let ended_well = outcome.exit == Some(0);
    assert!(!ended_well || scenario.is_done(site), "{how}: it says that all is well\n{outcome}");
    let crashed = outcome.stderr.contains("panicked") || matches!(outcome.exit, None | Some(101 | 134));
    assert!(!crashed, "{how}\n{outcome}");
}

fn each_failure(what: &str) {
    let scenario = &ground().upgrade;
    each(scenario, &[&WRITING[..], &LASTING[..]].concat(), what, |site, outcome, how| {
        fails_well(scenario, site, outcome, how);
    });
}

#[test]
fn a_disk_that_fills_up_at_any_call_is_no_success() {
    if is_possible() {
        each_failure("error=ENOSPC");
    }
}

#[test]
fn a_disk_that_fails_at_any_call_is_no_success() {
    if is_possible() {
        each_failure("error=EIO");
    }
}
