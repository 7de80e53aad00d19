//! The chain of roots: from the one that was enrolled to the newest one that its keys vouch for.

use std::collections::BTreeMap;

use ed25519_dalek::VerifyingKey;
use serde::Deserialize;

use super::document::{Key, ROLES, Role, Root, SCAN_ROLE};
use super::envelope::Envelope;
use super::keys::{self, Progress, check_threshold, parse_public};
use super::{Fingerprint, TrustError};
use crate::{Digest, Name};

mod draft;

pub use draft::RootDraft;

/// What a chain asks of a root. [`Root`] is the one of this format; the tests let the same chain judge the roots of plain
/// TUF repositories, which lack our fields.
pub trait RootDocument: Clone + for<'de> Deserialize<'de> {
    /// Its version.
    fn version(&self) -> u64;
    /// Keys by id.
    fn keys(&self) -> &BTreeMap<String, Key>;
    /// Roles by name: TUF's four, and those beside them.
    fn roles(&self) -> impl Iterator<Item = (&str, &Role)>;
    /// Says what is wrong with it, apart from keys and thresholds.
    fn check_form(&self) -> Result<(), String>;
    /// Demands that the root after it kept what must be kept.
    fn check_successor(&self, next: &Self) -> Result<(), TrustError>;
}

impl RootDocument for Root {
    fn version(&self) -> u64 {
        self.version
    }

    fn keys(&self) -> &BTreeMap<String, Key> {
        &self.keys
    }

    fn roles(&self) -> impl Iterator<Item = (&str, &Role)> {
        let beside = self.scan.iter().map(|role| (SCAN_ROLE, role));
        self.roles.iter().map(|(name, role)| (name.as_str(), role)).chain(beside)
    }

    fn check_form(&self) -> Result<(), String> {
        if self.kind != "root" || self.consistent_snapshot || self.version == 0 {
            return Err("not a root of the kind this program reads".to_owned());
        }
        if !self.roles.keys().map(String::as_str).eq(ROLES) {
            return Err(format!("its roles must be {}", ROLES.join(", ")));
        }
        Ok(())
    }

    fn check_successor(&self, next: &Self) -> Result<(), TrustError> {
        if next.domain == self.domain {
            return Ok(());
        }
        Err(TrustError::OtherDomain { expected: self.domain.clone(), found: next.domain.clone() })
    }
}

/// One root whose form holds.
#[derive(Debug, Clone)]
struct ParsedRoot<R = Root> {
    root: R,
    keys: BTreeMap<String, VerifyingKey>,
}

/// Roots that a site or an auditor trusts: the enrolled one and all that followed, as the bytes they were published in.
pub type RootChain = Chain<Root>;

/// A [`RootChain`], or one of other roots.
#[derive(Debug, Clone)]
pub struct Chain<R> {
    files: Vec<Vec<u8>>,
    first: u64,
    newest: ParsedRoot<R>,
}

impl RootChain {
    /// The domain all roots of the chain belong to.
    pub fn domain(&self) -> &Name {
        &self.newest.root.domain
    }
}

impl<R: RootDocument> Chain<R> {
    /// Trusts a root for the first time. The fingerprint, the sha256 of the file, came by another path;
    /// `None` is for programs that have the root built in or got it from the person who made it.
    pub fn enrol(file: &[u8], fingerprint: Option<&Digest>) -> Result<Self, TrustError> {
        Self::enrol_by(file, fingerprint.map(|digest| Fingerprint::from(*digest)).as_ref())
    }

    /// The same, by a fingerprint in digits or in words.
    pub fn enrol_by(file: &[u8], fingerprint: Option<&Fingerprint>) -> Result<Self, TrustError> {
        let found = Digest::of(file);
        if let Some(given) = fingerprint.filter(|given| !given.is_of(&found)) {
            return Err(TrustError::Fingerprint { given: *given, found });
        }
        let newest: ParsedRoot<R> = parse(file, "the root")?;
        newest.check_signed_by(&Envelope::parse("the root", file)?, &newest)?;
        Ok(Chain { files: vec![file.to_vec()], first: newest.root.version(), newest })
    }

    /// Takes back a chain that [`Chain::files`] gave, for instance from a site's own state.
    pub fn restore(files: &[Vec<u8>]) -> Result<Self, TrustError> {
        let Some((first, later)) = files.split_first() else {
            return Err(TrustError::Form { document: "the root chain".to_owned(), reason: "it is empty".to_owned() });
        };
        let mut chain = Self::enrol(first, None)?;
        for file in later {
            chain.append(file)?;
        }
        Ok(chain)
    }

    /// The roots, oldest first, byte for byte.
    pub fn files(&self) -> &[Vec<u8>] {
        &self.files
    }

    /// The newest root.
    pub fn root(&self) -> &R {
        &self.newest.root
    }

    /// The fingerprint of the root that was enrolled.
    pub fn fingerprint(&self) -> Digest {
        Digest::of(&self.files[0])
    }

