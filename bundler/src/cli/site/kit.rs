//! `consign site kit`.

use std::path::PathBuf;

use consign_format::error::{Failure, codes};
use consign_format::trust::keys::Signer;
use serde::Serialize;

use crate::cli::signing::KeyArgs;
use crate::cli::statement::RootsArgs;
use crate::cli::{IoError, World};
use crate::development;
use crate::site_kit::{self, Depot, Prepared};

/// Prepares a folder for each site of a list, from which the site is enrolled by one command and twelve words.
///
/// The list has one site a line: SITE,ENVIRONMENTS,LABELS, several separated by blanks. A folder holds the newest root,
/// the site's key and its signed record; it is as secret as the key. The letter beside it has the root's fingerprint and
/// must travel by another path. With --keys-on-first-boot the site makes its own key and sends an enrol-request instead.
///
/// Preparing again keeps what is there: keys stay, and a record is written anew, with the next serial, only where the list
/// says something else.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The list of sites
    #[arg(value_name = "LIST")]
    list: PathBuf,
    /// The folder that gets one folder and one letter a site
    #[arg(long, short, value_name = "DIR")]
    output: PathBuf,
    /// Make no keys here
    #[arg(long)]
    keys_on_first_boot: bool,
    #[command(flatten)]
    roots: RootsArgs,
    #[command(flatten)]
    keys: KeyArgs,
}

#[derive(Serialize)]
struct Done {
    kits: Vec<Prepared>,
}

pub(super) fn run(args: &Args, world: &World<'_>) -> Result<(), Failure> {
    let chain = args.roots.read()?;
    let unreadable = |source| IoError::new(codes::IO, format!("{} cannot be read", args.list.display()), source);
    let text = std::fs::read_to_string(&args.list).map_err(unreadable)?;
    let entries = site_kit::parse(&args.list, &text)?;
    let signers = match args.keys_on_first_boot {
        true => Vec::new(),
        false => args.roots.signers(&args.keys, world)?,
    };
    let signers: Vec<&dyn Signer> = signers.iter().map(AsRef::as_ref).collect();
    consign_registry::durable::create_dir(&args.output, 0o700)?;
    let seed = || Ok(development::seed()?);
    let depot = Depot { chain: &chain, signers: &signers, output: &args.output, now: world.now, seed: &seed };
    let kits = entries.iter().map(|entry| depot.prepare(entry)).collect::<Result<Vec<_>, _>>()?;
    let text = said(&kits, &args.output);
    world.terminal.result(&Done { kits }, text);
    Ok(())
}

fn said(kits: &[Prepared], output: &std::path::Path) -> String {
    let written = kits.iter().filter(|kit| kit.changed).count();
    let mut text = format!("{} kits in {}, {written} of them written now", kits.len(), output.display());
    let unsigned = kits.iter().filter(|kit| kit.unsigned).count();
    if unsigned > 0 {
        text.push_str(&format!(
            "\n{unsigned} site records need more signatures: consign approve adds them; until then no site takes its kit"
        ));
    }
    text.push_str(
        "\nEach SITE.letter.txt has the root's fingerprint and travels by another path than the folder SITE.",
    );
    text
}
