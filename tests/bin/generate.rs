//! Writes the files that are made from types: `cargo xtask schemas`, `cargo xtask docs`.

use std::fs;
use std::process::ExitCode;

use consign_tests::generated::{self, Generated};

#[expect(clippy::print_stdout, clippy::print_stderr, reason = "a program for people and scripts")]
fn main() -> ExitCode {
    let argument = std::env::args().nth(1);
    let files = match argument.as_deref() {
        Some("schemas") => generated::schemas(),
        Some("docs") => generated::docs(),
        _ => {
            eprintln!("generate: schemas or docs?");
            return ExitCode::from(2);
        }
    };
    for Generated { path, text } in files {
        #[expect(clippy::disallowed_methods, reason = "a checked-in file; Git has the last one")]
        if let Err(error) = fs::write(generated::root().join(&path), text) {
            eprintln!("generate: cannot write {path}: {error}");
            return ExitCode::FAILURE;
        }
        println!("{path}");
    }
    ExitCode::SUCCESS
}
