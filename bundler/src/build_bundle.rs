//! The main path of the connected side, in order: source, render, resolve, plan, collect, pack, sign.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use consign_format::error::Failure;
use consign_format::trust::keys::Signer;
use consign_format::trust::roots::RootChain;
use consign_registry::ImageSource;
use consign_registry::durable::Folder;
use consign_terminal::progress::Progress;

use crate::config::Config;
use crate::lock::Lock;
use crate::locking::Issue;
use crate::plan::Summary;
use crate::sign::Signed;
use crate::tool::Environment;
use crate::{collect, desired, files, locking, pack, plan, sign};

/// Everything a build takes. What comes from outside (time, environment, keys) comes through here.
pub struct BuildRequest<'a> {
    /// The checked `release.yaml`.
    pub config: &'a Config,
    /// The folder of `release.yaml`.
    pub base: &'a Path,
    /// The lock, if there is one; else one is made of what is there now.
    pub lock: Option<Lock>,
    /// Now, in seconds since 1970: the time of issue where there is no lock yet.
    pub now: u64,
    /// The variables that tools see.
    pub environment: &'a Environment,
    /// Where images are fetched.
    pub images: Arc<dyn ImageSource>,
    /// The roots that travel.
    pub roots: &'a RootChain,
    /// Who signs: the publisher, and as many approvers as are at hand.
    pub signers: &'a [Box<dyn Signer + 'a>],
    /// The folder the bundle is written into.
    pub output: &'a Path,
    /// Where a lock that is made here is kept.
    pub lock_path: Option<PathBuf>,
    /// Stop after the plan.
    pub dry_run: bool,
    /// Where progress is told.
    pub progress: &'a dyn Progress,
}

/// What a build made.
#[derive(Debug)]
pub struct Built {
    /// The lock that was kept or made.
    pub lock: Lock,
    /// What was planned.
    pub summary: Summary,
    /// The bundle; nothing after a dry run.
    pub bundle: Option<Signed>,
    /// Bytes that had to be spooled because they were packed here.
    pub spooled: u64,
    /// What the person who builds should know.
    pub warnings: Vec<String>,
}

/// Builds a bundle.
///
/// # Errors
/// The first stage that fails; no file stays behind.
pub async fn build_bundle(request: BuildRequest<'_>) -> Result<Built, Failure> {
    let BuildRequest { config, base, now, environment, images, roots, output, progress, .. } = request;
    let signers = sign::assign(roots, request.signers)?;
    let mut desired = desired::make(config, base, environment)?;
    let files = files::measure(&config.files, &desired.checkout, base)?;
    let lock = match request.lock {
        Some(lock) => locking::keep(config, &desired, &files, lock)?,
        None => locking::fresh(config, &desired, &files, Issue::after(None, now), &*images, progress).await?,
    };
    let warnings = std::mem::take(&mut desired.warnings);
    let collected = collect::collect(&lock.images, &*images, progress).await?;
    let plan = plan::plan(config, &mut desired, &lock, collected, files)?;
    let summary = plan.summary(&lock);
    if request.dry_run {
        return Ok(Built { lock, summary, bundle: None, spooled: 0, warnings });
    }
    // Before the hours of fetching: what was resolved must be what a second try builds.
    if let Some(path) = &request.lock_path {
        lock.write(path)?;
    }
    let boundary = |carriage: &_| sign::boundary_for(&plan, roots, carriage);
    let unsigned = pack::pack(&plan, &Folder::open(output)?, boundary, &images, progress).await?;
    let spooled = unsigned.spooled;
    let bundle = sign::seal(unsigned, &plan, roots, &signers, (output, &file_name(config)))?;
    Ok(Built { lock, summary, bundle: Some(bundle), spooled, warnings })
}

/// `PRODUCT-VERSION.consign`.
pub fn file_name(config: &Config) -> String {
    format!("{}-{}.consign", config.file.product, config.file.version)
}
