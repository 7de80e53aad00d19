//! `consign keys sign-root`.

use std::path::{Path, PathBuf};

use consign_format::error::Failure;
use consign_terminal::Usage;

use super::super::World;
use super::super::signing::KeyArgs;
use super::status_text;
use crate::root_files;

/// Add a signature to a root that is on its way
///
/// The draft travels among those who sign roots, the ones of the root before it and its own; each adds a signature. When
/// both thresholds hold it is published as N.root.json in the folder of the roots, and frozen.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The draft, N.root.draft.json
    #[arg(value_name = "FILE")]
    draft: PathBuf,
    /// The folder of the roots before it; without it the draft's own folder
    #[arg(long, value_name = "DIR")]
    trust: Option<PathBuf>,
    #[command(flatten)]
    keys: KeyArgs,
}

pub(super) fn run(args: &Args, world: &World<'_>) -> Result<(), Failure> {
    let beside = args.draft.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let trust = args.trust.as_deref().unwrap_or(beside);
    let signers = args.keys.open(world, None)?;
    if signers.is_empty() {
        let hint = Some("name it with --key".to_owned());
        return Err(Usage { message: "no key was named to sign with".to_owned(), hint }.into());
    }
    let status = root_files::add(&args.draft, trust, &signers)?;
    world.terminal.result(&status, status_text(&status));
    Ok(())
}
