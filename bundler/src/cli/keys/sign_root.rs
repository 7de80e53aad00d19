//! `consign keys sign-root`.

use std::path::{Path, PathBuf};

use consign_format::error::Failure;
use consign_format::trust::fingerprint;
use serde::Serialize;

use super::super::World;
use super::super::one_line::one_line;
use super::super::signing::KeyArgs;
use super::status_text;
use crate::root_changes::RootChanges;
use crate::root_files::{Draft, RootStatus};

/// Add a signature to a root that is on its way
///
/// The draft travels among those who sign roots, the ones of the root before it and its own; each adds a signature. When
/// both thresholds hold it is published as N.root.json in the folder of the roots, and frozen. What the draft changes is
/// shown first; without --key that is all.
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

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Done {
    #[serde(flatten)]
    status: RootStatus,
    changes: RootChanges,
}

pub(super) fn run(args: &Args, world: &World<'_>) -> Result<(), Failure> {
    let beside = args.draft.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let draft = Draft::open(&args.draft, args.trust.as_deref().unwrap_or(beside))?;
    let changes = draft.changes();
    let shown = shown(&draft, &changes);
    if !args.keys.are_given() {
        let status = draft.status();
        let text = format!("{shown}\n{}", status_text(&status));
        world.terminal.result(&Done { status, changes }, text);
        return Ok(());
    }
    // A key is opened, and a passphrase asked for, only by who could read what it is to sign.
    world.terminal.say(shown);
    let signers = args.keys.open(world, None)?;
    let status = draft.sign(&signers)?;
    let text = status_text(&status);
    world.terminal.result(&Done { status, changes }, text);
    Ok(())
}

fn shown(draft: &Draft, changes: &RootChanges) -> String {
    let mut lines = vec![match (changes.after, draft.against()) {
        (Some(version), Some(fingerprint)) => format!(
            "what it changes against root {version} of domain {}, whose first root is {}:",
            changes.domain,
            fingerprint::words(&fingerprint)
        ),
        _ => format!("what it says, as the first root of domain {}:", changes.domain),
    }];
    let said = changes.lines();
    if said.is_empty() {
        lines.push("  nothing but its version".to_owned());
    }
    lines.extend(said.iter().map(|line| format!("  {}", one_line(line))));
    lines.join("\n")
}
