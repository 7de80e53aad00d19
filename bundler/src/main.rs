//! `consign`: the connected side. Everything it does is in the library; here it meets the process.

use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use consign_bundler::cli::{self, Cli, World};
use consign_bundler::tool::Environment;
use consign_format::error::{Failure, codes};
use consign_terminal::Terminal;

fn main() -> ExitCode {
    let cli: Cli = match consign_terminal::parse(std::env::args_os()) {
        Ok(cli) => cli,
        Err(code) => return code,
    };
    let terminal = Terminal::detect(cli.json, cli.quiet);
    let world = World { environment: Environment::new(std::env::vars_os()), now: now(), terminal: &terminal };
    let result = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(cli::run(cli, &world)),
        Err(error) => Err(Failure::from(cli::IoError::new(codes::IO, "the program cannot start its threads", error))),
    };
    terminal.finish(result)
}

#[expect(clippy::disallowed_methods, reason = "the one place of this program that takes the time")]
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
