//! Adds up what the test harnesses of one run say.

use std::fmt;

/// The sums over all harnesses of one `cargo test`.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    passed: usize,
    failed: usize,
    ignored: usize,
    /// Names of failed tests, as the harness printed them.
    pub(crate) failures: Vec<String>,
    /// What was left out, and why: the lines of the skip log.
    pub(crate) skipped: Vec<String>,
}

impl Tally {
    /// Takes one line of a harness: `test NAME ... FAILED` or `test result: ok. 3 passed; 0 failed; …`.
    pub(crate) fn take(&mut self, line: &str) {
        if let Some(counts) = line.strip_prefix("test result: ") {
            for part in counts.split(['.', ';']) {
                let mut words = part.split_whitespace();
                let (Some(Ok(count)), Some(what)) = (words.next().map(str::parse::<usize>), words.next()) else {
                    continue;
                };
                match what {
                    "passed" => self.passed += count,
                    "failed" => self.failed += count,
                    "ignored" => self.ignored += count,
                    _ => {}
                }
            }
        } else if let Some(name) = line.strip_prefix("test ").and_then(|rest| rest.strip_suffix(" ... FAILED")) {
            self.failures.push(name.to_owned());
        }
    }

    /// Takes the skip log: one line per skipped test, which its harness has counted as passed.
    pub(crate) fn take_skips(&mut self, log: &str) {
        self.skipped = log.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect();
        self.skipped.sort();
        self.skipped.dedup();
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for name in &self.failures {
            writeln!(f, "FAILED {name}")?;
        }
        for line in &self.skipped {
            writeln!(f, "{line}")?;
        }
        let passed = self.passed.saturating_sub(self.skipped.len());
        let (failed, skipped, ignored) = (self.failed, self.skipped.len(), self.ignored);
        write!(f, "tests: {passed} passed, {failed} failed, {skipped} skipped, {ignored} ignored")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn harnesses_add_up_and_skips_are_not_passes() {
        let mut tally = Tally::default();
        for line in [
            "running 4 tests",
            "test a::b ... ok",
            "test a::c ... FAILED",
            "test result: FAILED. 2 passed; 1 failed; 1 ignored; 0 measured; 5 filtered out; finished in 0.01s",
            "test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 10.31s",
        ] {
            tally.take(line);
        }
        tally.take_skips("SKIPPED a::b: no registry (apt-get install docker-registry)\n");
        assert_eq!(
            tally.to_string(),
            "FAILED a::c\nSKIPPED a::b: no registry (apt-get install docker-registry)\n\
             tests: 4 passed, 1 failed, 1 skipped, 1 ignored"
        );
    }
}
