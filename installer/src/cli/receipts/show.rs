//! `consign-site receipts show`: in full, for a phone, or for the telephone.

use std::path::PathBuf;

use consign_format::error::{Code, Coded, Failure, codes};
use consign_format::receipt::code;
use consign_format::receipt::slip::Slip;
use consign_registry::durable::write_new_file;
use consign_terminal::Usage;
use serde::Serialize;

use crate::cli::{Context, headquarters};
use crate::receipts::qr;
use crate::site::Site;
use crate::store::receipts::Kept;

/// Shows one receipt: in full, as the signed file is; or for a phone, or for the telephone.
///
/// The QR code holds what the receipt says in short, signed by the site's key: `consign site receipts --qr TEXT` checks it
/// at headquarters. The code of 26 characters is for reading out: it tells number, outcome and how the release's digest
/// begins, and headquarters alone can check that this site has made it: `consign site receipts --code CODE`.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Its number; without it, the last one.
    n: Option<u64>,
    /// As a QR code, on this terminal.
    #[arg(long, conflicts_with = "code")]
    qr: bool,
    /// As a QR code, in a new picture in PNG.
    #[arg(long, value_name = "FILE", conflicts_with = "code")]
    png: Option<PathBuf>,
    /// As a code to read out.
    #[arg(long)]
    code: bool,
    /// Headquarters' age recipient, for the code (age1…, or a file with one); else `recipient` under [diagnose] of
    /// site.toml.
    #[arg(long, value_name = "RECIPIENT", requires = "code")]
    to: Option<String>,
}

/// The document of `receipts show --qr --json` and `--code --json`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Short {
    n: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    picture: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<String>,
}

/// A receipt has no such form.
#[derive(Debug, thiserror::Error)]
enum NoShort {
    /// Its names are too long.
    #[error("receipt {0} does not fit into a QR code")]
    TooLong(u64),
    #[error(transparent)]
    TooHigh(#[from] code::TooHigh),
    #[error("the picture cannot be made")]
    Picture(#[from] png::EncodingError),
}

impl Coded for NoShort {
    fn code(&self) -> Code {
        codes::OVER_LIMIT
    }

    fn hint(&self) -> Option<String> {
        Some("carry the receipt itself: consign-site receipts export DIR".to_owned())
    }
}

pub(super) fn run(context: &Context<'_>, site: &Site, chain: &[Kept], arguments: &Arguments) -> Result<(), Failure> {
    let wanted = arguments.n.unwrap_or(chain.len() as u64);
    let kept = chain.iter().find(|kept| kept.receipt.n == wanted);
    let kept = kept.ok_or_else(|| no_such(wanted, chain.len()))?;
    if arguments.code {
        return read_out(context, site, kept, arguments.to.as_deref());
    }
    if arguments.qr || arguments.png.is_some() {
        return for_phone(context, site, kept, arguments);
    }
    context.terminal.result(&kept.receipt, String::from_utf8_lossy(&kept.bytes));
    Ok(())
}

fn for_phone(context: &Context<'_>, site: &Site, kept: &Kept, arguments: &Arguments) -> Result<(), Failure> {
    let text = Slip::of(&kept.receipt, &kept.bytes).to_text(&site.key()?)?;
    let modules = qr::modules(&text).ok_or(NoShort::TooLong(kept.receipt.n))?;
    let mut human = super::summary(&kept.receipt);
    if let Some(path) = &arguments.png {
        write_new_file(path, &qr::picture(&modules).map_err(NoShort::Picture)?, 0o644)?;
        human = format!("{human}\nthe QR code is in {}", path.display());
    }
    if arguments.qr {
        human = format!("{}\n{human}\n{text}", qr::half_blocks(&modules));
    }
    let short = Short { n: kept.receipt.n, text: Some(text), picture: arguments.png.clone(), code: None };
    context.terminal.result(&short, human);
    Ok(())
}

fn read_out(context: &Context<'_>, site: &Site, kept: &Kept, to: Option<&str>) -> Result<(), Failure> {
    let config = context.config();
    let headquarters = headquarters::recipient(to, config.as_ref().ok())?.ok_or_else(|| Usage {
        message: "a code is made for headquarters, and this site does not know its age recipient".to_owned(),
        hint: Some("name it: --to age1…, or `recipient` under [diagnose] of site.toml".to_owned()),
    })?;
    let own = site.age_key()?.ok_or_else(|| Usage {
        message: "this site has no age key: it was enrolled before there were any".to_owned(),
        hint: Some("carry the receipt itself, or show it to a phone with --qr".to_owned()),
    })?;
    let draft = code::Draft::of(&kept.receipt).map_err(NoShort::TooHigh)?;
    let code = draft.text(&consign_sealed::code::mac(&own, &headquarters, draft.covered())?);
    let human = format!("{}\nread this out: {code}", super::summary(&kept.receipt));
    let short = Short { n: kept.receipt.n, text: None, picture: None, code: Some(code) };
    context.terminal.result(&short, human);
    Ok(())
}

fn no_such(n: u64, last: usize) -> Usage {
    let hint = if last == 0 { "there are none yet".to_owned() } else { format!("they go from 1 to {last}") };
    Usage { message: format!("there is no receipt {n}"), hint: Some(hint) }
}
