//! What a person has to say at an enrolment: the root's fingerprint, and what headquarters knows of a site that was here
//! before. Neither has a default.

use std::collections::BTreeMap;

use consign_format::error::{Failure, codes};
use consign_format::trust::Fingerprint;
use consign_format::{Digest, Name};
use consign_terminal::Usage;

use crate::cli::Context;
use crate::site::After;

/// The fingerprint of the root.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct FingerprintArguments {
    /// The root's fingerprint as it came by another path: 64 hexadecimal digits, or 12 words.
    #[arg(long, value_name = "FINGERPRINT", conflicts_with = "root_words")]
    root_sha256: Option<String>,
    /// The same in 12 words, such as "legal winner thank …".
    #[arg(long, value_name = "WORDS")]
    root_words: Option<String>,
}

/// Standard input cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("the answer cannot be read")]
struct NoAnswer(#[source] std::io::Error);

impl consign_format::error::Coded for NoAnswer {
    fn code(&self) -> consign_format::error::Code {
        codes::IO
    }
}

/// What the person at the terminal types; `None` where nobody is.
pub(in crate::cli) fn ask(context: &Context<'_>, question: &str) -> Result<Option<String>, Failure> {
    Ok(context.terminal.ask(question).map_err(NoAnswer)?)
}

impl FingerprintArguments {
    /// As [`FingerprintArguments::get`]; `None` where nobody is there to type it.
    pub(in crate::cli) fn find(&self, context: &Context<'_>) -> Result<Option<Fingerprint>, Failure> {
        if let Some(given) = self.root_sha256.as_ref().or(self.root_words.as_ref()) {
            return Ok(Some(given.parse()?));
        }
        let question = "Type the root's fingerprint as it is on paper, 12 words or 64 hexadecimal digits:";
        Ok(ask(context, question)?.map(|answer| answer.parse()).transpose()?)
    }

    /// The fingerprint that was given, or that the person at the terminal types. It is not shown before it is typed: who
    /// copies it from the screen has compared nothing.
    pub(super) fn get(&self, context: &Context<'_>) -> Result<Fingerprint, Failure> {
        let missing = || Usage {
            message: "the root's fingerprint was not given".to_owned(),
            hint: Some("add --root-sha256 or --root-words, from paper: there is no trust on first use".to_owned()),
        };
        Ok(self.find(context)?.ok_or_else(missing)?)
    }
}

/// What headquarters knows of a site that has forgotten it.
#[derive(Debug, clap::Args)]
pub(super) struct AfterArguments {
    /// The lowest sequence to take of a product, from the last receipt that headquarters holds; once for each product.
    #[arg(long, value_name = "PRODUCT=SEQUENCE", value_parser = floor, conflicts_with = "without_floor")]
    floor: Vec<(Name, u64)>,
    /// Take whatever sequence comes first: nothing was ever installed here.
    #[arg(long)]
    without_floor: bool,
    /// The sha256 of the last receipt that headquarters holds; the first new one will name it.
    #[arg(long, value_name = "SHA256", value_parser = digest, conflicts_with = "without_receipt")]
    last_receipt: Option<Digest>,
    /// Headquarters holds no receipt of this site.
    #[arg(long)]
    without_receipt: bool,
}

impl AfterArguments {
    /// What was said. Where a site was here before (`before`), both the floors and the last receipt must be; a `recovery`
    /// may have the receipt itself.
    pub(super) fn said(&self, before: bool, recovery: bool) -> Result<Option<After>, Usage> {
        let said_floor = self.without_floor || !self.floor.is_empty();
        let said_receipt = self.without_receipt || self.last_receipt.is_some();
        if before && !said_floor {
            return Err(Usage {
                message: "nobody has said which releases this site has accepted before".to_owned(),
                hint: Some(
                    "add --floor PRODUCT=SEQUENCE from the last receipts at headquarters; --without-floor only if \
                     nothing was ever installed here"
                        .to_owned(),
                ),
            });
        }
        if before && !recovery && !said_receipt {
            return Err(Usage {
                message: "nobody has said which receipt was the last one".to_owned(),
                hint: Some("add --last-receipt SHA256, or --without-receipt if headquarters holds none".to_owned()),
            });
        }
        let floors = BTreeMap::from_iter(self.floor.iter().cloned());
        Ok((said_floor || said_receipt).then_some(After { floors, last_receipt: self.last_receipt }))
    }

    /// Whether anything was said.
    pub(super) fn is_empty(&self) -> bool {
        self.floor.is_empty() && self.last_receipt.is_none() && !self.without_floor && !self.without_receipt
    }
}

fn floor(text: &str) -> Result<(Name, u64), String> {
    let (product, sequence) = text.split_once('=').ok_or("write PRODUCT=SEQUENCE")?;
    let product = product.parse::<Name>().map_err(|error| error.to_string())?;
    Ok((product, sequence.parse().map_err(|_| format!("`{sequence}` is no sequence"))?))
}

fn digest(text: &str) -> Result<Digest, String> {
    let hex = text.trim().trim_start_matches("sha256:").to_lowercase();
    Digest::from_hex(&hex).map_err(|_| "write the 64 hexadecimal digits of its sha256".to_owned())
}
