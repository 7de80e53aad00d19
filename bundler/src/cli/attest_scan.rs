//! `consign attest-scan`.

use std::path::{Path, PathBuf};

use consign_format::error::Failure;
use consign_terminal::Usage;

use super::World;
use super::identity::IdentityArgs;
use super::signing::KeyArgs;
use super::trust::TrustArgs;
use crate::attest::{Said, attest};
use crate::{bundle, sign};

/// Says of a bundle that it was scanned for malware and found clean: writes FILE.scan.json beside it, signed by the role
/// `scan` of the root. The bundle itself does not change.
///
/// Where the root demands several signatures, each scanner runs this with the same report; signatures add up. A site
/// whose site.toml says `require-scan = true` takes no bundle without it.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The bundle
    #[arg(value_name = "FILE")]
    bundle: PathBuf,
    /// The scanner's report; its digest is attested, it stays with you
    #[arg(long, value_name = "FILE")]
    report: PathBuf,
    /// What scanned, such as "clamav 1.4.6, signatures of 2026-11-22"
    #[arg(long, value_name = "NAME", default_value = "unnamed")]
    scanner: String,
    /// The folder that was scanned: it must have been laid out from this very bundle, completely
    #[arg(long, value_name = "DIR")]
    unpacked: Option<PathBuf>,
    #[command(flatten)]
    trust: TrustArgs,
    #[command(flatten)]
    keys: KeyArgs,
    #[command(flatten)]
    identity: IdentityArgs,
}

pub(super) fn run(args: &Args, world: &World<'_>) -> Result<(), Failure> {
    let beside = Path::new(sign::TRUST_FOLDER).join(sign::DEVELOPMENT_KEY);
    let signers = args.keys.open(world, Some(&beside))?;
    let (report, unpacked) = (args.report.as_path(), args.unpacked.as_deref());
    let (trust, identity) = (args.trust.trust()?, args.identity.key()?);
    let open = bundle::open_as(&args.bundle, &trust, identity.as_ref(), world.terminal.progress())?;
    let said = Said { report, scanner: &args.scanner, unpacked, now: world.now };
    let mut attested = None;
    for signer in &signers {
        attested = Some(attest(&args.bundle, &open.roots, &open.verified.vouched, &said, signer.as_ref())?);
    }
    let nobody = || Usage { message: "no key was named".to_owned(), hint: Some("name it with --key".to_owned()) };
    let attested = attested.ok_or_else(nobody)?;
    let missing = attested.threshold.saturating_sub(attested.signatures);
    let enough = if missing == 0 { String::new() } else { format!(", {missing} more needed") };
    let text = format!(
        "wrote {}\n  bundle      {}\n  report      {}\n  signatures  {} of {}{enough}",
        attested.path, attested.bundle, attested.report, attested.signatures, attested.threshold
    );
    world.terminal.result(&attested, text);
    Ok(())
}
