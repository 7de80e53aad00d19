//! `consign-site nodes check`

use std::fmt::Write as _;

use consign_format::Reference;
use consign_format::error::Failure;
use serde::Serialize;

use super::{Context, Registry, Which};
use crate::cli::runtime;
use crate::nodes::check::{Proof, Verdict, check, verdict};
use crate::nodes::{NodesError, Place, store_images};

/// Proves that this node gets its images from the site's registry.
///
/// Holds the files against what `write` would write, asks each server by itself, then lets the runtime pull a small
/// image of the current release, by tag and by digest, in a place where every upstream name leads into a trap. What
/// could not be proven here is said, and is no success.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    registry: Registry,
    /// The image to pull, as manifests name it; with a digest it must be that one. Without it, the smallest image of
    /// the current release.
    #[arg(long, value_name = "IMAGE")]
    image: Option<String>,
}

/// The document of `nodes check --json`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Checked {
    #[serde(skip_serializing_if = "Option::is_none")]
    canary: Option<String>,
    failed: usize,
    not_proven: usize,
    checks: Vec<Proof>,
}

pub(super) fn run(context: &Context<'_>, arguments: &Arguments) -> Result<(), Failure> {
    let place = Place::at(context.store.root())?;
    let (setup, _) = arguments.registry.setup(context, &place)?;
    let runtimes = arguments.which.find(&place)?;
    let canary = match &arguments.image {
        Some(text) => Some(text.parse::<Reference>().map_err(NodesError::from)?),
        None => store_images::canary(&context.store)?,
    };
    let checks = runtime::block_on(async { Ok(check(&place, &setup, &runtimes, canary.as_ref()).await?) })?;
    let count = |wanted: Verdict| checks.iter().filter(|proof| proof.verdict == wanted).count();
    let (failed, not_proven) = (count(Verdict::Failed), count(Verdict::NotProven));
    let ended = verdict(&checks);
    let checked = Checked { canary: canary.map(|canary| canary.to_string()), failed, not_proven, checks };
    context.terminal.verdict(&checked, human(&checked));
    Ok(ended?)
}

fn human(checked: &Checked) -> String {
    let mut text = format!("canary      {}", checked.canary.as_deref().unwrap_or("none"));
    for proof in &checked.checks {
        let word = match proof.verdict {
            Verdict::Proven => "proven",
            Verdict::Failed => "FAILED",
            Verdict::NotProven => "not proven",
        };
        let about = proof.runtime.map(|runtime| format!("{runtime}: ")).unwrap_or_default();
        let _ = write!(text, "\n{word:<10}  {about}{}", proof.what);
        if let Some(seen) = &proof.seen {
            let _ = write!(text, "\n            {seen}");
        }
        if let Some(fix) = &proof.fix {
            let _ = write!(text, "\n            to do: {}", fix.replace('\n', "\n            "));
        }
    }
    text
}
