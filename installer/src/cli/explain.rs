//! `consign-site explain`

use consign_format::error::Failure;
use serde::Serialize;

use super::Context;

/// Explains an error code, or lists all of them.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The code, such as `digest-mismatch`, as it stands in `error[…]`.
    code: Option<String>,
}

#[derive(Debug, Serialize)]
struct Explanation {
    text: String,
}

pub(super) fn run(context: &Context<'_>, arguments: &Arguments) -> Result<(), Failure> {
    let text = consign_terminal::explain(arguments.code.as_deref())?;
    context.terminal.result(&Explanation { text: text.clone() }, text);
    Ok(())
}
