//! Kits: a folder for each site of a list, made at the depot, so that whoever installs there types twelve words and no
//! more. Making them again changes nothing that need not change.
//!
//! Beside each folder lies a letter with the root's fingerprint. It travels by another path: in the folder it would be
//! worth nothing, since who exchanges the root exchanges the words as well.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use consign_format::error::{Code, Coded, Failure, codes};
use consign_format::kit::{AGE_KEY, KEY, KIT, Kit, README, RECORD, ROOT, TYPE};
use consign_format::trust::keys::{PublicKey, SecretKey, Signer};
use consign_format::trust::roots::RootChain;
use consign_format::trust::statement::SiteRecord;
use consign_format::trust::{envelope::Envelope, fingerprint};
use consign_format::{Digest, Name};
use consign_registry::durable;
use consign_sealed::SiteKey;
use serde::Serialize;

use crate::sign::KeyError;
use crate::site_record::{self, Subject, Wishes};

mod words;

/// One line of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The site.
    pub site: Name,
    /// Its environments.
    pub environments: Vec<Name>,
    /// Its labels, `key=value`.
    pub labels: Vec<String>,
}

/// Why there are no kits.
#[derive(Debug, thiserror::Error)]
pub enum KitError {
    /// A line of the list cannot be meant.
    #[error("{}, line {line}: {reason}", path.display())]
    Line {
        /// The list.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong.
        reason: String,
    },
    /// The folder has a key, and none was to be made at the depot.
    #[error("{} holds a key, and the site was to make its own", path.display())]
    HasKey {
        /// The key's file.
        path: PathBuf,
    },
    /// A record or key in a folder cannot be used.
    #[error("{} cannot be used: {reason}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
}

impl Coded for KitError {
    fn code(&self) -> Code {
        match self {
            KitError::Line { .. } => codes::USAGE,
            KitError::HasKey { .. } => codes::ALREADY_EXISTS,
            KitError::File { .. } => codes::DOCUMENT_MALFORMED,
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            KitError::Line { .. } => "write SITE,ENVIRONMENTS,LABELS; several are separated by blanks".to_owned(),
            KitError::HasKey { .. } => "remove the folder, or leave --keys-on-first-boot out".to_owned(),
            KitError::File { .. } => {
                "remove the site's folder and prepare it again; it gets another key then".to_owned()
            }
        })
    }
}

/// Reads a list: one site a line, `SITE,ENVIRONMENTS,LABELS`; several environments or labels are separated by blanks.
/// Empty lines, lines that begin with `#` and a heading `site,…` are passed over.
///
/// # Errors
/// [`KitError::Line`].
pub fn parse(path: &Path, text: &str) -> Result<Vec<Entry>, KitError> {
    let (mut entries, mut seen) = (Vec::new(), BTreeSet::new());
    for (number, line) in (1..).zip(text.lines()) {
        let refuse = |reason: String| KitError::Line { path: path.to_owned(), line: number, reason };
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') || (entries.is_empty() && line.starts_with("site,")) {
            continue;
        }
        let entry = entry(line).map_err(refuse)?;
        if !seen.insert(entry.site.clone()) {
            return Err(refuse(format!("site `{}` stands there twice", entry.site)));
        }
        entries.push(entry);
    }
    Ok(entries)
}

fn entry(line: &str) -> Result<Entry, String> {
    let mut fields = line.split(',').map(str::trim);
    let site = fields.next().unwrap_or_default();
    let site = site.parse::<Name>().map_err(|error| format!("`{site}` is no name of a site: {error}"))?;
    let environments = fields.next().unwrap_or_default().split_whitespace();
    let environments = environments.map(|text| text.parse::<Name>().map_err(|error| format!("`{text}`: {error}")));
    let environments = environments.collect::<Result<Vec<_>, _>>()?;
    let labels = fields.next().unwrap_or_default().split_whitespace().map(label).collect::<Result<Vec<_>, _>>()?;
    match fields.next() {
        Some(more) => Err(format!("there is a fourth field, `{more}`")),
        None => Ok(Entry { site, environments, labels }),
    }
}

/// Checks a label: `key=value`, neither empty.
///
/// # Errors
/// What is wrong with it.
pub fn label(text: &str) -> Result<String, String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() && !value.is_empty() && !text.chars().any(char::is_control) => {
            Ok(text.to_owned())
        }
        _ => Err(format!("`{text}` is no label: write KEY=VALUE")),
    }
}

/// What became of one site's folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Prepared {
    /// The site.
    pub site: Name,
    /// Its folder.
    pub folder: PathBuf,
    /// The letter that travels by another path.
    pub letter: PathBuf,
    /// The serial of its record, where the key was made here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub serial: Option<u64>,
    /// Whether approvers have to sign its record yet.
    pub unsigned: bool,
    /// Whether anything in it was written.
    pub changed: bool,
}

/// How kits are made.
pub struct Depot<'a> {
    /// The roots.
    pub chain: &'a RootChain,
    /// The approvers who sign records; without any, sites make their own keys on first boot.
    pub signers: &'a [&'a dyn Signer],
    /// The folder that gets one folder a site.
    pub output: &'a Path,
    /// Seconds since 1970.
    pub now: u64,
    /// Makes the seed of a key.
    pub seed: &'a dyn Fn() -> Result<[u8; 32], Failure>,
}

