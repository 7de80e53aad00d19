//! `consign keys`.

use clap::Subcommand;
use consign_format::Digest;
use consign_format::error::Failure;
use consign_format::trust::fingerprint;
use consign_format::trust::keys::Progress;

use super::World;
use crate::development::Made;
use crate::root_files::RootStatus;

mod new;
mod rotate;
mod show;
mod sign_root;

/// Makes and shows keys and roots, and changes who has a say.
///
/// A root says which keys sign in which role: `root` signs roots, an `approver` says what a release is, the `publisher`
/// says how it is carried, a `scanner` attests that a bundle was scanned for malware.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    New(Box<new::Args>),
    Show(Box<show::Args>),
    Rotate(Box<rotate::Args>),
    SignRoot(Box<sign_root::Args>),
}

pub(super) fn run(args: &Args, world: &World<'_>) -> Result<(), Failure> {
    match &args.verb {
        Verb::New(args) => new::run(args, world),
        Verb::Show(args) => show::run(args, world),
        Verb::Rotate(args) => rotate::run(args, world),
        Verb::SignRoot(args) => sign_root::run(args, world),
    }
}

/// What is said of a new root.
pub(super) fn made_text(made: &Made) -> String {
    format!(
        "made {} and {}\n  domain       {}\n{}\nA site enrols the root by this fingerprint, which travels by another \
         path than the bundle.",
        made.root,
        made.key,
        made.domain,
        fingerprint_text(&made.fingerprint)
    )
}

/// A fingerprint as people compare it: groups of eight digits, and twelve words.
pub(super) fn fingerprint_text(digest: &Digest) -> String {
    format!("  fingerprint  {}\n  in words     {}", groups(digest), fingerprint::words(digest))
}

fn groups(digest: &Digest) -> String {
    let hex = digest.hex();
    hex.as_bytes().chunks(8).map(|group| String::from_utf8_lossy(group).into_owned()).collect::<Vec<_>>().join(" ")
}

/// A draft, who has signed it, and what comes next.
fn status_text(status: &RootStatus) -> String {
    let mut lines = vec![format!("{}  root {}", status.path.display(), status.version)];
    lines.extend(status.old.iter().map(|old| format!("  by root {}    {}", status.version - 1, count(old))));
    lines.push(format!("  by its own   {}", count(&status.own)));
    match &status.fingerprint {
        Some(digest) if status.version == 1 => {
            lines.push("  published: from now on it is frozen".to_owned());
            lines.push(fingerprint_text(digest));
        }
        Some(_) => lines
            .push("  published: every bundle from now on carries it; `consign carry` makes one of it alone".to_owned()),
        None => lines.push(format!(
            "  next: `consign keys sign-root {}` by {}",
            status.path.display(),
            waiting(status).join(" or ")
        )),
    }
    lines.join("\n")
}

/// Such as `1 of 2 signatures`.
pub(super) fn count(progress: &Progress) -> String {
    format!("{} of {} signatures", progress.signed.len(), progress.need)
}

fn waiting(status: &RootStatus) -> Vec<String> {
    let open = status.old.iter().chain([&status.own]).filter(|progress| !progress.is_complete());
    let mut keys: Vec<String> = open.flat_map(|progress| progress.waiting.iter().map(|id| short(id))).collect();
    keys.sort();
    keys.dedup();
    keys
}

/// The beginning of a key's id: enough to tell keys apart.
pub(super) fn short(id: &str) -> String {
    id.chars().take(12).collect()
}
