//! What a test does when the machine lacks something it needs: it says so, loudly, and never passes in silence.
//!
//! Rust's harness knows no skipped outcome: a test that returns early counts as passed. So a skip prints a line,
//! appends it to the file that `CONSIGN_SKIP_LOG` names, and under `CI=true` is a failure unless it was expected.

use std::fs::OpenOptions;
use std::io::Write;

/// Names the file that every skip of a run is appended to, one line each, the same line that is printed.
pub const LOG_VARIABLE: &str = "CONSIGN_SKIP_LOG";

/// Names what may be skipped under `CI=true`: test names separated by commas, each in full or as a module path
/// prefix ending in `::`. An entry that is there for good needs a reason where it is set.
pub const ALLOW_VARIABLE: &str = "CONSIGN_SKIP_ALLOWED";

/// Set to anything (by `cargo xtask test --quick`), every test that needs more than the tree is left out.
pub const QUICK_VARIABLE: &str = "CONSIGN_QUICK";

/// Whether the calling test can run: `condition`, after saying loudly why not and `how` to get what is missing.
///
/// ```no_run
/// # fn docker_registry_is_installed() -> bool { false }
/// # fn pulls_by_tag() {
/// if !consign_tests::skip::unless(
///     docker_registry_is_installed(),
///     "docker-registry is not installed",
///     "apt-get install docker-registry",
/// ) {
///     return;
/// }
/// # }
/// ```
///
/// # Panics
/// Under `CI=true`, if the condition does not hold and [`ALLOW_VARIABLE`] does not list the test: a machine that
/// was set up for the suites and lacks something has lost it.
#[must_use]
pub fn unless(condition: bool, why: &str, how: &str) -> bool {
    let quick = std::env::var_os(QUICK_VARIABLE).is_some();
    if condition && !quick {
        return true;
    }
    let (why, how) = if quick { ("left out of a quick run", "cargo xtask test") } else { (why, how) };
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("unnamed test");
    let line = format!("SKIPPED {test}: {why} ({how})");
    // Not `eprintln!`: the harness captures that, and shows it only for tests that fail.
    let _ = writeln!(std::io::stderr().lock(), "{line}");
    if let Some(path) = std::env::var_os(LOG_VARIABLE)
        && let Err(error) = append(path.as_ref(), &line)
    {
        panic!("cannot record a skipped test in {}: {error}", std::path::Path::new(&path).display());
    }
    let ci = std::env::var("CI").is_ok_and(|value| value == "true");
    let allowed = std::env::var(ALLOW_VARIABLE).unwrap_or_default();
    if ci && !quick && !is_allowed(&allowed, test) {
        panic!("{line}: not on the list in {ALLOW_VARIABLE}");
    }
    false
}

fn append(path: &std::path::Path, line: &str) -> std::io::Result<()> {
    // One write per line: tests in several processes append at once.
    OpenOptions::new().create(true).append(true).open(path)?.write_all(format!("{line}\n").as_bytes())
}

fn is_allowed(list: &str, test: &str) -> bool {
    list.split(',')
        .map(str::trim)
        .filter(|entry| !entry.is_empty())
        .any(|entry| entry == test || (entry.ends_with("::") && test.starts_with(entry)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_that_holds_is_no_skip() {
        if std::env::var_os(QUICK_VARIABLE).is_none() {
            assert!(unless(true, "never said", "never said"));
        }
    }

    #[test]
    fn the_list_names_tests_and_modules() {
        for (list, test, expected) in [
            ("", "node::pulls", false),
            ("node::pulls", "node::pulls", true),
            ("node::pull", "node::pulls", false),
            ("node", "node::pulls", false),
            ("node::", "node::pulls", true),
            ("other, node::pulls", "node::pulls", true),
            (" , ", "node::pulls", false),
        ] {
            assert_eq!(is_allowed(list, test), expected, "{list:?} {test:?}");
        }
    }
}
