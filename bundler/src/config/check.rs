//! From what was written to what can be meant: texts become references, rules, platforms and seconds.

use std::collections::BTreeSet;

use consign_format::node_file::{self, Owner};
use consign_format::release::{Installer, OnFailure, Service, is_unit};
use consign_format::trust::Audience;
use consign_format::{Digest, Platform, Reference};

use super::{API_VERSION, FieldEntry, FileEntry, FromEntry, ReleaseFile};
use crate::discover::field::FieldRule;

/// A checked `release.yaml`.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// As it was written, for everything that needs no second form.
    pub file: ReleaseFile,
    /// The platforms that travel, each once.
    pub platforms: Vec<Platform>,
    /// `images.include`, as written and parsed.
    pub include: Vec<(String, Reference)>,
    /// `images.fields`.
    pub fields: Vec<FieldRule>,
    /// `files`, in the order of their places at the site.
    pub files: Vec<FileRule>,
    /// `rollout.healthTimeout`, in seconds.
    pub health_timeout: u64,
    /// Who may take the release.
    pub audience: Audience,
}

/// One file of the release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileRule {
    /// Where the content is found.
    pub from: FileSource,
    /// The absolute path at the site.
    pub to: String,
    /// The mode, four octal digits.
    pub mode: String,
    /// Whose it is at the site.
    pub owner: Option<String>,
    /// Which `consign-site` it is, if it is one.
    pub installer: Option<Installer>,
}

/// Where the content of a file is found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileSource {
    /// A path of the Git tree.
    Tree(String),
    /// A path of this machine, and the digest it must have.
    Local(String, Digest),
}

type Refusal = (String, String);

fn refuse<T>(field: impl Into<String>, reason: impl Into<String>) -> Result<T, Refusal> {
    Err((field.into(), reason.into()))
}

/// Kinds that `rollout.allowPrune` can name; all others are pruned anyway.
const PRUNABLE: [&str; 4] = ["CustomResourceDefinition", "Namespace", "PersistentVolume", "PersistentVolumeClaim"];

pub(super) fn check(file: ReleaseFile) -> Result<Config, Refusal> {
    if file.api_version != API_VERSION {
        return refuse("apiVersion", format!("this program reads `{API_VERSION}`, not `{}`", file.api_version));
    }
    version(&file.version)?;
    kubernetes(&file)?;
    if let Some(namespace) = file.namespace.as_deref().filter(|name| !is_label(name)) {
        return refuse("namespace", format!("`{namespace}` cannot be the name of a namespace"));
    }
    if file.render.is_empty() && file.files.is_empty() && file.images.include.is_empty() {
        return refuse("render", "there is nothing to deliver: no manifests, no images, no files");
    }
    requirements(&file)?;
    rollout(&file)?;
    for (n, from) in file.images.from.iter().enumerate() {
        references_of(n, from)?;
    }
    let audience = file.audience.clone().unwrap_or_else(Audience::any);
    if audience == Audience::default() {
        return refuse("audience", "it addresses nobody; leave it out to address every site");
    }
    let files = files(&file.files)?;
    check_services(&file.services, &files)?;
    Ok(Config {
        platforms: platforms(&file.images.platforms)?,
        include: include(&file.images.include)?,
        fields: fields(&file.images.fields)?,
        files,
        health_timeout: seconds(&file.rollout.health_timeout)?,
        audience,
        file,
    })
}

/// The version is part of a file name and the tag of the state artifact (distribution-spec v1.1, tags).
fn version(text: &str) -> Result<(), Refusal> {
    match consign_format::reference::is_tag(text) {
        true => Ok(()),
        false => refuse("version", format!("`{text}` must be letters, digits, `.`, `-` and `_`, at most 128")),
    }
}

fn kubernetes(file: &ReleaseFile) -> Result<(), Refusal> {
    let target = &file.kubernetes;
    let numbers: Vec<_> = target.version.split('.').collect();
    let fits = numbers.len() == 2 && numbers.iter().all(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()));
    if !fits {
        let reason = format!("`{}` must be major and minor in quotes, such as \"1.33\"", target.version);
        return refuse("kubernetes.version", reason);
    }
    match target.apis.iter().position(|api| !is_api(api)) {
        Some(n) => refuse(
            format!("kubernetes.apis[{n}]"),
            format!("`{}` must be group and version, such as monitoring.coreos.com/v1", target.apis[n]),
        ),
        None => Ok(()),
    }
}

