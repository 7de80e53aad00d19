//! Builds what the suites need and no distribution packages: `cargo run -p consign-tests --bin cluster-build`.
//!
//! Prints one line per tool, name and path, and is quick when all is there.

use std::process::ExitCode;

use consign_tests::tools::Tool;

#[expect(clippy::print_stdout, clippy::print_stderr, reason = "a program for people and scripts")]
fn main() -> ExitCode {
    for tool in Tool::ALL {
        match tool.get() {
            Ok(path) => println!("{}\t{}", tool.name(), path.display()),
            Err(error) => {
                eprintln!("cluster-build: {error}");
                return ExitCode::FAILURE;
            }
        }
    }
    ExitCode::SUCCESS
}
