//! What the site keeps of the Secrets that headquarters encrypted to it: the newest statement of each domain, as it was
//! signed. It is decrypted when a release is applied, and not before.
//!
//! The statement has a file of its own, for it may be large; the domain's file remembers which one was taken last. So a
//! statement that is damaged, gone or older than that one is missed, and never taken for a site without Secrets.

use std::path::PathBuf;

use consign_format::trust::TrustError;
use consign_format::trust::roots::RootChain;
use consign_format::trust::site_secrets::SiteSecrets;
use consign_format::trust::statement::Statement;
use consign_format::{Digest, Name};
use consign_registry::durable::create_dir;
use serde::{Deserialize, Serialize};

use super::{DomainState, Identity, KeptStatement, Site, SiteError};
use crate::store::{Store, StoreError, state_file};

/// What the document is called in errors.
const DOCUMENT: &str = "the statement of secrets";

/// A statement of Secrets, and the envelope it came in.
type KeptSecrets = KeptStatement<SiteSecrets>;

/// Which statement was taken last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct KnownSecrets {
    /// Its serial.
    pub serial: u64,
    /// The digest of what was signed.
    pub digest: Digest,
    /// The ids of the keys that have signed it.
    pub by: Vec<String>,
}

/// What a site has of the Secrets of one domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Held {
    /// No statement was ever taken.
    Never,
    /// The newest one that was taken: whole, vouched for by the newest root, for the site's key.
    Here(SiteSecrets),
    /// One was taken, and cannot be used: headquarters must bring it again, or a newer one. Why, in words.
    Absent(String),
}

/// What became of a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Taken {
    /// It counts now; said in words.
    New(String),
    /// It is for another site, or older than what is here, or the same.
    PassedOver,
    /// It is for this site and is not taken, and somebody should know; said in words.
    Refused(String),
}

impl KnownSecrets {
    fn of(kept: &KeptSecrets) -> Result<Self, TrustError> {
        let (digest, by) = kept.signed()?;
        Ok(KnownSecrets { serial: kept.statement.serial, digest, by })
    }

    /// Whether the newest root's approvers stand behind it, by the keys that have signed: the serial goes on to count when
    /// the statement itself is lost, and ends to count with a key that was stolen and revoked.
    fn is_vouched_by(&self, chain: &RootChain) -> bool {
        let Some(role) = chain.root().roles.get(SiteSecrets::ROLE) else { return false };
        self.by.len() as u64 >= role.threshold && self.by.iter().all(|key| role.keyids.contains(key))
    }
}

/// `trust/secrets/DOMAIN`
fn file(store: &Store, domain: &Name) -> PathBuf {
    store.trust_dir().join("secrets").join(domain.as_str())
}

/// What is kept of one domain, whoever asks: a site that is open, or a look at one that is damaged.
struct Keeping<'a> {
    identity: &'a Identity,
    known: Option<&'a KnownSecrets>,
    chain: RootChain,
    read: Result<Option<KeptSecrets>, StoreError>,
    path: PathBuf,
}

impl<'a> Keeping<'a> {
    fn look(store: &Store, identity: &'a Identity, state: &'a DomainState) -> Result<Self, StoreError> {
        let path = file(store, &state.domain);
        let read = state_file::read(&path);
        Ok(Keeping { identity, known: state.secrets.as_ref(), chain: state.chain(store)?, read, path })
    }

    /// The last statement that was taken and that the newest root vouches for: by the domain's file or by the statement
    /// itself, whichever is newer. After a power cut the statement is the newer one.
    fn last(&self) -> Option<KnownSecrets> {
        let known = self.known.filter(|known| known.is_vouched_by(&self.chain)).cloned();
        let kept = self.read.as_ref().ok().and_then(Option::as_ref).filter(|kept| kept.is_vouched_by(&self.chain));
        let kept = kept.and_then(|kept| KnownSecrets::of(kept).ok());
        match (known, kept) {
            (Some(known), Some(kept)) if kept.serial > known.serial => Some(kept),
            (known, kept) => known.or(kept),
        }
    }