/// `group/version` or `group/version/Kind`, as `helm template --api-versions` takes them.
fn is_api(text: &str) -> bool {
    let parts: Vec<_> = text.split('/').collect();
    let word = |part: &&str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.".contains(&b));
    (1..=3).contains(&parts.len()) && parts.iter().all(word)
}

/// A DNS label (RFC 1123), which a namespace's name must be.
fn is_label(text: &str) -> bool {
    let edge = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = text.as_bytes();
    (1..=63).contains(&bytes.len())
        && edge(bytes[0])
        && edge(bytes[bytes.len() - 1])
        && bytes.iter().all(|&b| edge(b) || b == b'-')
}

fn requirements(file: &ReleaseFile) -> Result<(), Refusal> {
    let asked = file.requires.iter().enumerate().map(|(n, r)| (format!("requires[{n}].versions"), r.versions.as_str()));
    let from = file.upgrade_from.as_deref().map(|text| ("upgradeFrom".to_owned(), text));
    for (field, text) in asked.chain(from) {
        if let Err(error) = semver::VersionReq::parse(text) {
            return refuse(field, format!("`{text}` is no range of versions: {error}"));
        }
    }
    match file.requires.iter().position(|r| r.product == file.product) {
        Some(n) => refuse(format!("requires[{n}].product"), "a product cannot require itself; see `upgradeFrom`"),
        None => Ok(()),
    }
}

fn rollout(file: &ReleaseFile) -> Result<(), Refusal> {
    if let Some(n) = file.rollout.allow_prune.iter().position(|kind| !PRUNABLE.contains(&kind.as_str())) {
        let kind = &file.rollout.allow_prune[n];
        let reason = format!("`{kind}` needs no leave; name one of {}", PRUNABLE.join(", "));
        return refuse(format!("rollout.allowPrune[{n}]"), reason);
    }
    if file.rollout.irreversible && file.rollout.on_failure == Some(OnFailure::Rollback) {
        return refuse("rollout.onFailure", "a release that is `irreversible` cannot be rolled back; say `halt`");
    }
    Ok(())
}

fn seconds(text: &str) -> Result<u64, Refusal> {
    let span = text.parse::<jiff::SignedDuration>().map_err(|e| e.to_string());
    match span.map(|span| span.as_secs()) {
        Ok(seconds @ 1..=86_400) => Ok(seconds.unsigned_abs()),
        Ok(_) => refuse("rollout.healthTimeout", format!("`{text}` must be between 1s and 24h")),
        Err(_) => refuse("rollout.healthTimeout", format!("`{text}` is no length of time, such as 10m or 1h30m")),
    }
}

fn platforms(texts: &[String]) -> Result<Vec<Platform>, Refusal> {
    let mut all = BTreeSet::new();
    for (n, text) in texts.iter().enumerate() {
        let parsed = text.parse::<Platform>();
        all.insert(parsed.or_else(|_| {
            refuse(format!("images.platforms[{n}]"), format!("`{text}` is no platform, such as linux/amd64"))
        })?);
    }
    match all.is_empty() {
        true => refuse("images.platforms", "name at least one, such as linux/amd64"),
        false => Ok(all.into_iter().collect()),
    }
}

fn include(texts: &[String]) -> Result<Vec<(String, Reference)>, Refusal> {
    let parsed = texts.iter().enumerate().map(|(n, text)| match text.parse::<Reference>() {
        Ok(reference) => Ok((text.clone(), reference)),
        Err(error) => refuse(format!("images.include[{n}]"), error.to_string()),
    });
    parsed.collect()
}

fn references_of(n: usize, from: &FromEntry) -> Result<(), Refusal> {
    for reference in from.references.keys() {
        if let Err(error) = reference.parse::<Reference>() {
            return refuse(format!("images.from[{n}].references"), error.to_string());
        }
    }
    Ok(())
}

