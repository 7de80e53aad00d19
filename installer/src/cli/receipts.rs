//! `consign-site receipts`

use std::path::PathBuf;

use consign_format::error::Failure;
use consign_format::receipt::{Action, Outcome, Receipt};

use super::Context;
use crate::receipts::export;
use crate::site::Site;

mod show;

/// Shows and hands out the receipts of this site.
///
/// A receipt says what was done with a release, signed by the site's own key; each names the digest of the one before,
/// so that a missing one shows. They hold no logs and no Secrets.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Lists all receipts, one line each.
    List,
    Show(show::Arguments),
    /// Copies all receipts into a folder, to be carried back. What is there already is left as it is, and never replaced.
    Export {
        /// The folder, such as /media/usb/receipts.
        dir: PathBuf,
    },
}

pub(super) fn run(context: &Context<'_>, arguments: &Arguments) -> Result<(), Failure> {
    let site = Site::open(context.store.clone())?;
    let chain = site.store.read_receipts(&site.identity.public_key)?;
    match &arguments.command {
        Command::List => {
            let lines: Vec<String> =
                chain.iter().map(|kept| format!("{:>6}  {}", kept.receipt.n, summary(&kept.receipt))).collect();
            let receipts: Vec<&Receipt> = chain.iter().map(|kept| &kept.receipt).collect();
            let human = if lines.is_empty() { "there are no receipts yet".to_owned() } else { lines.join("\n") };
            context.terminal.result(&receipts, human);
        }
        Command::Show(arguments) => show::run(context, &site, &chain, arguments)?,
        Command::Export { dir } => {
            let exported = export(&site, dir)?;
            if let Some(error) = &exported.not_noted {
                context.terminal.warn(format!("that they were handed out could not be noted: {error}"));
            }
            let receipts = exported.receipts;
            let are = if receipts == 1 { "1 receipt is" } else { &format!("{receipts} receipts are") };
            let human = format!("{are} in {}", dir.display());
            context.terminal.result(&exported, human);
        }
    }
    Ok(())
}

/// One line about a receipt.
pub(super) fn summary(receipt: &Receipt) -> String {
    let at = i64::try_from(receipt.clock.now).ok().and_then(|now| jiff::Timestamp::from_second(now).ok());
    let at = at.map_or("at an unknown time".to_owned(), |at| at.strftime("%Y-%m-%d %H:%M UTC").to_string());
    let what = match &receipt.release {
        Some(release) => format!("{} {}", release.product, release.version),
        None => receipt.reasons.first().cloned().unwrap_or_default(),
    };
    let outcome = match (receipt.action, receipt.outcome) {
        (Action::RootChange, _) => "root changed",
        (_, Outcome::Applied) => "applied",
        (_, Outcome::RolledBack) => "rolled back",
        (_, Outcome::Failed) => "failed",
        (_, Outcome::Halted) => "halted",
    };
    format!("{at}  {outcome}  {what}")
}
