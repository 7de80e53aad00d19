//! `consign build`.

use std::path::{Path, PathBuf};

use consign_format::error::Failure;
use consign_terminal::bytes;
use serde::Serialize;

use super::signing::KeyArgs;
use super::{Project, World, keys};
use crate::build_bundle::{BuildRequest, Built, build_bundle};
use crate::lock::LockError;
use crate::plan::Summary;
use crate::sign;

/// Builds PRODUCT-VERSION.consign: renders the commit, pins every image to its locked digest, fetches each layer once,
/// straight into its place in the bundle, and signs.
///
/// Where there is no release.lock yet, one is written first; where there is one, exactly what it says is built, on any
/// machine, byte for byte. If the repository or release.yaml has moved on since, the build stops and names the
/// object and the field.
///
/// The publisher's key must be among the keys; without --key it is trust/dev.key beside the release. Where the root
/// wants more approvers than sign here, the bundle is written and waits for them: `consign approve`.
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
    /// The folder of the roots that travel; without it trust/ beside the release
    #[arg(long, value_name = "DIR")]
    trust: Option<PathBuf>,
    /// Show the plan and stop: nothing is fetched but manifests, nothing is written
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    keys: KeyArgs,
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
    approved: bool,
    approvals: u64,
    approvals_needed: u64,
}

pub(super) async fn run(args: &Args, world: &World<'_>) -> Result<(), Failure> {
    let project = Project::open(&args.file)?;
    let trust = args.trust.clone().unwrap_or_else(|| project.base.join(sign::TRUST_FOLDER));
    let roots = sign::read_roots(&trust)?;
    let signers = args.keys.open(world, Some(&trust.join(sign::DEVELOPMENT_KEY)))?;
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
        signers: &signers,
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
    if let Some(bundle) = built.bundle.as_ref().filter(|bundle| !bundle.approval.is_complete()) {
        lines.push(format!("  approval {}: no site takes it yet", keys::count(&bundle.approval)));
        lines.push(format!(
            "  next: `consign approve --request {} -o request.json`, and send that to the approvers",
            super::plain(&bundle.path).display()
        ));
    }
    let bundle = built.bundle.as_ref().map(|bundle| Bundle {
        path: super::plain(&bundle.path).display().to_string(),
        bundle_id: bundle.bundle_id.to_string(),
        bytes: bundle.length,
        spooled: built.spooled,
        approved: bundle.approval.is_complete(),
        approvals: bundle.approval.signed.len() as u64,
        approvals_needed: bundle.approval.need,
    });
    let done = Done { plan: &built.summary, bundle, lock: lock.display().to_string() };
    world.terminal.result(&done, lines.join("\n"));
}