fn fields(entries: &[FieldEntry]) -> Result<Vec<FieldRule>, Refusal> {
    let parsed = entries.iter().enumerate().map(|(n, entry)| {
        let (path, pin) = match entry {
            FieldEntry::Path(path) => (path, true),
            FieldEntry::Rule(rule) => (&rule.path, rule.pin),
        };
        match path.parse::<FieldRule>() {
            Ok(rule) => Ok(rule.with_pin(pin)),
            Err(error) => refuse(format!("images.fields[{n}]"), error.reason),
        }
    });
    parsed.collect()
}

fn files(entries: &[FileEntry]) -> Result<Vec<FileRule>, Refusal> {
    let mut rules = Vec::new();
    for (n, entry) in entries.iter().enumerate() {
        let from = match (&entry.path, &entry.local, entry.sha256) {
            (Some(path), None, None) => FileSource::Tree(path.clone()),
            (None, Some(local), Some(digest)) => FileSource::Local(local.clone(), digest),
            (None, Some(_), None) => return refuse(format!("files[{n}].sha256"), "a `local` file needs its digest"),
            (Some(_), None, Some(_)) => {
                return refuse(format!("files[{n}].sha256"), "Git vouches for a file of the tree; leave it out");
            }
            _ => return refuse(format!("files[{n}]"), "say either `path` (in the Git tree) or `local`"),
        };
        let mode = mode(n, &entry.mode)?;
        place(n, &entry.to)?;
        let installer = entry.installer.as_ref().map(|installer| checked_installer(n, installer)).transpose()?;
        if let Some(Err(error)) = entry.owner.as_ref().map(|owner| owner.parse::<Owner>()) {
            return refuse(format!("files[{n}].owner"), error.to_string());
        }
        rules.push(FileRule { from, to: entry.to.clone(), mode, owner: entry.owner.clone(), installer });
    }
    // Programs for several platforms have one place, of which each site fills one.
    let place = |rule: &FileRule| (rule.to.clone(), rule.installer.as_ref().map(|found| found.platform.clone()));
    rules.sort_by_key(place);
    match rules.windows(2).find(|pair| place(&pair[0]) == place(&pair[1])) {
        Some(pair) => refuse("files", format!("two files go to {}", pair[0].to)),
        None => Ok(rules),
    }
}

/// Services speak of units, each once, and of files that are placed.
fn check_services(entries: &[Service], files: &[FileRule]) -> Result<(), Refusal> {
    for (n, entry) in entries.iter().enumerate() {
        if !is_unit(&entry.unit) {
            return refuse(format!("services[{n}].unit"), format!("`{}` is no unit, such as k3s.service", entry.unit));
        }
        if entries.iter().take(n).any(|other| other.unit == entry.unit) {
            return refuse(format!("services[{n}].unit"), format!("{} is there twice", entry.unit));
        }
        let is_placed = |to: &&String| files.iter().any(|file| file.to == **to && file.installer.is_none());
        if let Some(to) = entry.files.iter().find(|to| !is_placed(to)) {
            return refuse(format!("services[{n}].files"), format!("no entry of `files` goes to {to}"));
        }
    }
    Ok(())
}

fn checked_installer(n: usize, installer: &Installer) -> Result<Installer, Refusal> {
    if installer.platform.parse::<Platform>().is_err() {
        let reason = format!("`{}` is no platform, such as linux/amd64", installer.platform);
        return refuse(format!("files[{n}].installer.platform"), reason);
    }
    Ok(installer.clone())
}

/// Three or four octal digits, without the bits that lend rights: a release brings no setuid programs.
fn mode(n: usize, text: &str) -> Result<String, Refusal> {
    match node_file::mode_bits(text) {
        Some(bits) => Ok(format!("{bits:04o}")),
        None => refuse(format!("files[{n}].mode"), format!("`{text}` must be octal in quotes, \"0001\" to \"0777\"")),
    }
}

fn place(n: usize, to: &str) -> Result<(), Refusal> {
    if node_file::is_place(to) {
        return Ok(());
    }
    refuse(format!("files[{n}].to"), format!("`{to}` must be an absolute path without `.`, `..` and empty parts"))
}
