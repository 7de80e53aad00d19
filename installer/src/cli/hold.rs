//! `consign-site hold`

use consign_format::Name;
use consign_format::error::Failure;
use serde::Serialize;

use super::Context;
use crate::config::gates::Length;
use crate::gates::timestamp;
use crate::site::Site;
use crate::store::holds::{Hold, Holds};

/// Keeps products from being activated for a while, whatever a stick brings and whatever window opens.
///
/// Verifying and staging go on. Going back by hand is possible all the same.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Holds a product, or everything. A hold that is there already is replaced.
    Set {
        /// The product; everything, if none is named.
        product: Option<Name>,
        /// Why; whoever is kept waiting reads it.
        #[arg(long, value_name = "TEXT")]
        reason: String,
        /// When it ends by itself, such as `12h` or `3d`; without it, somebody has to lift it.
        #[arg(long = "for", value_name = "TIME")]
        length: Option<Length>,
    },
    /// Ends a hold.
    Lift {
        /// The product; the hold on everything, if none is named.
        product: Option<Name>,
    },
    /// Lists the holds.
    List,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Listed {
    #[serde(flatten)]
    holds: Holds,
    /// What was lifted.
    #[serde(skip_serializing_if = "Option::is_none")]
    lifted: Option<Hold>,
}

pub(super) fn run(context: &Context<'_>, arguments: &Arguments) -> Result<(), Failure> {
    let now = context.machine.clocks.now();
    let mut lifted = None;
    let holds = match &arguments.command {
        Command::List => Holds::read(&Site::open(context.store.clone())?.store)?,
        Command::Set { product, reason, length } => {
            let until = length.map(|length| now.saturating_add(length.0.as_secs().unsigned_abs()));
            change(context, |holds| holds.set(product.clone(), Hold { reason: reason.clone(), since: now, until }))?
        }
        Command::Lift { product } => change(context, |holds| lifted = holds.lift(product.as_ref()))?,
    };
    let mut human: Vec<String> = holds.all.iter().map(|hold| line("everything", hold, now)).collect();
    human.extend(holds.products.iter().map(|(product, hold)| line(product.as_str(), hold, now)));
    if human.is_empty() {
        human.push("nothing is held".to_owned());
    }
    context.terminal.result(&Listed { holds, lifted }, human.join("\n"));
    Ok(())
}

fn change(context: &Context<'_>, change: impl FnOnce(&mut Holds)) -> Result<Holds, Failure> {
    let site = Site::open_exclusive(context.store.clone())?;
    let mut holds = Holds::read(&site.store)?;
    change(&mut holds);
    holds.write(&site.store)?;
    Ok(holds)
}

fn line(what: &str, hold: &Hold, now: u64) -> String {
    let until = match hold.until {
        None => "until it is lifted".to_owned(),
        Some(until) if hold.is_on(now) => format!("until {}", timestamp(until)),
        Some(until) => format!("ran out {}", timestamp(until)),
    };
    format!("{what}: held since {} {until}: {}", timestamp(hold.since), hold.reason)
}
