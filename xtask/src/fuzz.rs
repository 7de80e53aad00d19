//! `cargo xtask fuzz`: libFuzzer, with the address sanitizer, on every reader of hostile bytes.
//!
//! cargo-fuzz would do the same and wants a nightly toolchain and an installation; what it passes to the compiler is
//! written here instead. What a run learns is kept in the target folder and carries over to the next; the seeds and the
//! crashes of old in `format/fuzz` are read and never written.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::step::{Failed, Step, root, target};

/// How long each target runs unless told otherwise.
const SECONDS: u64 = 20;
/// How long each runs as a part of `cargo xtask test`: enough to notice a reader that has become wrong all over.
const BOUNDED_SECONDS: u64 = 10;
/// Coverage of edges and comparisons, as cargo-fuzz asks for it, and the address sanitizer for what zstd does in C.
const INSTRUMENTED: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares --cfg fuzzing -Zsanitizer=address";
/// An input that takes more memory or longer than this is a finding.
const BOUNDS: [&str; 2] = ["-rss_limit_mb=2048", "-timeout=20"];

/// `fuzz [--seconds N] [TARGET..]`.
pub(crate) fn run(arguments: &[&str]) -> Result<(), Failed> {
    const USAGE: &str = "fuzz [--seconds N] [TARGET..]";
    let (seconds, named) = match arguments {
        ["--seconds", number, rest @ ..] => (number.parse().map_err(|_| Failed::usage(USAGE))?, rest),
        rest => (SECONDS, rest),
    };
    let known = targets()?;
    if let Some(unknown) = named.iter().find(|name| !known.iter().any(|target| target == *name)) {
        return Err(Failed::usage(&format!("no target `{unknown}`; there are: {}", known.join(", "))));
    }
    let chosen = if named.is_empty() { known } else { named.iter().map(|name| (*name).to_owned()).collect() };
    fuzz(&chosen, seconds)
}

/// Every target for a few seconds.
pub(crate) fn bounded() -> Result<(), Failed> {
    fuzz(&targets()?, BOUNDED_SECONDS)
}

fn fuzz(targets: &[String], seconds: u64) -> Result<(), Failed> {
    let work = target().join("fuzz");
    let programs = build(&work)?;
    let mut crashed = Vec::new();
    println!("{:10} {:>12} {:>10} {:>10}", "target", "runs", "runs/s", "coverage");
    for name in targets {
        let found = Run { name, work: &work, programs: &programs }.run(seconds)?;
        println!("{name:10} {:>12} {:>10} {:>10}", found.runs, found.per_second, found.coverage);
        if let Some(trouble) = found.trouble {
            println!("{trouble}");
            crashed.push(name.as_str());
        }
    }
    if crashed.is_empty() {
        println!("fuzz: {} targets, {seconds} s each, no crash", targets.len());
        return Ok(());
    }
    Err(Failed::new(format!("fuzz: CRASHED: {}", crashed.join(", "))))
}

/// The names of the targets: one file each.
fn targets() -> Result<Vec<String>, Failed> {
    let folder = root().join("format/fuzz/fuzz_targets");
    let failed = |error| Failed::new(format!("cannot read {}: {error}", folder.display()));
    let entries = fs::read_dir(&folder).map_err(failed)?.collect::<Result<Vec<_>, _>>().map_err(failed)?;
    let stem = |path: PathBuf| path.file_stem().map(|name| name.to_string_lossy().into_owned());
    let mut names: Vec<String> = entries.into_iter().filter_map(|entry| stem(entry.path())).collect();
    names.sort();
    Ok(names)
}

/// Builds all targets and returns the folder they are in.
fn build(work: &Path) -> Result<PathBuf, Failed> {
    println!("xtask: building the fuzz targets (minutes, the first time)");
    let version = Step::new("rustc", ["-vV"]).output().unwrap_or_default();
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    let host = host.ok_or_else(|| Failed::new("rustc does not say what it compiles for"))?;
    // A target of its own keeps build scripts and macros free of the instrumentation.
    // Not `--locked`: the fuzzers' lock follows the format's dependencies, and that is no reason to fuzz nothing.
    let arguments = ["build", "--quiet", "--release", "--manifest-path", "format/fuzz/Cargo.toml"];
    Step::cargo(arguments)
        .and_args(["--target".as_ref(), host.as_ref(), "--target-dir".as_ref(), work.as_os_str()])
        // The sanitizer is an unstable option of the very compiler that is stable otherwise.
        .env("RUSTC_BOOTSTRAP", "1")
        .env("RUSTFLAGS", INSTRUMENTED)
        .run()?;
    Ok(work.join(host).join("release"))
}

