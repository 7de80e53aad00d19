//! `cargo xtask demo`: both programs, built and shown at work.

use crate::step::{Failed, Step, target};

/// Builds both programs and runs `consign demo`, which finds `consign-site` beside it.
pub(crate) fn run(arguments: &[&str]) -> Result<(), Failed> {
    println!("xtask: building consign and consign-site (a few minutes on a fresh machine)");
    Step::cargo(["build", "--workspace", "--bins"]).run()?;
    Step::new(target().join("debug/consign"), [&["demo"], arguments].concat()).run()
}
