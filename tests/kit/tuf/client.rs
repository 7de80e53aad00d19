//! The client's workflow, TUF 1.0.31 §5, in the order of the specification.

use std::fs;
use std::path::{Path, PathBuf};

use consign_format::trust::envelope::Envelope;
use consign_format::trust::roots::Chain;
use consign_format::{Digest, canonical};
use jiff::Timestamp as Time;
use serde_json::Value;

use super::documents::{Document, FileInfo, MetaFile, Root, Snapshot, Targets, Timestamp};
use super::fetch;

/// Why a repository is not believed, or what else failed, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused(pub String);

impl<E: std::fmt::Display> From<E> for Refused {
    fn from(error: E) -> Self {
        Self(error.to_string())
    }
}

type Result<T> = std::result::Result<T, Refused>;

/// A client and the folder in which it keeps what it trusts: `root.json`, `timestamp.json`, `snapshot.json`,
/// `targets.json`, and below `roots/` every root since the first, from which the chain is followed anew each time.
#[derive(Debug, Clone)]
pub struct Client {
    folder: PathBuf,
    repository: String,
    now: Time,
}

impl Client {
    /// A client of the repository at this address, as of this moment.
    pub fn new(folder: &Path, repository: &str, now: Time) -> Self {
        Self { folder: folder.to_owned(), repository: repository.to_owned(), now }
    }

    /// Trusts a first root (§5.2). Nothing is fetched.
    ///
    /// # Errors
    /// If it is no root that vouches for itself, or there was one before.
    pub fn init(folder: &Path, root: &[u8]) -> Result<()> {
        let chain = Chain::<Root>::enrol(&canonical_form(root)?, None)?;
        fs::create_dir_all(folder.join("roots"))?;
        if fs::read_dir(folder.join("roots"))?.next().is_some() {
            return Err("this folder has trusted a root before".into());
        }
        fs::write(folder.join(format!("roots/{}.json", chain.root().version())), root)?;
        Ok(fs::write(folder.join("root.json"), root)?)
    }

    /// Brings the metadata up to date (§5.3 to §5.6).
    ///
    /// # Errors
    /// If any part of it can't be had or is not to be believed. What was believed before that stays believed.
    pub fn refresh(&self) -> Result<()> {
        self.targets().map(|_| ())
    }

    /// Brings the metadata up to date, then gets a target (§5.7) into a folder, unless it is there already.
    ///
    /// # Errors
    /// As [`Client::refresh`]; or there is no such target, or its bytes are others.
    pub fn download(&self, name: &str, base: &str, folder: &Path) -> Result<PathBuf> {
        let (chain, targets) = self.targets()?;
        // §5.6.7, left out: delegations.
        let info = targets.targets.get(name).ok_or_else(|| format!("no target {name}"))?;
        let sha256 = info.hashes.get("sha256").ok_or("the target has no sha256")?;
        let path = folder.join(fetch::escaped(name).replace('/', "%2F"));
        if fs::read(&path).is_ok_and(|bytes| check_file(info, &bytes).is_ok()) {
            return Ok(path);
        }
        // §5.7.3: under a consistent snapshot the file is named by its digest.
        let prefixed = |(folder, file): (&str, &str)| format!("{folder}{sha256}.{file}");
        let at = name.rfind('/').map_or(0, |slash| slash + 1);
        let file = if chain.root().consistent_snapshot { prefixed(name.split_at(at)) } else { name.to_owned() };
        let bytes = fetch::get(base, &file)?.ok_or_else(|| format!("the repository has no {file}"))?;
        check_file(info, &bytes)?;
        fs::write(&path, bytes)?;
        Ok(path)
    }

    /// §5.3: follows the roots as far as there are any.
    fn roots(&self) -> Result<Chain<Root>> {
        let mut versions: Vec<u64> = Vec::new();
        for entry in fs::read_dir(self.folder.join("roots"))? {
            versions.extend(entry?.path().file_stem().and_then(|stem| stem.to_str()?.parse::<u64>().ok()));
        }
        versions.sort_unstable();
        let mut files = Vec::new();
        for version in &versions {
            files.push(canonical_form(&fs::read(self.folder.join(format!("roots/{version}.json")))?)?);
        }
        let mut chain = Chain::<Root>::restore(&files)?;
        while let Some(bytes) = fetch::get(&self.repository, &format!("{}.root.json", chain.root().version() + 1))? {
            files.push(canonical_form(&bytes)?);
            chain = Chain::restore(&files)?;
            // §5.3.8: kept at once, whatever comes after.
            fs::write(self.folder.join(format!("roots/{}.json", chain.root().version())), &bytes)?;
            fs::write(self.folder.join("root.json"), &bytes)?;
        }
        // §5.3.10; §5.3.11 needs no step: what keys that were rotated away have signed is not believed any more.
        self.check_expiry(chain.root())?;
        Ok(chain)
    }

    /// §5.4.
    fn timestamp(&self, chain: &Chain<Root>) -> Result<Timestamp> {
        let bytes = self.fetch("timestamp.json")?;
        let new: Timestamp = signed(chain, &bytes)?;
        named(&new.meta, "snapshot.json")?;
        if let Some(old) = self.trusted::<Timestamp>(chain) {
            // §5.4.3.1: the same one again is no news, and not an error.
            if new.version() == old.version() {
                self.check_expiry(&old)?;
                return Ok(old);
            }
            no_older("timestamp.json", old.version(), new.version())?;
            // §5.4.3.2
            let version = |timestamp: &Timestamp| timestamp.meta.get("snapshot.json").map_or(0, |meta| meta.version);
            no_older("snapshot.json", version(&old), version(&new))?;
        }
        self.check_expiry(&new)?;
        fs::write(self.folder.join("timestamp.json"), bytes)?;
        Ok(new)
    }

