//! `consign-site verify`

use std::path::PathBuf;

use consign_format::error::Failure;

use super::Context;
use crate::admit::Ask;
use crate::site::Site;
use crate::verify_bundle::{Checked, Verified, verify_bundle};

/// Reads a bundle from end to end and says whether this site would take it. Changes nothing.
///
/// Checks what `install` checks: signatures against the enrolled root, every byte against the signed digests, the
/// exact end of the file, sequence, audience, requirements. Not whether the cluster would take it.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The bundle, any one of its volumes, or a folder that holds exactly one bundle.
    path: PathBuf,
    /// Refuse what has expired instead of warning; for sites with a clock they trust.
    #[arg(long)]
    enforce_expiry: bool,
}

pub(super) fn run(context: &Context<'_>, arguments: &Arguments) -> Result<(), Failure> {
    let require_scan = context.config()?.require_scan;
    let site = Site::open(context.store.clone())?;
    let ask = Ask { enforce_expiry: arguments.enforce_expiry, require_scan, ..Ask::default() };
    let progress = context.terminal.progress();
    match verify_bundle(&site, &arguments.path, ask, &context.machine.clocks, progress)? {
        Checked::Release(verified) => tell(context, &verified),
        metadata @ Checked::Metadata { .. } => tell_metadata(context, &metadata),
    }
    Ok(())
}

fn tell_metadata(context: &Context<'_>, checked: &Checked) {
    let Checked::Metadata { domain, root, statements, warnings } = checked else { return };
    warnings.iter().for_each(|warning| context.terminal.warn(warning));
    let human = format!("metadata of domain {domain} alone: root {root}, {statements} statements");
    context.terminal.result(checked, human);
}

fn tell(context: &Context<'_>, verified: &Verified) {
    verified.warnings.iter().for_each(|warning| context.terminal.warn(warning));
    let seen = if verified.again { ", verified here before" } else { "" };
    let human = format!(
        "{} {} is what was signed for domain {}\nsequence  {}{seen}\nrelease   {}\ncarries   {} images, {} in {} members",
        verified.product,
        verified.version,
        verified.domain,
        verified.sequence,
        verified.release,
        verified.images,
        consign_terminal::bytes(verified.bytes),
        verified.members,
    );
    context.terminal.result(verified, human);
}
