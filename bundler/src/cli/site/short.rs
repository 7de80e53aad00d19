//! Receipts in short at headquarters: the text of a QR code, and the code that somebody reads out.

use std::path::{Path, PathBuf};

use consign_format::Digest;
use consign_format::error::{Code, Coded, Failure, codes};
use consign_format::receipt::code::{CodeError, Heard, Said};
use consign_format::receipt::slip::Slip;
use consign_format::receipt::{Action, Outcome};
use consign_format::trust::statement::SiteRecord;
use consign_sealed::SiteKey;
use consign_terminal::Usage;
use serde::Serialize;

use crate::cli::World;

/// A code that somebody has typed, and that is none of the site's.
#[derive(Debug, thiserror::Error)]
enum Refused {
    /// Misheard, or no code at all.
    #[error("this is no code")]
    Form(#[from] CodeError),
    /// Its MAC does not hold.
    #[error("site `{site}` has not made this code for the key in {}", key.display())]
    Forged {
        /// The site whose record was given.
        site: String,
        /// The file of headquarters' key.
        key: PathBuf,
    },
}

impl Coded for Refused {
    fn code(&self) -> Code {
        match self {
            Refused::Form(_) => codes::USAGE,
            Refused::Forged { .. } => codes::CODE_REFUSED,
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            Refused::Form(_) => "have it read out once more, in groups of four; O is read as 0, I and L as 1",
            Refused::Forged { .. } => {
                "is it this site's record, and the key whose recipient the site was told? If both are, do not believe it"
            }
        };
        Some(hint.to_owned())
    }
}

/// The document of `site receipts --qr --json`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Scanned {
    #[serde(flatten)]
    slip: Slip,
    /// The file that is this receipt, if it is here.
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<String>,
}

/// A slip, by the key of one of the records; and the file that it names, if it is among these.
pub(super) fn scanned(
    text: &str,
    records: &[SiteRecord],
    files: &[(String, Vec<u8>)],
    world: &World<'_>,
) -> Result<(), Failure> {
    let mut refusal = None;
    for record in records {
        match Slip::verify(text, &record.receipt_key) {
            Ok(slip) if slip.site != record.site || slip.domain != record.domain => {
                let message = format!("the slip is of site `{}` of domain `{}`", slip.site, slip.domain);
                return Err(Usage { message, hint: Some("name that site's record".to_owned()) }.into());
            }
            Ok(slip) => {
                let file =
                    files.iter().find(|(_, bytes)| Digest::of(bytes) == slip.receipt).map(|(name, _)| name.clone());
                let human = said(&slip, file.as_deref());
                world.terminal.result(&Scanned { slip, file }, human);
                return Ok(());
            }
            Err(error) => refusal = Some(error),
        }
    }
    refusal.map_or(Ok(()), |error| Err(error.into()))
}

fn said(slip: &Slip, file: Option<&str>) -> String {
    let at = i64::try_from(slip.at).ok().and_then(|at| jiff::Timestamp::from_second(at).ok());
    let at = at.map_or("an unknown time".to_owned(), |at| at.strftime("%Y-%m-%d %H:%M UTC").to_string());
    let release = slip.release.as_ref().map_or(String::new(), |release| {
        format!(" {} {} (sequence {}, {})", release.product, release.version, release.sequence, release.digest)
    });
    let file =
        file.map_or("the receipt itself is not here yet".to_owned(), |file| format!("the receipt itself is {file}"));
    let what = in_words(slip.action, slip.outcome);
    format!(
        "site {} signed receipt {}: {what}{release}\nat {at} by its clock; {file} ({})",
        slip.site, slip.n, slip.receipt
    )
}

fn in_words(action: Action, outcome: Outcome) -> &'static str {
    match (action, outcome) {
        (Action::RootChange, _) => "root changed",
        (Action::Rollback, Outcome::Applied) => "went back to",
        (_, Outcome::Applied) => "applied",
        (_, Outcome::RolledBack) => "rolled back",
        (_, Outcome::Failed) => "failed",
        (_, Outcome::Halted) => "halted",
    }
}

/// A code, by the recipient in one of the records and headquarters' own key.
pub(super) fn heard(code: &str, key_file: &Path, records: &[SiteRecord], world: &World<'_>) -> Result<(), Failure> {
    let heard = Heard::read(code).map_err(Refused::Form)?;
    let key = crate::cli::identity::read(key_file)?;
    for record in records {
        if let Some(said) = check(&heard, &key, record)? {
            let release =
                if said.release == "000000" { String::new() } else { format!(", release sha256:{}…", said.release) };
            let what = in_words(said.action, said.outcome);
            let human = format!("site {} says of receipt {}: {what}{release}", record.site, said.n);
            world.terminal.result(&said, human);
            return Ok(());
        }
    }
    let site = records.first().map(|record| record.site.to_string()).unwrap_or_default();
    Err(Refused::Forged { site, key: key_file.to_owned() }.into())
}

fn check(heard: &Heard, key: &SiteKey, record: &SiteRecord) -> Result<Option<Said>, Failure> {
    let Some(recipient) = &record.recipient else {
        let message = format!("the record of site `{}` names no age recipient", record.site);
        return Err(Usage { message, hint: Some("such a site makes no codes; ask for a QR code".to_owned()) }.into());
    };
    let mac = consign_sealed::code::mac(key, &recipient.parse()?, &heard.covered(&record.domain, &record.site))?;
    Ok(heard.verify(&mac))
}
