//! `consign site receipts`.

use std::path::{Path, PathBuf};

use consign_format::error::{Code, Coded, Failure, codes};
use consign_format::receipt::chain::{self, Chain, Checked, File, Report, Verdict};

use crate::cli::statement::RootsArgs;
use crate::cli::{IoError, World};
use crate::site_record;

use super::short;

/// How many refused files a message names.
const NAMED: usize = 20;

/// Checks the receipts that a site has sent back: who signed them, whose they are, and that none is missing.
///
/// A receipt that is missing between two others may be on its way yet; it is told, and refuses nothing. What an honest
/// site cannot have written ends with exit code 12: another key, another site, two receipts of one number, a receipt that
/// does not follow the one before.
///
/// What a site has shown to a phone (`consign-site receipts show --qr`) is checked with --qr, and what it has read out by
/// telephone (`--code`) with --code and headquarters' age key.
#[derive(Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("what").args(["folder", "qr", "code"]).required(true).multiple(true)))]
pub(super) struct Args {
    /// The folder of receipts, as `consign-site receipts export` has left it; with --qr, where the receipt itself may be
    #[arg(value_name = "DIR", conflicts_with = "code")]
    folder: Option<PathBuf>,
    /// The text of a QR code, CONSIGN1:…
    #[arg(long, value_name = "TEXT", conflicts_with = "code")]
    qr: Option<String>,
    /// The 26 characters that the site has read out
    #[arg(long, value_name = "CODE", requires = "identity")]
    code: Option<String>,
    /// For --code: the age key whose recipient the site was told, a file as `age-keygen` writes it
    #[arg(long, value_name = "FILE", requires = "code")]
    identity: Option<PathBuf>,
    /// The site's record; of a site that was recovered also the ones before, each with its own --record
    #[arg(long, value_name = "FILE", required = true)]
    record: Vec<PathBuf>,
    #[command(flatten)]
    roots: RootsArgs,
}

/// Among the receipts are some that the site cannot have written.
#[derive(Debug, thiserror::Error)]
#[error("{count} of {of} receipts are not what site `{site}` has written:{list}")]
struct Refused {
    count: usize,
    of: usize,
    site: String,
    list: String,
}

impl Coded for Refused {
    fn code(&self) -> Code {
        codes::RECEIPTS_REFUSED
    }

    fn hint(&self) -> Option<String> {
        Some("keep these files, and ask at the site what happened; the other receipts count".to_owned())
    }
}

pub(super) fn run(args: &Args, world: &World<'_>) -> Result<(), Failure> {
    let roots = args.roots.read()?;
    let records = args.record.iter().map(|path| site_record::read(&roots, path)).collect::<Result<Vec<_>, _>>()?;
    let Some(site) = records.first().map(|record| record.site.clone()) else { return Ok(()) };
    if let Some(other) = records.iter().find(|record| record.site != site) {
        let (site, found) = (site, other.site.clone());
        return Err(site_record::RecordError::OtherSite { site, found }.into());
    }
    if let (Some(code), Some(key)) = (&args.code, &args.identity) {
        return short::heard(code, key, &records, world);
    }
    let files = args.folder.as_deref().map(read).transpose()?.unwrap_or_default();
    if let Some(text) = &args.qr {
        return short::scanned(text, &records, &files, world);
    }
    let keys: Vec<_> = records.into_iter().map(|record| record.receipt_key).collect();
    let borrowed: Vec<File<'_>> = files.iter().map(|(name, bytes)| File { name, bytes }).collect();
    let report = chain::check(&site, &keys, &borrowed);
    if report.refused().next().is_some() {
        return Err(refusal(&report).into());
    }
    for line in warnings(&report) {
        world.terminal.warn(line);
    }
    let text = said(&report);
    world.terminal.result(&report, text);
    Ok(())
}

/// All `*.json` of a folder, by name.
fn read(folder: &Path) -> Result<Vec<(String, Vec<u8>)>, Failure> {
    let unreadable =
        |path: &Path, source| IoError::new(codes::IO, format!("{} cannot be read", path.display()), source);
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(|source| unreadable(folder, source))? {
        let path = entry.map_err(|source| unreadable(folder, source))?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        if name.ends_with(".json") && path.is_file() {
            let bytes = std::fs::read(&path).map_err(|source| unreadable(&path, source))?;
            files.push((name, bytes));
        }
    }
    files.sort();
    Ok(files)
}

fn refusal(report: &Report) -> Refused {
    let refused: Vec<&Checked> = report.refused().collect();
    let mut list: String = refused.iter().take(NAMED).map(|one| format!("\n  {}: {}", one.file, why(one))).collect();
    if refused.len() > NAMED {
        list.push_str(&format!("\n  and {} more", refused.len() - NAMED));
    }
    Refused { count: refused.len(), of: report.files.len(), site: report.site.to_string(), list }
}

fn why(checked: &Checked) -> String {
    match &checked.verdict {
        Verdict::Holds | Verdict::Replayed { .. } => "it holds".to_owned(),
        Verdict::Forged { reason } => reason.clone(),
        Verdict::OtherSite { site } => format!("it is the receipt of site {site}"),
        Verdict::Forked { first } => format!("it has the number of {first} and says something else"),
        Verdict::Unlinked => "it does not follow the receipt before it".to_owned(),
    }
}

fn warnings(report: &Report) -> Vec<String> {
    let mut warnings = Vec::new();
    for Chain { enrolment, gaps, continues, .. } in &report.chains {
        for (first, last) in gaps {
            let which = if first == last { format!("{first} is") } else { format!("{first} to {last} are") };
            warnings.push(format!("of enrolment {enrolment} receipt {which} missing"));
        }
        if let Some(before) = continues {
            let there = before.file.as_ref().map_or("which is not here".to_owned(), |file| format!("which is {file}"));
            warnings.push(format!(
                "enrolment {enrolment} goes on after {}, {there}: the site was recovered",
                before.receipt
            ));
        }
    }
    for checked in &report.files {
        if let Verdict::Replayed { first } = &checked.verdict {
            warnings.push(format!("{} is {first} once more", checked.file));
        }
    }
    warnings
}

fn said(report: &Report) -> String {
    let hold = report.files.iter().filter(|checked| checked.verdict == Verdict::Holds).count();
    let mut text = format!("{hold} receipts of site {} hold", report.site);
    for chain in &report.chains {
        text.push_str(&format!("\n  enrolment {}  up to receipt {}", chain.enrolment, chain.last));
    }
    text
}
