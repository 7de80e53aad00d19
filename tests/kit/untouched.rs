//! Whether a site is, byte for byte, what it was before somebody showed it something it must refuse.
//!
//! Refusing may leave three traces, and no more: roots newer than the known ones, with the receipt that tells of them
//! (a revocation lands even from a bad stick); blobs whose name is the digest of their bytes, which wait unreferenced
//! for a resume; and the journal, which counts refusals for the next receipt.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use consign_format::Digest;
use serde_json::Value;

use crate::site::{Served, Site};

/// A site as it was.
#[derive(Debug, Clone)]
pub struct Untouched {
    files: BTreeMap<PathBuf, String>,
    domains: BTreeMap<PathBuf, Value>,
}

impl Untouched {
    /// Remembers everything that a site keeps.
    pub fn of(site: &Site) -> Self {
        let mut files = site.snapshot();
        files.retain(|path, _| !path.to_string_lossy().contains("/journal"));
        let is_domain = |path: &&PathBuf| path.parent().is_some_and(|folder| folder.ends_with("trust/domains"));
        let domains = files.keys().filter(is_domain).map(|path| (path.clone(), domain(&site.root().join(path))));
        let domains = domains.collect();
        Self { files, domains }
    }

    /// What has changed since, in words; nothing where all is as it was.
    pub fn differences(&self, site: &Site) -> Vec<String> {
        let now = Self::of(site);
        let mut found = Vec::new();
        for (path, was) in &self.files {
            match now.files.get(path) {
                Some(is) if is == was => {}
                Some(_) if self.only_newer_roots(path, &now) => {}
                Some(is) => found.push(format!("{} was {was} and is {is}", path.display())),
                None => found.push(format!("{} is gone", path.display())),
            }
        }
        let roots_landed = self.domains != now.domains;
        for (path, is) in now.files.iter().filter(|(path, _)| !self.files.contains_key(*path)) {
            let receipt = roots_landed && path.parent().is_some_and(|folder| folder.ends_with("receipts"));
            if !receipt && !is_blob(path, is) {
                found.push(format!("{} is new: {is}", path.display()));
            }
        }
        found
    }

    /// Asserts that nothing has changed.
    ///
    /// # Panics
    /// If something has.
    pub fn check(&self, site: &Site, what: &str) {
        let differences = self.differences(site);
        assert!(differences.is_empty(), "{what}: {}", differences.join("; "));
    }

    /// Whether a domain's file differs in nothing but roots behind the known ones.
    fn only_newer_roots(&self, path: &Path, now: &Self) -> bool {
        let (Some(was), Some(is)) = (self.domains.get(path), now.domains.get(path)) else { return false };
        let (Some(old), Some(new)) = (was["roots"].as_array(), is["roots"].as_array()) else { return false };
        let rest = |state: &Value| {
            let mut rest = state.clone();
            rest["roots"] = Value::Null;
            rest
        };
        new.starts_with(old) && rest(was) == rest(is)
    }
}

/// A domain's file without its checksum; nothing where it is damaged.
fn domain(path: &Path) -> Value {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.split_once('\n').and_then(|(_, document)| serde_json::from_str(document).ok()).unwrap_or_default()
}

fn is_blob(path: &Path, is: &str) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.to_string_lossy().contains("/blobs/sha256/") && is.ends_with(&format!("sha256:{name}"))
}

/// What a site's registry answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown(BTreeMap<String, (u16, Digest)>);

impl Shown {
    /// Asks the registry for these paths.
    pub fn by(served: &Served, paths: &[String]) -> Self {
        let answer = |path: &String| {
            let (status, body) = served.get(path);
            (path.clone(), (status, Digest::of(&body)))
        };
        Self(paths.iter().map(answer).collect())
    }
}
