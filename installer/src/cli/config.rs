//! `consign-site config`

use std::fmt::Write as _;
use std::path::PathBuf;

use consign_format::error::{Code, Coded, Failure, codes};
use serde::Serialize;

use super::{Context, lookup};
use crate::config::SiteConfig;
use crate::config::check::{Finding, findings, meaning};

/// The configuration of this site, site.toml.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Check(Check),
}

/// Reads site.toml as every command does, and says what it means: decisions in plain words, what cannot work, what
/// probably was not meant.
///
/// What it names as an error ends in exit code 2. Nothing is changed, and nobody is asked over the network.
#[derive(Debug, clap::Args)]
struct Check {
    /// Another file, before it is put in its place.
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
}

#[derive(Debug, Serialize)]
struct Document {
    file: PathBuf,
    /// What holds, in words.
    meaning: Vec<String>,
    findings: Vec<Finding>,
}

/// The configuration says what cannot work.
#[derive(Debug, thiserror::Error)]
#[error("{} says what cannot work: {}", file.display(), what.join("; "))]
struct CannotWork {
    file: PathBuf,
    what: Vec<String>,
}

impl Coded for CannotWork {
    fn code(&self) -> Code {
        codes::SITE_CONFIG
    }

    fn hint(&self) -> Option<String> {
        Some("docs/site.md lists what the file may say".to_owned())
    }
}

pub(super) fn run(context: &Context<'_>, arguments: &Arguments) -> Result<(), Failure> {
    let Command::Check(arguments) = &arguments.command;
    let file = arguments.file.clone().unwrap_or_else(|| context.store.config_file());
    // The file of this site may be left out, and then defaults hold; one that was named must be there.
    if let Some(named) = &arguments.file {
        super::enrol::read(named)?;
    }
    let config = SiteConfig::read(&file)?;
    let at = lookup(context, None, &config);
    let now = jiff::Timestamp::from_second(i64::try_from(context.machine.clocks.now()).unwrap_or(i64::MAX));
    let found = findings(&config, &at, now.unwrap_or(jiff::Timestamp::UNIX_EPOCH));
    let what: Vec<String> = found.iter().filter(|one| one.error).map(|one| one.what.clone()).collect();
    let document = Document { file: file.clone(), meaning: meaning(&config), findings: found };
    let mut human = format!("{}\n", file.display());
    for line in &document.meaning {
        let _ = write!(human, "\n{line}");
    }
    for warning in document.findings.iter().filter(|one| !one.error) {
        context.terminal.warn(&warning.what);
    }
    if what.is_empty() {
        context.terminal.result(&document, human);
        return Ok(());
    }
    context.terminal.verdict(&document, human);
    Err(CannotWork { file, what }.into())
}
