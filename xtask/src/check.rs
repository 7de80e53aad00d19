//! `cargo xtask check`: everything that judges the text of this project without running it.

use std::path::PathBuf;

use crate::machine;
use crate::step::{Failed, Step};

/// The version that `deny.toml` is written for.
const DENY: &str = "0.20.2";

/// One check and its name.
type Check = (&'static str, fn() -> Result<(), Failed>);

/// Runs all checks, also after one has failed, and names those that did.
pub(crate) fn run() -> Result<(), Failed> {
    let checks: [Check; 4] =
        [("formatting", formatting), ("lints", lints), ("dependencies", dependencies), ("house", house)];
    let mut failed = Vec::new();
    for (name, check) in checks {
        if let Err(error) = check() {
            eprintln!("xtask: {name}: {}", error.message);
            failed.push(name);
        }
    }
    if failed.is_empty() {
        println!("check: {} of {} passed", checks.len(), checks.len());
        return Ok(());
    }
    println!("check: {} of {} passed; FAILED: {}", checks.len() - failed.len(), checks.len(), failed.join(", "));
    Err(Failed::new("not all checks passed"))
}

fn formatting() -> Result<(), Failed> {
    Step::cargo(["fmt", "--all", "--check"]).run()
}

fn lints() -> Result<(), Failed> {
    Step::cargo(["clippy", "--quiet", "--workspace", "--all-targets", "--", "-D", "warnings"]).run()
}

/// The dependency graph, generated files and docs: the suite that needs nothing but the tree.
fn house() -> Result<(), Failed> {
    Step::cargo(["test", "--quiet", "--workspace", "--test", "house"]).run()
}

fn dependencies() -> Result<(), Failed> {
    let deny = deny()?;
    Step::new(&deny, ["check", "--hide-inclusion-graph", "bans", "licenses", "sources"]).run()?;
    // The advisory database is a Git repository; where there is no way to it, the rest of the checks still counts.
    let fetched = Step::new("timeout", ["60".as_ref(), deny.as_os_str(), "fetch".as_ref(), "db".as_ref()]).output();
    if fetched.is_none() {
        eprintln!("xtask: NOT CHECKED: advisories (the advisory database cannot be reached from here)");
        return Ok(());
    }
    Step::new(&deny, ["check", "--disable-fetch", "advisories"]).run()
}

/// cargo-deny in our cache, installed first where it is missing.
fn deny() -> Result<PathBuf, Failed> {
    let folder = machine::cache()?.join(format!("cargo-deny-{DENY}"));
    let program = folder.join("bin/cargo-deny");
    if !program.is_file() {
        println!("xtask: installing cargo-deny {DENY} into {} (minutes, once)", folder.display());
        // A debug build is made in a third of the time, and checks a graph of this size in a second.
        let install = Step::cargo(["install", "--quiet", "--debug", "--locked", "--root"]);
        install.and_args([folder.as_os_str(), "--version".as_ref(), DENY.as_ref(), "cargo-deny".as_ref()]).run()?;
    }
    Ok(program)
}
