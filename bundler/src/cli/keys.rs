//! `consign keys`.

use std::path::{Path, PathBuf};

use clap::Subcommand;
use consign_format::error::Failure;
use consign_format::trust::keys::Signer;
use consign_format::trust::roots::RootChain;
use consign_format::{Digest, Name};
use serde::Serialize;

use super::World;
use super::verify::RootShown;
use crate::development::{self, Made};
use crate::sign;

/// Makes or shows keys and roots.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Make a development root and its key, as `consign init` does
    ///
    /// One key in every role, marked as development: sites set up for production refuse it.
    New {
        /// The folder
        #[arg(long, default_value = sign::TRUST_FOLDER, value_name = "DIR")]
        trust: PathBuf,
        /// The domain: one root of trust, such as a team or a customer
        #[arg(long, value_name = "NAME")]
        domain: Name,
    },
    /// Show the roots of a folder, their fingerprint, and what a key may do
    Show {
        /// The folder
        #[arg(long, default_value = sign::TRUST_FOLDER, value_name = "DIR")]
        trust: PathBuf,
        /// The key; without it trust/dev.key, if it is there
        #[arg(long, env = "CONSIGN_KEY_FILE", value_name = "FILE")]
        key: Option<PathBuf>,
    },
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown {
    root: RootShown,
    keys: Vec<String>,
    public_key: Option<String>,
    has_say: Option<bool>,
}

pub(super) fn run(args: &Args, world: &World<'_>) -> Result<(), Failure> {
    match &args.verb {
        Verb::New { trust, domain } => {
            let made = development::make(trust, domain, world.now, &development::seed()?)?;
            world.terminal.result(&made, made_text(&made));
            Ok(())
        }
        Verb::Show { trust, key } => show(trust, key.as_deref(), world),
    }
}

/// What is said of a new root.
pub(super) fn made_text(made: &Made) -> String {
    format!(
        "made {} and {}\n  domain       {}\n  fingerprint  {}\nA site enrols the root by this fingerprint, which \
         travels by another path than the bundle.",
        made.root,
        made.key,
        made.domain,
        fingerprint(&made.fingerprint)
    )
}

/// A fingerprint as people compare it: groups of eight digits.
pub(super) fn fingerprint(digest: &Digest) -> String {
    let hex = digest.hex();
    hex.as_bytes().chunks(8).map(|group| String::from_utf8_lossy(group).into_owned()).collect::<Vec<_>>().join(" ")
}

fn show(trust: &Path, key: Option<&Path>, world: &World<'_>) -> Result<(), Failure> {
    let roots = sign::read_roots(trust)?;
    let beside = trust.join(sign::DEVELOPMENT_KEY);
    let path = key.map(Path::to_owned).or_else(|| beside.is_file().then_some(beside));
    let key = path.map(|path| sign::read_key(&path)).transpose()?;
    if let Some(warning) = key.as_ref().and_then(|key| key.warning.as_ref()) {
        world.terminal.warn(warning);
    }
    let first = Digest::of(&roots.files()[0]);
    let has_say = key.as_ref().map(|file| sign::check_say(&roots, &file.key).is_ok());
    let shown = Shown {
        root: RootShown::of(roots.root(), first),
        keys: roots.root().keys.keys().cloned().collect(),
        public_key: key.as_ref().map(|file| hex(&file.key.public())),
        has_say,
    };
    world.terminal.result(&shown, shown_text(&shown, &roots));
    Ok(())
}

fn shown_text(shown: &Shown, roots: &RootChain) -> String {
    let mut text = format!("{}\n  fingerprint  {}", shown.root.text(), fingerprint(&Digest::of(&roots.files()[0])));
    for key in &shown.keys {
        text.push_str(&format!("\n  key          {key}"));
    }
    match (&shown.public_key, shown.has_say) {
        (Some(public), Some(true)) => text.push_str(&format!("\n  yours        {public}, can sign alone")),
        (Some(public), _) => text.push_str(&format!("\n  yours        {public}, cannot sign alone")),
        (None, _) => {}
    }
    text
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
