//! Our verifier under the command line of `tuf-conformance` (its CLIENT-CLI.md): `init`, `refresh`, `download`.
//!
//! `cargo build -p consign-tests --bin tuf-client`, then give the suite its path. Exit code 0 or 1, as it asks; why is
//! said on standard error. What is ours and what is the adapter's: [`consign_tests::tuf`].

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use consign_tests::tuf::{Client, Refused};

#[derive(Parser)]
struct Arguments {
    /// Where the client keeps what it trusts
    #[arg(long)]
    metadata_dir: PathBuf,
    /// The address of the repository's metadata
    #[arg(long, default_value = "")]
    metadata_url: String,
    /// The target to download
    #[arg(long, default_value = "")]
    target_name: String,
    /// The address of the repository's targets
    #[arg(long, default_value = "")]
    target_base_url: String,
    /// Where downloaded targets go
    #[arg(long, default_value = ".")]
    target_dir: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Trust a first root
    Init {
        /// The root
        trusted_root: PathBuf,
    },
    /// Bring the metadata up to date
    Refresh,
    /// Bring the metadata up to date, then get a target
    Download,
}

fn run(arguments: &Arguments) -> Result<(), Refused> {
    let client = Client::new(&arguments.metadata_dir, &arguments.metadata_url, jiff::Timestamp::now());
    match &arguments.command {
        Command::Init { trusted_root } => Client::init(&arguments.metadata_dir, &std::fs::read(trusted_root)?),
        Command::Refresh => client.refresh(),
        Command::Download => {
            client.download(&arguments.target_name, &arguments.target_base_url, &arguments.target_dir).map(|_| ())
        }
    }
}

#[expect(clippy::print_stderr, reason = "a program for a suite and the people who read its log")]
fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Refused(why)) => {
            eprintln!("tuf-client: {why}");
            ExitCode::FAILURE
        }
    }
}