impl Depot<'_> {
    /// Prepares the folder of one site. What is there and right stays as it is.
    ///
    /// # Errors
    /// [`KitError`], the signer's, or the disk's.
    pub fn prepare(&self, entry: &Entry) -> Result<Prepared, Failure> {
        let folder = self.output.join(entry.site.as_str());
        durable::create_dir(&folder, 0o700)?;
        let root = self.newest_root();
        let (mut changed, keys) = (false, !self.signers.is_empty());
        let (mut serial, mut unsigned) = (None, false);
        if keys {
            let subject = self.subject(&folder, entry, &mut changed)?;
            let record = self.record(&folder.join(RECORD), entry, subject, &mut changed)?;
            (serial, unsigned) = (Some(record.0), record.1);
        } else if folder.join(KEY).symlink_metadata().is_ok() {
            return Err(KitError::HasKey { path: folder.join(KEY) }.into());
        }
        let (site, domain) = (entry.site.clone(), self.chain.domain().clone());
        let kit = Kit { kind: TYPE.to_owned(), site, domain, production: !self.chain.root().development, keys };
        let text = serde_json::to_vec_pretty(&kit).map_err(io::Error::other);
        let text = text.map_err(|source| KeyError::Io { path: folder.join(KIT), source })?;
        let letter = self.output.join(format!("{}.letter.txt", entry.site));
        for (path, bytes) in [
            (folder.join(ROOT), root),
            (folder.join(README), words::readme(&kit).as_bytes()),
            (folder.join(KIT), text.as_slice()),
            (letter.clone(), words::letter(&kit, &fingerprint::words(&Digest::of(root))).as_bytes()),
        ] {
            changed |= keep(&path, bytes, 0o644)?;
        }
        Ok(Prepared { site: kit.site, folder, letter, serial, unsigned, changed })
    }

    /// The root to enrol: the newest one, so that a key that was revoked is never trusted there.
    fn newest_root(&self) -> &[u8] {
        self.chain.files().last().map(Vec::as_slice).unwrap_or_default()
    }

    /// The site and its two keys, which are made where they are not there yet.
    fn subject(&self, folder: &Path, entry: &Entry, changed: &mut bool) -> Result<Subject, Failure> {
        let (path, age_path) = (folder.join(KEY), folder.join(AGE_KEY));
        let seed = (self.seed)()?;
        let made = || SecretKey::from_seed(&seed).to_pem();
        let pem = self.key_file(&path, made, changed)?;
        let text = self.key_file(&age_path, || Ok(SiteKey::generate().to_text()), changed)?;
        let key = SecretKey::from_pem(&pem).map_err(|reason| KitError::File { path, reason })?;
        let age_key = SiteKey::from_text(&text);
        let age_key = age_key.map_err(|error| KitError::File { path: age_path, reason: error.to_string() })?;
        let (receipt_key, recipient) = (PublicKey::of(&key as &dyn Signer), Some(age_key.recipient().to_string()));
        Ok(Subject { site: entry.site.clone(), receipt_key, recipient })
    }

    fn key_file(
        &self,
        path: &Path,
        make: impl FnOnce() -> Result<String, String>,
        changed: &mut bool,
    ) -> Result<String, Failure> {
        match fs::read_to_string(path) {
            Ok(text) => return Ok(text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(KeyError::Io { path: path.to_owned(), source }.into()),
        }
        let text = make().map_err(|reason| KitError::File { path: path.to_owned(), reason })?;
        durable::write_new_file(path, text.as_bytes(), 0o600)?;
        *changed = true;
        Ok(text)
    }

    /// The serial of the site's record, and whether signatures are missing yet.
    fn record(&self, path: &Path, entry: &Entry, subject: Subject, changed: &mut bool) -> Result<(u64, bool), Failure> {
        let previous = self.previous(path)?;
        let (environments, labels) = (entry.environments.clone(), entry.labels.clone());
        let serial = previous.as_ref().map(|(record, _)| record.serial.saturating_add(1));
        let wishes = Wishes { environments, labels, serial, ..Wishes::default() };
        let record = site_record::compose(self.chain, subject, wishes, None, self.now)?;
        if let Some((before, bytes)) = &previous {
            let same = SiteRecord { serial: before.serial, issued: before.issued, ..record.clone() };
            // One that the approvers of today do not stand behind is written anew.
            if same == *before
                && let Ok((have, need)) = site_record::signatures(self.chain, bytes)
            {
                return Ok((before.serial, have < need));
            }
        }
        let signed = site_record::sign(self.chain, &record, self.signers)?;
        durable::write_file(path, &signed.bytes, 0o644)?;
        *changed = true;
        Ok((record.serial, signed.have < signed.need))
    }

    fn previous(&self, path: &Path) -> Result<Option<(SiteRecord, Vec<u8>)>, Failure> {
        let bytes = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(KeyError::Io { path: path.to_owned(), source }.into()),
        };
        let unusable = |reason: String| KitError::File { path: path.to_owned(), reason };
        let envelope = Envelope::parse("the site record", &bytes)?;
        let record = serde_json::from_slice(envelope.signed()).map_err(|error| unusable(error.to_string()))?;
        Ok(Some((record, bytes)))
    }
}

/// Writes a file unless it says the same already; tells whether it was written.
fn keep(path: &Path, bytes: &[u8], mode: u32) -> Result<bool, Failure> {
    if fs::read(path).is_ok_and(|there| there == bytes) {
        return Ok(false);
    }
    durable::write_file(path, bytes, mode)?;
    Ok(true)
}

#[cfg(test)]
mod tests;
