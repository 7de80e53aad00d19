//! `consign lock`.

use std::path::PathBuf;

use consign_format::error::Failure;
use serde::Serialize;

use super::{Project, World};
use crate::lock::{self, Drift, Lock, LockError};
use crate::locking::{self, Issue};
use crate::{desired, files};

/// Renders the release, asks the registries what every image reference stands for now, and writes release.lock.
///
/// The lock makes the same release again, anywhere: commit it. `consign build` writes one where there is none, and
/// never changes it.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The release
    #[arg(long, short, default_value = "release.yaml", value_name = "FILE")]
    file: PathBuf,
    /// Resolve everything again, although there is a lock; gives the release a new sequence
    #[arg(long, conflicts_with = "check")]
    update: bool,
    /// Change nothing; fail and name what has moved if the lock is not what would be written now. For CI
    #[arg(long)]
    check: bool,
}

#[derive(Serialize)]
struct Done {
    lock: String,
    changed: Vec<Drift>,
    images: usize,
    sequence: u64,
}

pub(super) async fn run(args: &Args, world: &World<'_>) -> Result<(), Failure> {
    let project = Project::open(&args.file)?;
    let old = project.lock()?;
    if args.check && old.is_none() {
        return Err(LockError::Missing { path: project.lock_path().display().to_string() }.into());
    }
    let new = make(&project, old.as_ref(), world).await?;
    let changed = old.as_ref().map(|old| lock::drifts(old, &new)).unwrap_or_default();
    if old.is_some() && !args.update {
        if !changed.is_empty() {
            return Err(LockError::Drifted(changed).into());
        }
        return say(&project, old.as_ref().unwrap_or(&new), changed, "still holds", world);
    }
    new.write(&project.lock_path())?;
    say(&project, &new, changed, "written", world)
}

async fn make(project: &Project, old: Option<&Lock>, world: &World<'_>) -> Result<Lock, Failure> {
    let desired = desired::make(&project.config, &project.base, &world.environment)?;
    desired.warnings.iter().for_each(|warning| world.terminal.warn(warning));
    let files = files::measure(&project.config.files, &desired.checkout, &project.base)?;
    let issue = Issue::after(old, world.now);
    let images = project.images(world)?;
    let progress = world.terminal.progress();
    Ok(locking::fresh(&project.config, &desired, &files, issue, &*images, progress).await?)
}

fn say(project: &Project, lock: &Lock, changed: Vec<Drift>, what: &str, world: &World<'_>) -> Result<(), Failure> {
    let path = project.lock_path().display().to_string();
    let mut text = format!("{path} {what}: {} objects, {} images", lock.objects.len(), lock.images.len());
    for drift in &changed {
        text.push_str(&format!("\n  {drift}"));
    }
    world.terminal.result(&Done { lock: path, changed, images: lock.images.len(), sequence: lock.sequence }, text);
    Ok(())
}
