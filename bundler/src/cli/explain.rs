//! `consign explain`.

use consign_format::error::Failure;
use serde_json::json;

use super::World;

/// Explains an error code as printed in `error[CODE]`: what it means, why it happens, what to do.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The code; without it all of them are listed
    #[arg(value_name = "CODE")]
    code: Option<String>,
}

pub(super) fn run(args: &Args, world: &World<'_>) -> Result<(), Failure> {
    let text = consign_terminal::explain(args.code.as_deref())?;
    world.terminal.result(&json!({"explanation": text}), &text);
    Ok(())
}
