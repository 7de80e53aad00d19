//! `consign site record`.

use std::path::{Path, PathBuf};

use consign_format::Name;
use consign_format::enrolment::{self, EnrolRequest};
use consign_format::error::{Failure, codes};
use consign_format::trust::Fingerprint;
use consign_format::trust::keys::Signer;
use consign_format::trust::statement::SiteRecord;
use consign_terminal::Usage;
use serde::Serialize;

use crate::cli::statement::StatementArgs;
use crate::cli::{IoError, World};
use crate::site_kit::label;
use crate::site_record::{self, Signed, Subject, Wishes};

/// Makes a site record of the enrol-request that a site has sent, and signs it.
///
/// The request's fingerprint must come by telephone, read out by the person at the site: anybody on the way could have put
/// another request in its place. The record goes back with `consign carry`; the highest serial counts. To change a record,
/// give the one before with --previous: what is not said anew stays. Where several approvers must sign, the others add
/// their signatures with `consign approve`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The enrol-request of the site
    #[arg(value_name = "REQUEST", required_unless_present_any = ["previous", "site"])]
    request: Option<PathBuf>,
    /// The request's fingerprint as it was read out: 12 words, or 64 hexadecimal digits
    #[arg(long, value_name = "FINGERPRINT", requires = "request")]
    fingerprint: Option<Fingerprint>,
    /// The site record before: the serial goes up by one, and what is not said anew stays
    #[arg(long, value_name = "FILE")]
    previous: Option<PathBuf>,
    /// The site, where there is no request
    #[arg(long, value_name = "NAME", conflicts_with = "request", requires = "receipt_key")]
    site: Option<Name>,
    /// The site's receipt key, as `consign-site enrol` printed it
    #[arg(long, value_name = "HEX", requires = "site")]
    receipt_key: Option<String>,
    /// The site's age recipient
    #[arg(long, value_name = "AGE", requires = "site")]
    recipient: Option<String>,
    /// An environment; may be given several times
    #[arg(long, value_name = "NAME")]
    environment: Vec<Name>,
    /// A label; may be given several times
    #[arg(long, value_name = "KEY=VALUE", value_parser = label)]
    label: Vec<String>,
    /// The variant that the site takes of a product; may be given several times
    #[arg(long, value_name = "PRODUCT=VARIANT", value_parser = variant)]
    variant: Vec<(Name, Name)>,
    /// The serial; without it one more than that of the record before, or 1
    #[arg(long, value_name = "N")]
    serial: Option<u64>,
    #[command(flatten)]
    signed: StatementArgs,
}

fn variant(text: &str) -> Result<(Name, Name), String> {
    let (product, variant) = text.split_once('=').ok_or("write PRODUCT=VARIANT")?;
    let parse = |text: &str| text.parse::<Name>().map_err(|error| error.to_string());
    Ok((parse(product)?, parse(variant)?))
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Done {
    path: PathBuf,
    record: SiteRecord,
    signatures: u64,
    needed: u64,
}

pub(super) fn run(args: &Args, world: &World<'_>) -> Result<(), Failure> {
    let chain = args.signed.roots().read()?;
    let signers = args.signed.signers(world)?;
    let signers: Vec<&dyn Signer> = signers.iter().map(AsRef::as_ref).collect();
    let previous = args.previous.as_deref().map(|path| site_record::read(&chain, path)).transpose()?;
    let subject = match (&args.request, &args.site, &previous) {
        (Some(path), _, _) => Subject::of_request(
            read_request(path, args.fingerprint.as_ref(), world)?,
            &chain,
            args.signed.roots().folder(),
        )?,
        (None, Some(site), _) => {
            let receipt_key = args.receipt_key.as_deref().unwrap_or_default();
            Subject::known(site.clone(), receipt_key, args.recipient.clone())?
        }
        (None, None, Some(record)) => Subject::of_record(record),
        (None, None, None) => {
            return Err(Usage { message: "nobody has said whom the record is for".to_owned(), hint: None }.into());
        }
    };
    let variants = args.variant.iter().cloned().collect();
    let (environments, labels) = (args.environment.clone(), args.label.clone());
    let wishes = Wishes { environments, labels, variants, serial: args.serial };
    let record = site_record::compose(&chain, subject, wishes, previous.as_ref(), world.now)?;
    let Signed { bytes, have, need } = site_record::sign(&chain, &record, &signers)?;
    let path = args.signed.write(format!("{}.site-record.json", record.site), &bytes)?;
    let text = said(&path, &record, have, need);
    world.terminal.result(&Done { path, record, signatures: have, needed: need }, text);
    Ok(())
}

/// Reads a request and compares it with what was read out; a person at the terminal is asked for the words.
fn read_request(path: &Path, given: Option<&Fingerprint>, world: &World<'_>) -> Result<EnrolRequest, Failure> {
    let unreadable = |source| IoError::new(codes::IO, format!("{} cannot be read", path.display()), source);
    let bytes = std::fs::read(path).map_err(unreadable)?;
    if let Some(given) = given {
        return Ok(enrolment::verify_read_out(&bytes, given)?);
    }
    let question = "Call the site and type the words that are read out to you, 12 words or 64 hexadecimal digits:";
    let answer = world.terminal.ask(question);
    match answer.map_err(|source| IoError::new(codes::IO, "the answer cannot be read", source))? {
        Some(answer) => Ok(enrolment::verify_read_out(&bytes, &answer.parse::<Fingerprint>()?)?),
        None => Err(Usage {
            message: "the request's fingerprint was not given".to_owned(),
            hint: Some("add --fingerprint with the words that the person at the site reads out".to_owned()),
        }
        .into()),
    }
}

fn said(path: &Path, record: &SiteRecord, have: u64, need: u64) -> String {
    let environments: Vec<&str> = record.environments.iter().map(Name::as_str).collect();
    let or_none = |text: String| if text.is_empty() { "none".to_owned() } else { text };
    let mut text = format!(
        "{}\n  site          {}, record {}\n  environments  {}\n  labels        {}\n  signed        {have} of {need}",
        path.display(),
        record.site,
        record.serial,
        or_none(environments.join(", ")),
        or_none(record.labels.join(", ")),
    );
    if have < need {
        text.push_str("\nThe other approvers add their signatures with consign approve; until then no site takes it.");
    }
    text
}
