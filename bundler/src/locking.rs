//! Makes locks, and holds a release against the one it has.
//!
//! Two ways to a lock: ask the registries what every reference stands for now ([`fresh`]), or take what was locked
//! and demand that the commit and `release.yaml` still ask for exactly that ([`keep`]), which asks nobody.

use std::collections::BTreeSet;

use consign_format::release::Provenance;
use consign_registry::ImageSource;
use consign_terminal::progress::Progress;

use crate::config::Config;
use crate::desired::Desired;
use crate::files::Measured;
use crate::lock::{self, Drift, Lock, LockError, LockedFile, LockedImage};
use crate::resolve::{ResolveError, resolve, wanted};

/// When a release is issued, and what makes it newer than the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Issue {
    /// Seconds since 1970, UTC.
    pub issued: u64,
    /// The sequence.
    pub sequence: u64,
}

impl Issue {
    /// A release issued now: its sequence is the time, or one more than the last where that is higher.
    pub fn after(last: Option<&Lock>, now: u64) -> Self {
        let least = last.map_or(0, |lock| lock.sequence.saturating_add(1));
        Issue { issued: now, sequence: now.max(least) }
    }
}

/// Makes a lock of what is there now.
///
/// # Errors
/// [`ResolveError`]: an image that is not there, has no such platform, or cannot be carried.
pub async fn fresh(
    config: &Config,
    desired: &Desired,
    files: &[Measured],
    issue: Issue,
    source: &dyn ImageSource,
    progress: &dyn Progress,
) -> Result<Lock, ResolveError> {
    let wanted = wanted(&desired.found, &config.include);
    let images = resolve(&wanted, &config.platforms, source, progress).await?;
    Ok(lock_of(config, desired, files, issue, desired.provenance.clone(), images))
}

/// Keeps a lock that still fits.
///
/// # Errors
/// [`LockError::Drifted`], naming object and field.
pub fn keep(config: &Config, desired: &Desired, files: &[Measured], lock: Lock) -> Result<Lock, LockError> {
    let wanted = wanted(&desired.found, &config.include);
    let known: BTreeSet<&str> = lock.images.iter().map(|image| image.reference.as_str()).collect();
    let mut drifts = Vec::new();
    for image in &wanted {
        let reference = image.reference.to_string();
        if !known.contains(reference.as_str()) {
            let place = image.found_in.first().map_or("images.include", String::as_str).to_owned();
            drifts.push(Drift { place, locked: None, found: Some(reference) });
        }
    }
    let asked: BTreeSet<String> = wanted.iter().map(|image| image.reference.to_string()).collect();
    let images = lock.images.iter().filter(|image| asked.contains(&image.reference)).cloned().collect();
    let issue = Issue { issued: lock.issued, sequence: lock.sequence };
    let now = lock_of(config, desired, files, issue, lock.source.clone(), images);
    drifts.extend(lock::drifts(&lock, &now));
    if drifts.is_empty() { Ok(lock) } else { Err(LockError::Drifted(drifts)) }
}

fn lock_of(
    config: &Config,
    desired: &Desired,
    files: &[Measured],
    issue: Issue,
    source: Provenance,
    images: Vec<LockedImage>,
) -> Lock {
    let file = |file: &Measured| LockedFile { to: file.to.clone(), digest: file.digest, size: file.size };
    Lock {
        schema: lock::SCHEMA.to_owned(),
        product: config.file.product.clone(),
        version: config.file.version.clone(),
        sequence: issue.sequence,
        issued: issue.issued,
        source,
        tools: desired.tools.clone(),
        charts: desired.charts.clone(),
        platforms: config.platforms.iter().map(ToString::to_string).collect(),
        objects: desired.digests(),
        images,
        files: files.iter().map(file).collect(),
    }
}
