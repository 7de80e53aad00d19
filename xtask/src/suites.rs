//! `cargo xtask test`: sets the machine up, runs every test, and says in one line how it went.

use std::fs;
use std::time::Instant;

use crate::step::{Failed, Step, root, target};
use crate::tally::Tally;
use crate::{fuzz, machine};

/// Everything, on real parts.
pub(crate) fn all() -> Result<(), Failed> {
    machine::packages()?;
    let tools = machine::tools()?;
    // The suites start both programs from the target folder.
    Step::cargo(["build", "--workspace", "--bins"]).run()?;
    let test = Step::cargo(["test", "--workspace", "--no-fail-fast"]);
    let tested = run(test.env("PATH", tools.search_path()?).env("CONSIGN_BIN_DIR", target().join("debug")));
    // Also after a failed test: one run should say all that is wrong.
    let fuzzed = fuzz::bounded();
    match (tested, fuzzed) {
        (Err(tested), Err(fuzzed)) => Err(Failed::new(format!("{}; {}", tested.message, fuzzed.message))),
        (tested, fuzzed) => tested.and(fuzzed),
    }
}

/// What needs neither root nor Go: unit tests, and the suites about the house itself.
pub(crate) fn quick() -> Result<(), Failed> {
    // The whole workspace at once: a crate by itself would get other features, and all below it be compiled again.
    let test = Step::cargo(["test", "--workspace", "--lib", "--bins", "--test", "house", "--no-fail-fast"]);
    run(test.env("CONSIGN_QUICK", "1"))
}

fn run(test: Step) -> Result<(), Failed> {
    let begun = Instant::now();
    let log = target().join("skipped-tests.log");
    // The log of the last run would be counted again.
    if let Err(error) = fs::remove_file(&log)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        return Err(Failed::new(format!("cannot remove {}: {error}", log.display())));
    }
    let mut tally = Tally::default();
    let test = test.env("CONSIGN_SKIP_LOG", &log).env("CONSIGN_SKIP_ALLOWED", allowed_skips()?);
    let succeeded = test.lines(|line| {
        println!("{line}");
        tally.take(line);
    })?;
    tally.take_skips(&fs::read_to_string(&log).unwrap_or_default());
    println!("\n{tally}, {} s", begun.elapsed().as_secs());
    if succeeded { Ok(()) } else { Err(Failed::new("not all tests passed")) }
}

/// The entries of `.ci/allowed-skips`, as the kit wants them: separated by commas. Each line must give its reason.
fn allowed_skips() -> Result<String, Failed> {
    let path = root().join(".ci/allowed-skips");
    let text =
        fs::read_to_string(&path).map_err(|error| Failed::new(format!("cannot read {}: {error}", path.display())))?;
    parse_skips(&text)
}

fn parse_skips(text: &str) -> Result<String, Failed> {
    let mut entries = Vec::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        match line.split_once('#') {
            Some((entry, reason)) if !reason.trim().is_empty() => entries.push(entry.trim()),
            _ => return Err(Failed::new(format!(".ci/allowed-skips: `{line}` gives no reason behind a `#`"))),
        }
    }
    Ok(entries.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_skip_is_allowed_only_with_a_reason() {
        let list = parse_skips("# head\n\na::b # no kernel support here\nc:: # slow\n");
        assert_eq!(list.ok().as_deref(), Some("a::b,c::"));
        for text in ["a::b\n", "a::b #\n"] {
            assert!(parse_skips(text).is_err(), "{text}");
        }
    }
}
