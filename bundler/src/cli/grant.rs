//! `consign grant`.

use std::path::PathBuf;

use consign_format::Name;
use consign_format::error::Failure;
use consign_format::trust::keys::{self, Signer};

use super::World;
use super::statement::StatementArgs;
use crate::bundle::{self, Trust};
use crate::statements::{self, Leave, file_name};

/// Gives one site leave to go back to an older release, which it would refuse otherwise.
///
/// The grant names the site, the sequence it has now and the one release it may go back to; it is no use for anything
/// else. `consign carry` puts it into a bundle; the older release comes in its own. Where several approvers must sign,
/// the others add their signatures with `consign approve`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The bundle of the release to go back to
    #[arg(value_name = "BUNDLE")]
    to: PathBuf,
    /// The site
    #[arg(long, value_name = "NAME")]
    site: Name,
    /// The sequence that is installed there now
    #[arg(long, value_name = "SEQUENCE")]
    from: u64,
    /// For how many days
    #[arg(long, default_value_t = 14, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=366))]
    days: u16,
    #[command(flatten)]
    signed: StatementArgs,
}

#[derive(serde::Serialize)]
#[serde(rename_all = "camelCase")]
struct Done {
    path: PathBuf,
    site: Name,
    product: Name,
    from: u64,
    to: u64,
    expires: String,
}

pub(super) fn run(args: &Args, world: &World<'_>) -> Result<(), Failure> {
    let roots = args.signed.roots().read()?;
    let signers = args.signed.signers(world)?;
    let signers: Vec<&dyn Signer> = signers.iter().map(AsRef::as_ref).collect();
    let silent = consign_terminal::Silent;
    let to = bundle::open(&args.to, &Trust::Chain(Box::new(roots.clone())), &silent)?.verified.vouched;
    if args.from <= to.approval.sequence {
        return Err(consign_terminal::Usage {
            message: format!("sequence {} is not above {}, that of the bundle", args.from, to.approval.sequence),
            hint: Some("name the sequence that the site has now: `consign-site status` shows it".to_owned()),
        }
        .into());
    }
    let until = world.now.saturating_add(u64::from(args.days) * 24 * 3600);
    let grant = statements::grant(roots.domain(), &to, &Leave { site: args.site.clone(), from: args.from, until })?;
    let bytes = keys::sign(&grant, &signers)?;
    let path = args.signed.write(file_name(&grant.kind, &bytes), &bytes)?;
    let text = format!(
        "{}\n  site {} may go back from sequence {} of {} to {}, until {}",
        path.display(),
        grant.site,
        grant.from,
        grant.product,
        grant.to,
        grant.expires
    );
    let (site, product, expires) = (grant.site, grant.product, grant.expires);
    world.terminal.result(&Done { path, site, product, from: grant.from, to: grant.to, expires }, text);
    Ok(())
}