    /// §5.5.
    fn snapshot(&self, chain: &Chain<Root>, timestamp: &Timestamp) -> Result<Snapshot> {
        let old = self.trusted::<Snapshot>(chain);
        let meta = named(&timestamp.meta, "snapshot.json")?;
        let (new, bytes) = self.document::<Snapshot>(chain, meta)?;
        // §5.5.5: nothing disappears, nothing gets older.
        for (name, old) in old.iter().flat_map(|old| &old.meta) {
            no_older(name, old.version, named(&new.meta, name)?.version)?;
        }
        self.check_expiry(&new)?;
        fs::write(self.folder.join("snapshot.json"), bytes)?;
        Ok(new)
    }

    /// §5.6.
    fn targets(&self) -> Result<(Chain<Root>, Targets)> {
        let chain = self.roots()?;
        let timestamp = self.timestamp(&chain)?;
        let snapshot = self.snapshot(&chain, &timestamp)?;
        let (targets, bytes) = self.document::<Targets>(&chain, named(&snapshot.meta, "targets.json")?)?;
        self.check_expiry(&targets)?;
        fs::write(self.folder.join("targets.json"), bytes)?;
        Ok((chain, targets))
    }

    /// The document that another names: the one kept, if it is that, else the repository's.
    fn document<D: Document>(&self, chain: &Chain<Root>, meta: &MetaFile) -> Result<(D, Vec<u8>)> {
        let file = format!("{}.json", D::ROLE);
        let judged = |bytes: Vec<u8>| -> Result<(D, Vec<u8>)> {
            check_meta(meta, &file, &bytes)?;
            let document: D = signed(chain, &bytes)?;
            match document.version() == meta.version {
                true => Ok((document, bytes)),
                false => Err(format!("{file} is version {}, not {}", document.version(), meta.version).into()),
            }
        };
        let kept = fs::read(self.folder.join(&file)).map_err(Refused::from).and_then(judged);
        kept.or_else(|_| {
            let prefix = if chain.root().consistent_snapshot { format!("{}.", meta.version) } else { String::new() };
            judged(self.fetch(&format!("{prefix}{file}"))?)
        })
    }

    /// What is kept of a role, if the newest root still vouches for it.
    fn trusted<D: Document>(&self, chain: &Chain<Root>) -> Option<D> {
        signed(chain, &fs::read(self.folder.join(format!("{}.json", D::ROLE))).ok()?).ok()
    }

    fn fetch(&self, file: &str) -> Result<Vec<u8>> {
        Ok(fetch::get(&self.repository, file)?.ok_or_else(|| format!("the repository has no {file}"))?)
    }

    fn check_expiry(&self, document: &impl Document) -> Result<()> {
        if document.expires() > self.now {
            return Ok(());
        }
        Err(format!("a {} that expired at {}", document.kind(), document.expires()).into())
    }
}

/// Judges a document by the role that signs it: our verifier, then its type.
fn signed<D: Document>(chain: &Chain<Root>, bytes: &[u8]) -> Result<D> {
    let bytes = canonical_form(bytes)?;
    let envelope = Envelope::parse(D::ROLE, &bytes)?;
    let progress = chain.progress(&envelope, D::ROLE)?;
    if !progress.is_complete() {
        return Err(format!("{} has {} of {} signatures", D::ROLE, progress.signed.len(), progress.need).into());
    }
    let document: D = serde_json::from_slice(envelope.signed())?;
    match document.kind() == D::ROLE && document.version() > 0 {
        true => Ok(document),
        false => Err(format!("a {} that is none", D::ROLE).into()),
    }
}

fn canonical_form(bytes: &[u8]) -> Result<Vec<u8>> {
    Ok(canonical::to_vec(&serde_json::from_slice::<Value>(bytes)?)?)
}

fn named<'a>(meta: &'a std::collections::BTreeMap<String, MetaFile>, name: &str) -> Result<&'a MetaFile> {
    Ok(meta.get(name).ok_or_else(|| format!("nothing is said of {name}"))?)
}

fn no_older(what: &str, trusted: u64, offered: u64) -> Result<()> {
    if offered >= trusted { Ok(()) } else { Err(format!("{what} goes back from {trusted} to {offered}").into()) }
}

/// §5.5.2, §5.6.2: length and hashes, where they are said.
fn check_meta(meta: &MetaFile, file: &str, bytes: &[u8]) -> Result<()> {
    let same_length = meta.length.is_none_or(|length| length == bytes.len() as u64);
    let same_hash = meta.hashes.is_empty() || meta.hashes.get("sha256") == Some(&Digest::of(bytes).hex());
    if same_length && same_hash { Ok(()) } else { Err(format!("{file} is not the one that was named").into()) }
}

/// §5.7.2.
fn check_file(info: &FileInfo, bytes: &[u8]) -> Result<()> {
    let same = info.length == bytes.len() as u64 && info.hashes.get("sha256") == Some(&Digest::of(bytes).hex());
    if same { Ok(()) } else { Err("the target's bytes are others".into()) }
}
