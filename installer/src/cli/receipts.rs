//! `consign-site receipts`

use std::path::PathBuf;

use consign_format::error::Failure;
use consign_format::receipt::{Action, Outcome, Receipt};
use consign_registry::durable::{create_dir, write_file};
use consign_terminal::Usage;
use serde::Serialize;

use super::Context;
use crate::site::Site;

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
    /// Shows one receipt in full: the signed file as it is.
    Show {
        /// Its number; without it, the last one.
        n: Option<u64>,
    },
    /// Copies all receipts into a folder, to be carried back. Files that are there already are replaced.
    Export {
        /// The folder, such as /media/usb/receipts.
        dir: PathBuf,
    },
}

#[derive(Debug, Serialize)]
struct Exported {
    folder: PathBuf,
    receipts: usize,
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
        Command::Show { n } => {
            let wanted = n.unwrap_or(chain.len() as u64);
            let kept = chain.iter().find(|kept| kept.receipt.n == wanted);
            let kept = kept.ok_or_else(|| no_such(wanted, chain.len()))?;
            context.terminal.result(&kept.receipt, String::from_utf8_lossy(&kept.bytes));
        }
        Command::Export { dir } => {
            create_dir(dir, 0o755)?;
            for kept in &chain {
                let name = format!("{}-{}-{}", site.identity.site, &site.identity.enrolment[..8], kept.name);
                write_file(&dir.join(name), &kept.bytes, 0o644)?;
            }
            // What was written before a recovery goes along, for headquarters to judge.
            let earlier = site.store.receipts_set_aside()?;
            for (name, bytes) in &earlier {
                write_file(&dir.join(format!("{}-{name}", site.identity.site)), bytes, 0o644)?;
            }
            site.store.set_exported(&site.identity.enrolment, chain.len() as u64)?;
            let receipts = chain.len() + earlier.len();
            let exported = Exported { folder: dir.clone(), receipts };
            let are = if receipts == 1 { "1 receipt is" } else { &format!("{receipts} receipts are") };
            let human = format!("{are} in {}", dir.display());
            context.terminal.result(&exported, human);
        }
    }
    Ok(())
}

fn no_such(n: u64, last: usize) -> Usage {
    let hint = if last == 0 { "there are none yet".to_owned() } else { format!("they go from 1 to {last}") };
    Usage { message: format!("there is no receipt {n}"), hint: Some(hint) }
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
