//! `consign-site completions`

use clap_complete::Shell;
use consign_format::error::Failure;
use serde::Serialize;

use super::{Cli, Context};

/// Prints a completion script: `consign-site completions bash > /etc/bash_completion.d/consign-site`.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The shell.
    shell: Shell,
}

#[derive(Debug, Serialize)]
struct Script {
    script: String,
}

pub(super) fn run(context: &Context<'_>, arguments: &Arguments) -> Result<(), Failure> {
    let script = consign_terminal::completions::<Cli>(arguments.shell);
    context.terminal.result(&Script { script: script.clone() }, script.trim_end());
    Ok(())
}