/// One target about to run.
struct Run<'a> {
    name: &'a str,
    work: &'a Path,
    programs: &'a Path,
}

/// What a run has to show.
#[derive(Debug, Default, PartialEq, Eq)]
struct Found {
    runs: String,
    per_second: String,
    coverage: String,
    /// What went wrong, and what to do about it.
    trouble: Option<String>,
}

impl Run<'_> {
    fn run(&self, seconds: u64) -> Result<Found, Failed> {
        let [corpus, artifacts, logs] = ["corpus", "artifacts", "logs"].map(|kind| self.work.join(kind));
        let (corpus, artifacts) = (corpus.join(self.name), artifacts.join(self.name));
        for folder in [&corpus, &artifacts, &logs] {
            fs::create_dir_all(folder).map_err(|error| failed(folder, &error))?;
        }
        let log = logs.join(self.name);
        let file = File::create(&log).map_err(|error| failed(&log, &error))?;
        let mut command = Command::new(self.programs.join(self.name));
        command.args(BOUNDS).arg("-print_final_stats=1").arg(format!("-max_total_time={seconds}"));
        command.arg(format!("-artifact_prefix={}/", artifacts.display())).arg(corpus);
        let read_only = ["corpus", "regressions"].map(|kind| root().join("format/fuzz").join(kind).join(self.name));
        command.args(read_only.iter().filter(|folder| folder.is_dir())).stdin(Stdio::null()).stderr(file);
        let status = command.status().map_err(|error| failed(&self.programs.join(self.name), &error))?;
        let text = fs::read(&log).map_err(|error| failed(&log, &error))?;
        let mut found = figures(&String::from_utf8_lossy(&text));
        if !status.success() {
            found.trouble = Some(self.trouble(&String::from_utf8_lossy(&text), &log));
        }
        Ok(found)
    }

    fn trouble(&self, log: &str, at: &Path) -> String {
        let program = self.programs.join(self.name);
        let mut text = format!("{} CRASHED; all it said is in {}\n", self.name, at.display());
        for line in log.lines().filter(|line| ["panicked", "ERROR: ", "SUMMARY: "].iter().any(|w| line.contains(w))) {
            text += &format!("  {line}\n");
        }
        let written = log.lines().find_map(|line| line.split_once("Test unit written to ")).map(|(_, path)| path);
        let Some(input) = written else { return text + "no input was written: run it again by hand" };
        text += &format!("reproduce: {} {input}\n", program.display());
        text + &format!("keep it:   copy it into format/fuzz/regressions/{}/, which makes it a test", self.name)
    }
}

fn failed(path: &Path, error: &std::io::Error) -> Failed {
    Failed::new(format!("{}: {error}", path.display()))
}

/// Reads libFuzzer's own account of a run.
fn figures(log: &str) -> Found {
    let word = |line: &str, name: &str| line.split_once(name)?.1.split_whitespace().next().map(str::to_owned);
    let last = |name: &str| log.lines().rev().find_map(|line| word(line, name)).unwrap_or_else(|| "?".to_owned());
    Found {
        runs: last("stat::number_of_executed_units:"),
        per_second: last("stat::average_exec_per_sec:"),
        coverage: last(" cov:"),
        trouble: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_read_from_its_log() {
        let log = "#2\tINITED cov: 7 ft: 8 corp: 1/1b exec/s: 0 rss: 30Mb\n\
                   #9001\tDONE   cov: 328 ft: 656 corp: 136/23Kb lim: 809 exec/s: 3000 rss: 231Mb\n\
                   stat::number_of_executed_units: 9001\nstat::average_exec_per_sec:     3000\n";
        let found = figures(log);
        assert_eq!((&*found.runs, &*found.per_second, &*found.coverage), ("9001", "3000", "328"));
        assert_eq!(figures("").runs, "?");
    }

    #[test]
    fn a_crash_says_how_to_see_it_again() {
        let run = Run { name: "head", work: Path::new("/w"), programs: Path::new("/w/bin") };
        let log = "thread '<unnamed>' panicked at src/x.rs:1:2:\nSUMMARY: libFuzzer: deadly signal\n\
                   artifact_prefix='/w/artifacts/head/'; Test unit written to /w/artifacts/head/crash-1\n";
        let text = run.trouble(log, Path::new("/w/logs/head"));
        assert!(text.contains("reproduce: /w/bin/head /w/artifacts/head/crash-1"), "{text}");
        assert!(text.contains("panicked at src/x.rs:1:2") && text.contains("format/fuzz/regressions/head/"), "{text}");
    }
}
