//! `consign secret`.

use std::path::PathBuf;

use consign_format::Name;
use consign_format::error::{Failure, codes};
use consign_format::trust::keys::{self, Signer};
use consign_format::trust::statement::SiteRecord;

use super::statement::StatementArgs;
use super::{IoError, World};
use crate::site_secrets;
use crate::statements::file_name;

/// Encrypts Secrets to one site, so that nobody else can read them, and signs them as a statement.
///
/// A release says which Secrets it wants this way: `secrets: [{name: db, mode: per-site}]`. The site takes the statement
/// with the highest serial, as a whole, so give all its Secrets each time. `consign carry` puts the statement into a
/// bundle; where several approvers must sign, the others add their signatures with `consign approve`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Manifests of kind Secret, with their values
    #[arg(value_name = "FILES", required = true)]
    files: Vec<PathBuf>,
    /// The site's record, signed by the approvers
    #[arg(long, value_name = "RECORD")]
    to: PathBuf,
    /// The namespace of Secrets that name none
    #[arg(long, short, value_name = "NAME")]
    namespace: Option<String>,
    /// A number above that of the site's last statement; without it the seconds since 1970
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..(1 << 53)))]
    serial: Option<u64>,
    #[command(flatten)]
    signed: StatementArgs,
}

#[derive(serde::Serialize)]
#[serde(rename_all = "camelCase")]
struct Done {
    path: PathBuf,
    site: Name,
    serial: u64,
    secrets: Vec<String>,
}

pub(super) fn run(args: &Args, world: &World<'_>) -> Result<(), Failure> {
    let roots = args.signed.roots().read()?;
    let signers = args.signed.signers(world)?;
    let signers: Vec<&dyn Signer> = signers.iter().map(AsRef::as_ref).collect();
    let read = |path: &PathBuf| {
        let failed = |source| IoError::new(codes::IO, format!("{} cannot be read", path.display()), source);
        std::fs::read(path).map_err(failed)
    };
    let record: SiteRecord = roots.statement(&args.to.display().to_string(), &read(&args.to)?)?;
    let mut secrets = Vec::new();
    for path in &args.files {
        secrets.extend(site_secrets::read(path, &read(path)?, args.namespace.as_deref())?);
    }
    let statement = site_secrets::statement(&record, &args.to, secrets, args.serial.unwrap_or(world.now))?;
    let bytes = keys::sign(&statement, &signers)?;
    let path = args.signed.write(file_name(&statement.kind, &bytes), &bytes)?;
    let secrets: Vec<String> =
        statement.secrets.iter().map(|secret| format!("{}/{}", secret.namespace, secret.name)).collect();
    let text = format!(
        "{}\n  for site {}, serial {}: {}",
        path.display(),
        statement.site,
        statement.serial,
        secrets.join(", ")
    );
    world.terminal.result(&Done { path, site: statement.site, serial: statement.serial, secrets }, text);
    Ok(())
}