    /// Follows the roots of a bundle, `offered[0]` being version 1, and returns the longer chain.
    ///
    /// Known versions must be byte-identical; newer ones must follow one by one (TUF §5.3).
    pub fn follow(&self, offered: &[Vec<u8>]) -> Result<Self, TrustError> {
        let mut chain = self.clone();
        let newest = self.newest.root.version();
        if (offered.len() as u64) < self.first {
            return Err(TrustError::RootGap { from: offered.len() as u64, to: self.first });
        }
        for (version, file) in (1u64..).zip(offered) {
            match version {
                v if v < self.first => self.check_forebear(v, file, &offered[v as usize])?,
                v if v <= newest => {
                    if self.files[(v - self.first) as usize] != *file {
                        return Err(self.foreign(version, file));
                    }
                }
                _ => chain.append(file)?,
            }
        }
        Ok(chain)
    }

    /// Why a root is not the known one of its version. Another domain may have been founded with the same keys: that is
    /// a mix-up, and said so; everything else is a stranger's.
    fn foreign(&self, version: u64, file: &[u8]) -> TrustError {
        let document = file_name(version);
        let ours = |other: &ParsedRoot<R>| {
            Envelope::parse(&document, file).is_ok_and(|envelope| self.newest.check_signed_by(&envelope, other).is_ok())
        };
        let same_keys = parse(file, &document).ok().filter(ours);
        let mix_up = same_keys.and_then(|other| self.newest.root.check_successor(&other.root).err());
        mix_up.unwrap_or(TrustError::RootForeign { version })
    }

    /// Checks a root older than the enrolled one: it must lead, link by link, to the enrolled one.
    /// It lends no trust; but nothing unchecked travels in a bundle.
    fn check_forebear(&self, version: u64, file: &[u8], next: &[u8]) -> Result<(), TrustError> {
        let (name, next_name) = (file_name(version), file_name(version + 1));
        let parsed: ParsedRoot<R> = parse(file, &name)?;
        if parsed.root.version() != version {
            return Err(TrustError::RootGap { from: version.saturating_sub(1), to: parsed.root.version() });
        }
        let follower = parse(next, &next_name)?;
        let envelope = Envelope::parse(&next_name, next)?;
        parsed.check_signed_by(&envelope, &follower)
    }

    /// TUF §5.3.4 to §5.3.6: a new root needs the old root's threshold and its own, and the next version.
    fn append(&mut self, file: &[u8]) -> Result<(), TrustError> {
        let old = &self.newest;
        let document = file_name(old.root.version() + 1);
        let envelope = Envelope::parse(&document, file)?;
        let new = parse(file, &document)?;
        // §5.3.4: signed by a threshold of the old keys, and by a threshold of the new.
        old.check_signed_by(&envelope, &new)?;
        new.check_signed_by(&envelope, old)?;
        // §5.3.5: the version is exactly one higher.
        if new.root.version() != old.root.version() + 1 {
            return Err(TrustError::RootGap { from: old.root.version(), to: new.root.version() });
        }
        old.root.check_successor(&new.root)?;
        self.files.push(file.to_vec());
        self.newest = new;
        Ok(())
    }

    /// Checks the signatures of a document by one of the roles of the newest root.
    pub(super) fn check_role(&self, envelope: &Envelope<'_>, role: &str) -> Result<(), TrustError> {
        let entry = self.newest.role(role)?;
        check_threshold(envelope, role, entry, &self.newest.keys, |_| false)
    }

    /// Tells how far the signatures of a role have come on a document.
    ///
    /// # Errors
    /// [`TrustError`] where one of the signatures that are there does not count.
    pub fn progress(&self, envelope: &Envelope<'_>, role: &str) -> Result<Progress, TrustError> {
        keys::progress(envelope, self.newest.role(role)?, &self.newest.keys, |_| false)
    }
}

fn file_name(version: u64) -> String {
    format!("{version}.root.json")
}

impl<R: RootDocument> ParsedRoot<R> {
    fn role(&self, name: &str) -> Result<&Role, TrustError> {
        let role = self.root.roles().find(|(found, _)| *found == name);
        role.map(|(_, role)| role).ok_or_else(|| TrustError::Form {
            document: file_name(self.root.version()),
            reason: format!("role {name} is missing"),
        })
    }

    /// Demands this root's threshold on a root's envelope. Signatures of `other`'s root keys may stand
    /// there too: they are counted when `other` is asked.
    fn check_signed_by(&self, envelope: &Envelope<'_>, other: &Self) -> Result<(), TrustError> {
        let others = other.role("root")?;
        check_threshold(envelope, "root", self.role("root")?, &self.keys, |id| others.keyids.iter().any(|k| k == id))
    }
}

/// Interprets a root. A root vouches for itself first, so its `signed` part is read before its signature is
/// checked; nothing but its keys is used until the check has passed (TUF §5.3.3, §6.1).
fn parse<R: RootDocument>(file: &[u8], document: &str) -> Result<ParsedRoot<R>, TrustError> {
    let form = |reason: String| TrustError::Form { document: document.to_owned(), reason };
    let root: R = Envelope::parse(document, file)?.interpret()?;
    root.check_form().map_err(form)?;
    let mut keys = BTreeMap::new();
    for (id, key) in root.keys() {
        keys.insert(id.clone(), parse_public(document, id, key)?);
    }
    for (name, role) in root.roles() {
        let distinct: std::collections::BTreeSet<_> =
            role.keyids.iter().filter_map(|id| keys.get(id)).map(|k| k.to_bytes()).collect();
        if role.threshold == 0 || role.threshold > distinct.len() as u64 {
            return Err(form(format!("role {name} needs {} keys and has {}", role.threshold, distinct.len())));
        }
    }
    Ok(ParsedRoot { root, keys })
}
