//! Makes locks, and holds a release against the one it has.
//!
//! Two ways to a lock: ask the registries what every reference stands for now ([`fresh`]), or take what was locked
//! and demand that the commit and `release.yaml` still ask for exactly that ([`keep`]), which asks nobody.

use std::collections::{BTreeMap, BTreeSet};

use consign_format::release::Provenance;
use consign_registry::ImageSource;
use consign_terminal::progress::Progress;
use serde_json::Value;

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

/// Keeps a lock that still fits: what `source.ref` names now must render to exactly the locked objects, ask for
/// exactly the locked images and hold exactly the locked files. Another commit with the same content is no drift, so
/// the lock can be committed.
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

/// Top-level fields of `release.yaml` that shape the release and show nowhere else in the lock.
const SETTINGS: [&str; 9] =
    ["audience", "files", "kubernetes", "line", "namespace", "requires", "rollout", "upgradeFrom", "images"];
/// Fields of `images` that say where bytes come from, not what they are.
const PLACES: [&str; 4] = ["mirrors", "plainHttp", "ca", "from"];

fn settings(config: &Config, desired: &Desired) -> BTreeMap<String, Value> {
    // Types of our own, strings and numbers only; a value that had no JSON would be null on both sides.
    let mut whole = serde_json::to_value(&config.file).unwrap_or_default();
    if let Some(images) = whole.get_mut("images").and_then(Value::as_object_mut) {
        PLACES.iter().for_each(|place| drop(images.remove(*place)));
    }
    for file in whole.get_mut("files").and_then(Value::as_array_mut).into_iter().flatten() {
        // Where a file lies on this machine is a place too; its digest stands under `files` of the lock.
        if let Some(file) = file.as_object_mut() {
            ["path", "local", "sha256"].iter().for_each(|place| drop(file.remove(*place)));
        }
    }
    let named = SETTINGS.iter().filter_map(|name| Some(((*name).to_owned(), whole.get(*name)?.clone())));
    let mut settings: BTreeMap<String, Value> = named.collect();
    // The rules as settled: keys that were left out are read from the manifests, which do not travel.
    if !desired.secrets.is_empty() {
        settings.insert("secrets".to_owned(), serde_json::to_value(&desired.secrets).unwrap_or_default());
    }
    settings
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
        settings: settings(config, desired),
        objects: desired.digests(),
        images,
        files: files.iter().map(file).collect(),
    }
}