    fn held(&self) -> Held {
        let kept = match (&self.read, self.known) {
            (Err(error), _) => return Held::Absent(error.to_string()),
            (Ok(None), None) => return Held::Never,
            (Ok(None), Some(known)) => {
                return Held::Absent(format!("number {} was taken, and {} is gone", known.serial, self.path.display()));
            }
            (Ok(Some(kept)), _) => kept,
        };
        let (secrets, last) = (&kept.statement, self.last());
        let serial = secrets.serial;
        let digest = kept.signed().ok().map(|(digest, _)| digest);
        if !kept.is_vouched_by(&self.chain) {
            let root = self.chain.root().version;
            return Held::Absent(format!("number {serial} is not signed by the approvers that root {root} names"));
        }
        if let Some(last) = last.filter(|last| Some(last.digest) != digest) {
            return Held::Absent(format!(
                "number {serial} is here, and another one, number {}, was taken",
                last.serial
            ));
        }
        if !self.is_readable(secrets) {
            return Held::Absent(format!(
                "number {serial} is encrypted to {}, and this site's key is another one by now",
                secrets.recipient
            ));
        }
        Held::Here(secrets.clone())
    }

    fn is_readable(&self, secrets: &SiteSecrets) -> bool {
        secrets.site == self.identity.site && self.identity.recipient.as_ref() == Some(&secrets.recipient)
    }

    /// Why an offered statement for this site is not taken; `None`: it is.
    fn refuses(&self, offered: &KnownSecrets, secrets: &SiteSecrets) -> Option<Taken> {
        let (serial, is_here) = (offered.serial, matches!(self.held(), Held::Here(_)));
        if let Some(last) = self.last() {
            let is_same = last.digest == offered.digest;
            if is_here
                && (serial < last.serial || is_same && self.known.is_some_and(|known| known.digest == last.digest))
            {
                return Some(Taken::PassedOver);
            }
            if serial < last.serial {
                let last = last.serial;
                return Some(Taken::Refused(format!(
                    "secrets number {serial} are older than number {last}, taken before"
                )));
            }
            if serial == last.serial && !is_same {
                return Some(Taken::Refused(format!("secrets number {serial} are known, and say something else")));
            }
        }
        (!self.is_readable(secrets)).then(|| {
            let recipient = &secrets.recipient;
            Taken::Refused(format!(
                "secrets number {serial} for this site are encrypted to {recipient}, which is not its recipient"
            ))
        })
    }
}

/// What a site has of the Secrets of one domain.
pub(super) fn held(store: &Store, identity: &Identity, state: &DomainState) -> Result<Held, StoreError> {
    Ok(Keeping::look(store, identity, state)?.held())
}

impl Site {
    /// What the site has of the Secrets of a domain.
    ///
    /// # Errors
    /// [`StoreError`]: the domain's roots do not hold. A statement that is damaged is no error, it is absent.
    pub fn secrets(&self, domain: &Name) -> Result<Held, StoreError> {
        let Some(state) = self.domains.get(domain) else { return Ok(Held::Never) };
        held(&self.store, &self.identity, state)
    }

    /// What somebody should know of the Secrets of a domain: that they must be brought again.
    pub(crate) fn secrets_warning(&self, domain: &Name) -> Result<Option<String>, StoreError> {
        Ok(match self.secrets(domain)? {
            Held::Absent(why) => Some(format!("the secrets of this site must be brought again: {why}")),
            Held::Never | Held::Here(_) => None,
        })
    }

    /// Keeps a statement whose signatures hold, if it is for this site and newer than the one that was taken last, or
    /// that one again.
    ///
    /// # Errors
    /// [`SiteError`]: not signed by the approvers; the site's files cannot be used.
    pub fn take_secrets(&mut self, domain: &Name, bytes: &[u8]) -> Result<Taken, SiteError> {
        let Some(state) = self.domains.get_mut(domain) else { return Ok(Taken::PassedOver) };
        let keeping = Keeping::look(&self.store, &self.identity, state)?;
        let kept = KeptSecrets::check(DOCUMENT, &keeping.chain, bytes)?;
        if kept.statement.site != self.identity.site {
            return Ok(Taken::PassedOver);
        }
        let offered = KnownSecrets::of(&kept)?;
        if let Some(refused) = keeping.refuses(&offered, &kept.statement) {
            return Ok(refused);
        }
        let path = keeping.path;
        if let Some(folder) = path.parent() {
            create_dir(folder, 0o700).map_err(StoreError::from)?;
        }
        // The statement before the memory of it: a power cut in between leaves a newer statement, which counts.
        state_file::write(&path, &kept, 0o600)?;
        state.secrets = Some(offered);
        state.write(&self.store)?;
        let (serial, list) = (kept.statement.serial, list(&kept.statement));
        Ok(Taken::New(format!("secrets number {serial} of this site: {list}")))
    }
}

fn list(secrets: &SiteSecrets) -> String {
    let names = secrets.secrets.iter().map(|secret| format!("{}/{}", secret.namespace, secret.name));
    names.collect::<Vec<_>>().join(", ")
}
