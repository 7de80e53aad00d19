//! `consign-site enrol`

use std::path::{Path, PathBuf};

use consign_format::Name;
use consign_format::error::Failure;
use consign_format::trust::fingerprint;
use consign_registry::durable::{DurableError, Step, write_file};
use consign_terminal::Usage;

use super::Context;
use crate::config::{HandoffKind, SiteConfig};
use crate::site::enrol::Kit;
use crate::site::{Enrolled, Enrolment, enrol};

pub(super) mod kit;
mod recover;
pub(super) mod said;

/// The largest root, record or key file that is read.
const LIMIT: u64 = 1 << 20;

/// Enrols this site: takes the root of trust, makes the site's own key, writes an enrol-request.
///
/// The fingerprint must come by another path than the file, on paper or by telephone: whoever could exchange the file
/// could exchange a fingerprint beside it. Without one, a person at a terminal is asked to type it; nobody is ever asked
/// to say yes. Later roots come with the bundles and must be signed by the earlier ones; a root is never replaced by
/// enrolling again. A further root of another domain is added with the same --site.
///
/// The enrol-request goes back with the courier, and its fingerprint by telephone: headquarters makes the site record of
/// it (consign site record), which names the environments and labels that bundles are addressed to.
///
/// A site whose state is damaged refuses everything (exit code 17). --recover takes the state back from the signed copy
/// in the cluster; where there is none, headquarters gives the root, the lowest sequences and the hash of the last
/// receipt. --replace is the same for a new disk, or another machine in the place of this one.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The root of trust, such as `1.root.json`.
    #[arg(long, value_name = "FILE", required_unless_present_any = ["kit", "recover"])]
    root: Option<PathBuf>,
    #[command(flatten)]
    fingerprint: said::FingerprintArguments,
    /// The name of this site, as bundles address it.
    #[arg(long, value_name = "NAME", required_unless_present_any = ["kit", "recover"])]
    site: Option<Name>,
    /// Everything from a folder that headquarters has prepared for this site: consign site kit.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["root", "site", "production", "recover"])]
    kit: Option<PathBuf>,
    /// Refuse development roots, now and later.
    #[arg(long)]
    production: bool,
    /// Write the enrol-request here as well, such as onto the medium that goes back.
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Get the state of a damaged site back.
    #[arg(long, conflicts_with = "replace")]
    recover: bool,
    /// Enrol a new disk, or another machine, in the place of a site that was there.
    #[arg(long)]
    replace: bool,
    #[command(flatten)]
    after: said::AfterArguments,
    /// Who brings the desired state into the cluster; written to site.toml.
    #[arg(long, value_enum, default_value_t = HandoffKind::Direct)]
    handoff: HandoffKind,
    /// The kubeconfig for the handoff `direct`; written to site.toml.
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
}

pub(super) fn run(context: &Context<'_>, arguments: Arguments) -> Result<(), Failure> {
    if arguments.recover {
        return recover::run(context, &arguments);
    }
    let Wanted { root, site, production, kit } = wanted(&arguments)?;
    let after = arguments.after.said(arguments.replace, false)?;
    let fingerprint = arguments.fingerprint.get(context)?;
    let now = context.machine.clocks.now();
    let random = &context.machine.random;
    let fingerprint = Some(fingerprint);
    let replace = arguments.replace;
    let enrolment = Enrolment { root: &root, fingerprint, site, production, replace, after, kit, now, random };
    let enrolled = enrol(&context.store, &enrolment)?;
    let config =
        SiteConfig { handoff: arguments.handoff, kubeconfig: arguments.kubeconfig.clone(), ..SiteConfig::default() };
    let config_file = context.store.config_file();
    if !config.write_new(&config_file)? {
        context.terminal.warn(format!("{} is there already and was left as it is", config_file.display()));
    }
    if let Some(output) = &arguments.output {
        write_file(output, &read(&enrolled.request)?, 0o644)?;
    }
    if enrolled.development {
        context.terminal.warn("this is a development root: one key in every role; for production use another");
    }
    context.terminal.result(&enrolled, human(&enrolled, arguments.output.as_deref()));
    Ok(())
}

/// What is enrolled, from options or from a kit.
pub(super) struct Wanted {
    pub(super) root: Vec<u8>,
    pub(super) site: Name,
    pub(super) production: bool,
    pub(super) kit: Option<Kit>,
}

fn wanted(arguments: &Arguments) -> Result<Wanted, Failure> {
    if let Some(folder) = &arguments.kit {
        return kit::read_folder(folder);
    }
    let missing = || Usage { message: "name the root and the site".to_owned(), hint: None };
    let root = read(arguments.root.as_deref().ok_or_else(missing)?)?;
    let site = arguments.site.clone().ok_or_else(missing)?;
    Ok(Wanted { root, site, production: arguments.production, kit: None })
}

fn human(enrolled: &Enrolled, output: Option<&Path>) -> String {
    let mut text = format!(
        "site {} is enrolled in domain {}\nroot fingerprint  {}\nreceipt key       {}\nage recipient     {}\nenrolment         {}",
        enrolled.site,
        enrolled.domain,
        enrolled.fingerprint.hex(),
        enrolled.public_key.0,
        enrolled.recipient.as_deref().unwrap_or("none"),
        enrolled.enrolment
    );
    match enrolled.record {
        Some(serial) => text.push_str(&format!("\nsite record       {serial}")),
        None => text.push_str(&format!(
            "\nenrol-request     {}\n\nBring the enrol-request to headquarters and read these words out by telephone:\n  {}",
            output.unwrap_or(&enrolled.request).display(),
            fingerprint::words(&enrolled.request_fingerprint)
        )),
    }
    text
}

/// Reads a small file that somebody brought.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    use std::io::Read;
    let unreadable = |source| DurableError::io(Step::Read, path, source);
    let file = std::fs::File::open(path).map_err(unreadable)?;
    let mut bytes = Vec::new();
    file.take(LIMIT).read_to_end(&mut bytes).map_err(unreadable)?;
    Ok(bytes)
}
