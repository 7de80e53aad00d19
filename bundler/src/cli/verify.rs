//! `consign verify`.

use std::path::PathBuf;

use consign_format::Name;
use consign_format::error::Failure;
use consign_registry::durable::write_file;

use super::World;
use super::identity::IdentityArgs;
use super::trust::TrustArgs;
pub(super) use crate::gate::RootShown;
use crate::gate::{self, Asked, Examined, GateError, Report};
use crate::policy::Policy;

/// Checks every byte of a bundle as a site would: roots, signatures, the release, every blob. Nothing is unpacked, and
/// memory does not grow with the bundle.
///
/// Without --root or --root-sha256 the roots in trust/ of this folder are trusted. A bundle of metadata alone is verified
/// as well: its roots, and each statement. Every check is made and every finding
/// told; the exit code is that of the first. What is wrong with the bundle and what could not be checked are kept apart.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The bundle, any one of its volumes, or a folder with its volumes
    #[arg(value_name = "FILE")]
    bundle: PathBuf,
    #[command(flatten)]
    trust: TrustArgs,
    #[command(flatten)]
    identity: IdentityArgs,
    /// Refuse a bundle of another domain
    #[arg(long, value_name = "NAME")]
    domain: Option<Name>,
    /// Refuse a release with a lower sequence
    #[arg(long, value_name = "N")]
    min_sequence: Option<u64>,
    /// Refuse what has expired by this machine's clock, instead of saying so
    #[arg(long)]
    enforce_expiry: bool,
    /// Refuse images that are not signed as this verify-policy.yaml demands
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// The form of the report; --json is --format json in one line
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Write the report into this file; standard output then gets the text, or with --json the JSON
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// The form of a report.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Format {
    /// For people
    #[default]
    Text,
    /// schemas/verify-report.json
    Json,
    /// For CI systems: one test case per check
    Junit,
    /// SARIF 2.1.0, for code scanning
    Sarif,
}

pub(super) fn run(args: &Args, world: &World<'_>) -> Result<(), Failure> {
    let terminal = world.terminal;
    let to_output = args.output.is_none() && !matches!(args.format, Format::Text | Format::Json);
    if terminal.is_json() && to_output {
        return Err(consign_terminal::Usage {
            message: "--json and --format both say what standard output gets".to_owned(),
            hint: Some("leave one out, or send the report into a file with --output".to_owned()),
        }
        .into());
    }
    let (trust, key) = (args.trust.trust()?, args.identity.key()?);
    let policy = args.policy.as_deref().map(Policy::load).transpose()?;
    let asked = Asked {
        domain: args.domain.clone(),
        min_sequence: args.min_sequence,
        enforce_expiry: args.enforce_expiry,
        now: time(world.now),
        policy: policy.as_ref(),
        key: key.as_ref(),
    };
    let Examined { report, failure } = gate::examine(&args.bundle, &trust, &asked, terminal.progress());
    if let Some(path) = &args.output {
        write_file(path, written(&report, args.format)?.as_bytes(), 0o644)?;
    }
    match args.format {
        _ if terminal.is_json() || args.output.is_some() => terminal.verdict(&report, report.text()),
        Format::Text => terminal.verdict(&report, report.text()),
        _ => terminal.document(&written(&report, args.format)?),
    }
    failure.map_or(Ok(()), Err)
}

fn written(report: &Report, format: Format) -> Result<String, Failure> {
    Ok(match format {
        Format::Text => report.text() + "\n",
        Format::Json => pretty(report)?,
        Format::Junit => gate::junit::write(report)?,
        Format::Sarif => pretty(&gate::sarif::log(report))?,
    })
}

fn pretty(document: &impl serde::Serialize) -> Result<String, GateError> {
    let unwritable = |error: serde_json::Error| GateError::Unwritable { format: "json", reason: error.to_string() };
    Ok(serde_json::to_string_pretty(document).map_err(unwritable)? + "\n")
}

/// RFC 3339 in UTC with whole seconds, as the documents of a bundle write times.
fn time(now: u64) -> String {
    let seconds = i64::try_from(now).unwrap_or(i64::MAX);
    // A clock beyond the year 9999 has no text; every document has expired by then.
    jiff::Timestamp::from_second(seconds).unwrap_or(jiff::Timestamp::MAX).strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
