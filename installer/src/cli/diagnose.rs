//! `consign-site diagnose`

use std::io::Write;
use std::path::{Path, PathBuf};

use consign_format::error::Failure;
use consign_registry::durable::{Draft, DurableError, Existing, Folder, Step, parent_of};
use consign_sealed::message::encrypting;
use consign_terminal::Usage;
use serde::Serialize;

use super::{Context, doctor, headquarters, lookup, runtime, status};
use crate::config::SiteConfig;
use crate::diagnose::{Asked, Summary, collect};
use crate::site::Site;

/// Puts everything that people elsewhere need to know of this site into one file, secrets out.
///
/// Status, what the doctor finds, journal, receipts, configuration, the registry's log; of the cluster nodes and, in the
/// namespaces of the releases here, pods, events, workloads and the end of every log. It changes nothing and takes no
/// lock, so it may run while an install does; what cannot be had is named in the file and stops nothing. A tar inside
/// gzip, at most 64 MiB uncompressed; its readme.txt says what was taken out.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The file to write; one that is there already is not replaced.
    #[arg(long, short, value_name = "FILE")]
    output: PathBuf,
    /// Encrypt it to this age recipient (age1…, or a file with one); else to `recipient` under [diagnose] of site.toml;
    /// else not at all. `age -d -i KEY FILE` opens it.
    #[arg(long, value_name = "RECIPIENT")]
    encrypt_to: Option<String>,
    /// The kubeconfig of the cluster; without it, as `install` finds it.
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
}

/// The document of `diagnose --json`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Diagnosed {
    file: PathBuf,
    bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    encrypted_to: Option<String>,
    #[serde(flatten)]
    summary: Summary,
}

pub(super) fn run(context: &Context<'_>, arguments: &Arguments) -> Result<(), Failure> {
    let config = context.config();
    let recipient = headquarters::recipient(arguments.encrypt_to.as_deref(), config.as_ref().ok())?;
    let output = &arguments.output;
    if output.symlink_metadata().is_ok() {
        return Err(DurableError::Exists { path: output.clone() }.into());
    }
    let name = output.file_name().ok_or_else(|| no_file(output))?;
    let draft = Draft::create(&Folder::open(&parent_of(output))?, 0o600)?;
    let (draft, summary) = match &recipient {
        None => gather(context, arguments, draft, output)?,
        Some(recipient) => {
            let (encrypting, summary) = gather(context, arguments, encrypting(recipient, draft)?, output)?;
            (encrypting.finish().map_err(|source| DurableError::io(Step::Write, output, source))?, summary)
        }
    };
    let bytes = draft.file().metadata().map_err(|source| draft.error(Step::Read, source))?.len();
    draft.commit(name, Existing::Refuse)?;
    let encrypted_to = recipient.map(|recipient| recipient.to_string());
    let diagnosed = Diagnosed { file: output.clone(), bytes, encrypted_to, summary };
    context.terminal.result(&diagnosed, human(&diagnosed));
    Ok(())
}

fn no_file(path: &Path) -> Usage {
    Usage { message: format!("{} names no file", path.display()), hint: Some("such as -o diagnosis.tar.gz".to_owned()) }
}

fn gather<W: Write>(
    context: &Context<'_>,
    arguments: &Arguments,
    out: W,
    output: &Path,
) -> Result<(W, Summary), Failure> {
    let (site, config) = (Site::open(context.store.clone()), context.config());
    let status = match &site {
        Ok(site) => status::look(context, site).map_err(|failure| failure.to_string()),
        Err(error) => Err(error.to_string()),
    };
    let status = status.and_then(|status| serde_json::to_value(&status).map_err(|error| error.to_string()));
    let report = doctor::report(context, arguments.kubeconfig.as_deref())?;
    let doctor = serde_json::to_value(&report).unwrap_or_default();
    let (site, config) = (site.as_ref().ok(), config.as_ref().ok());
    let unsaid = SiteConfig::default();
    let lookup = lookup(context, arguments.kubeconfig.as_deref(), config.unwrap_or(&unsaid));
    let asked = Asked { store: &context.store, site, config, lookup: &lookup, status, doctor };
    runtime::block_on(async {
        let written = collect(&asked, out).await;
        written.map_err(|source| DurableError::io(Step::Write, output, source).into())
    })
}

fn human(diagnosed: &Diagnosed) -> String {
    let Diagnosed { file, bytes, encrypted_to, summary } = diagnosed;
    let how = encrypted_to
        .as_ref()
        .map_or("NOT encrypted: read it before you send it".to_owned(), |to| format!("encrypted to {to}"));
    let mut text = format!("{} ({}), {} files, {how}", file.display(), consign_terminal::bytes(*bytes), summary.files);
    for missing in &summary.missing {
        text += &format!("\nnot in it  {missing}");
    }
    text
}
