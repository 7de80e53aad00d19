//! `consign build`.

use std::path::{Path, PathBuf};

use consign_format::error::Failure;
use consign_terminal::bytes;
use serde::Serialize;

use super::{Project, World};
use crate::build_bundle::{BuildRequest, Built, build_bundle};
use crate::lock::LockError;
use crate::plan::Summary;
use crate::sign::{self, KeyFile};

/// Builds PRODUCT-VERSION.consign: renders the commit, pins every image to its locked digest, fetches each layer once,
/// straight into its place in the bundle, and signs.
///
/// Where there is no release.lock yet, one is written first; where there is one, exactly what it says is built, on any
/// machine, byte for byte. If the repository or release.yaml has moved on since, the build stops and names the
/// object and the field.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The release
    #[arg(long, short, default_value = "release.yaml", value_name = "FILE")]
    file: PathBuf,
    /// Fail where there is no lock. For CI
    #[arg(long)]
    locked: bool,
    /// The folder the bundle is written into
    #[arg(long, short, default_value = ".", value_name = "DIR")]
    output: PathBuf,
    /// The signing key (PKCS#8 PEM, Ed25519); without it trust/dev.key beside the release
    #[arg(long, env = "CONSIGN_KEY_FILE", value_name = "FILE")]
    key: Option<PathBuf>,
    /// The folder of the roots that travel; without it trust/ beside the release
    #[arg(long, value_name = "DIR")]
    trust: Option<PathBuf>,
    /// Show the plan and stop: nothing is fetched but manifests, nothing is written
    #[arg(long)]
    dry_run: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Done<'a> {
    plan: &'a Summary,
    bundle: Option<Bundle>,
    lock: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Bundle {
    path: String,
    bundle_id: String,
    bytes: u64,
    spooled: u64,
}

pub(super) async fn run(args: &Args, world: &World<'_>) -> Result<(), Failure> {
    let project = Project::open(&args.file)?;
    let trust = args.trust.clone().unwrap_or_else(|| project.base.join(sign::TRUST_FOLDER));
    let roots = sign::read_roots(&trust)?;
    let key = args.key.clone().unwrap_or_else(|| trust.join(sign::DEVELOPMENT_KEY));
    let KeyFile { key, warning } = sign::read_key(&key)?;
    warning.iter().for_each(|warning| world.terminal.warn(warning));
    let lock = project.lock()?;
    let is_new = lock.is_none();
    if args.locked && is_new {
        return Err(LockError::Missing { path: project.lock_path().display().to_string() }.into());
    }
    let request = BuildRequest {
        config: &project.config,
        base: &project.base,
        lock,
        now: world.now,
        environment: &world.environment,
        images: project.images(world)?,
        roots: &roots,
        signer: &key,
        output: &args.output,
        lock_path: is_new.then(|| project.lock_path()),
        dry_run: args.dry_run,
        progress: world.terminal.progress(),
    };
    let built = build_bundle(request).await?;
    built.warnings.iter().for_each(|warning| world.terminal.warn(warning));
    say(&built, is_new, &project.lock_path(), world);
    Ok(())
}

fn say(built: &Built, is_new: bool, lock: &Path, world: &World<'_>) {
    let Summary { objects, images, files, blobs, payload, fetch, release, commit, .. } = &built.summary;
    let mut lines = Vec::new();
    match &built.bundle {
        Some(bundle) => lines.push(format!("{}  {}", super::plain(&bundle.path).display(), bytes(bundle.length))),
        None => lines.push(format!("would fetch {}, and write:", bytes(*fetch))),
    }
    lines.push(format!("  commit   {commit}"));
    lines.push(format!("  release  {release}"));
    lines.push(format!("  holds    {objects} objects, {} images, {} files", images.len(), files.len()));
    lines.push(format!("           {blobs} blobs, {}", bytes(*payload)));
    if built.bundle.is_none() {
        lines.extend(images.iter().map(|image| format!("  image    {image}")));
        lines.extend(files.iter().map(|file| format!("  file     {file}")));
    } else if is_new {
        lines.push(format!("  lock     {} (new; commit it)", lock.display()));
    }
    let bundle = built.bundle.as_ref().map(|bundle| Bundle {
        path: super::plain(&bundle.path).display().to_string(),
        bundle_id: bundle.bundle_id.to_string(),
        bytes: bundle.length,
        spooled: built.spooled,
    });
    let done = Done { plan: &built.summary, bundle, lock: lock.display().to_string() };
    world.terminal.result(&done, lines.join("\n"));
}
