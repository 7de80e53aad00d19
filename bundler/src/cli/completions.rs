//! `consign completions`.

use clap_complete::Shell;
use consign_format::error::Failure;
use serde_json::json;

use super::{Cli, World};

/// Prints the completion script of a shell, for instance into /etc/bash_completion.d/consign.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The shell
    shell: Shell,
}

pub(super) fn run(args: &Args, world: &World<'_>) -> Result<(), Failure> {
    let script = consign_terminal::completions::<Cli>(args.shell);
    world.terminal.result(&json!({"script": script}), &script);
    Ok(())
}
