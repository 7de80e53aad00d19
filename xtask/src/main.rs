//! The chores of this project: `cargo xtask demo | test | hostile | check | bench | fuzz | schemas | docs | tools`.
//!
//! Nothing but the toolchain has to be there first: a chore installs what it needs and says so before it does.
//! It never decides what is right; it runs the programs that do, and adds up what they say.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for people; it says what it runs")]
#![allow(clippy::disallowed_methods, reason = "nothing that a chore writes has to survive a power cut")]

mod bench;
mod check;
mod demo;
mod fuzz;
mod hostile;
mod machine;
mod step;
mod suites;
mod tally;

use std::process::ExitCode;

use step::{Failed, Step};

const HELP: &str = "\
cargo xtask CHORE

  demo             builds both programs and plays the whole journey, into a temporary site;
                   with KUBECONFIG set, into that cluster
  test             installs what the suites need (apt, Go builds), then runs everything
  test --quick     unit tests and the fast suites only: no root, no Go
  hostile          shows the hostile table, row by row: what was handed in, what was expected, what the site said, and
                   that registry, state, cluster and medium are untouched
  check            formatting, lints, licences and sources of dependencies, generated files, docs
  bench            load and verify of a 2 GB bundle as ratios to cat, sync and openssl
  bench registry   64 clients that pull a 2 GB release at once, beside Debian's docker-registry: throughput, CPU, memory
  fuzz [--seconds N] [TARGET..]
                   libFuzzer on every reader of hostile bytes (20 s each), or on those named
  schemas          writes schemas/ from the types
  docs             writes docs/cli.md from the command lines
  tools            builds the test cluster, helm and kustomize; prints where they are

Environment: CI=true makes a skipped test a failure unless .ci/allowed-skips lists it; CONSIGN_CACHE is where slow
things are kept; CONSIGN_INPUTS is a folder with manifests by other projects.";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments.as_slice() {
        ["demo", rest @ ..] => demo::run(rest),
        ["test"] => suites::all(),
        ["test", "--quick"] => suites::quick(),
        ["hostile"] => hostile::run(),
        ["check"] => check::run(),
        ["bench", rest @ ..] => bench::run(rest),
        ["fuzz", rest @ ..] => fuzz::run(rest),
        ["schemas"] => generate("schemas"),
        ["docs"] => generate("docs"),
        ["tools"] => machine::tools().map(|found| found.print()),
        ["help" | "--help" | "-h"] => {
            println!("{HELP}");
            Ok(())
        }
        [] => Err(Failed::usage(HELP)),
        unknown => Err(Failed::usage(&format!("no chore `{}`\n\n{HELP}", unknown.join(" ")))),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failed) => {
            eprintln!("xtask: {}", failed.message);
            ExitCode::from(failed.exit)
        }
    }
}

/// Runs the generator, which lives where all types can be seen.
fn generate(what: &str) -> Result<(), Failed> {
    Step::cargo(["run", "--quiet", "--bin", "generate", "--", what]).run()
}
