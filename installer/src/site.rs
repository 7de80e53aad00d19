//! Who this site is and what it trusts: its name, its key, and per domain one file of roots and counters.
//!
//! Everything here is read before a bundle is looked at, and refused when any of it is damaged, missing or another
//! site's (17): a site that forgets is a site that takes old releases.

use std::collections::BTreeMap;

use consign_format::trust::TrustError;
use consign_format::trust::keys::{PublicKey, SecretKey, Signer};
use consign_format::trust::roots::RootChain;
use consign_format::{Digest, Name, error::Code, error::Coded, error::codes};
use serde::{Deserialize, Serialize};

use crate::allow::Allow;
use crate::config::ApplyConfig;
use crate::services::ServiceManager;
use crate::store::lock::{self, Lock};
use crate::store::{Store, StoreError, state_file};

mod age_key;
pub mod copy;
pub mod damage;
pub mod domain;
pub mod enrol;
pub mod grants;
pub mod kept;
mod pending;
pub mod record;
pub mod recover;
mod request;
pub mod secrets;

pub use damage::Damage;
pub use domain::{Counter, DomainState, ProductTrust};
pub use enrol::{After, Enrolled, Enrolment, enrol};
pub use kept::KeptStatement;
pub use record::KeptRecord;
pub use recover::{Recovered, Recovery, recover};

/// Who a site is. Written at the end of its enrolment, when a domain is added, and by a recovery.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Identity {
    /// The site's name.
    pub site: Name,
    /// Made at random at enrolment; names the chain of receipts.
    pub enrolment: String,
    /// Whether development roots are refused.
    pub production: bool,
    /// The key that receipts are signed with.
    pub public_key: PublicKey,
    /// What is meant for this site alone is encrypted to this age recipient.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recipient: Option<String>,
    /// The domains the site is enrolled in, and the fingerprint of the root that each was enrolled by.
    pub domains: BTreeMap<Name, Digest>,
    /// Whether this enrolment came after another one, of which nothing but the floors is known.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub recovered: bool,
    /// The last receipt of the enrolment before: what the first receipt of this one names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub continues: Option<Digest>,
    /// The keys before: what signed the receipts of enrolments that have ended.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub earlier_keys: Vec<PublicKey>,
}

/// An enrolled site.
#[derive(Debug)]
pub struct Site {
    /// Its store.
    pub store: Store,
    /// Who it is.
    pub identity: Identity,
    /// What it trusts and has seen, by domain.
    pub domains: BTreeMap<Name, DomainState>,
    /// Held by runs that change something.
    lock: Option<Lock>,
    /// What the administrator lets a release hold; everything, until it is said.
    pub allow: Allow,
    /// How the administrator lets objects be applied.
    pub apply: ApplyConfig,
    /// Whether files that others placed may be taken over.
    pub adopt_files: bool,
    /// Who runs the services of this machine, if somebody does.
    pub services: Option<Box<dyn ServiceManager>>,
}

/// The site cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SiteError {
    /// Nothing is enrolled here.
    #[error("no root of trust is enrolled under {}", dir.display())]
    NotEnrolled {
        /// The store.
        dir: std::path::PathBuf,
    },
    /// Its files cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The roots in the bundle do not follow those of the site.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// A development root, at a site for production.
    #[error("root {version} of domain `{domain}` is a development root, and this site is set up for production")]
    DevelopmentRoot {
        /// The domain.
        domain: Name,
        /// The version of the root.
        version: u64,
    },
}

impl Coded for SiteError {
    fn code(&self) -> Code {
        match self {
            SiteError::NotEnrolled { .. } => codes::NOT_ENROLLED,
            SiteError::Store(error) => error.code(),
            SiteError::Trust(error) => error.code(),
            SiteError::DevelopmentRoot { .. } => codes::DEVELOPMENT_ROOT,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            SiteError::NotEnrolled { .. } => {
                Some("run consign-site enrol --root FILE --root-sha256 HEX --site NAME first".to_owned())
            }
            SiteError::Store(error) => error.hint(),
            SiteError::Trust(error) => error.hint(),
            SiteError::DevelopmentRoot { .. } => Some("bring a bundle of the production domain".to_owned()),
        }
    }
}

fn identity_file(store: &Store) -> std::path::PathBuf {
    store.trust_dir().join("site")
}

fn key_file(store: &Store) -> std::path::PathBuf {
    store.trust_dir().join("site.key")
}

/// Reads the key that lies here, which must be byte for byte as this program wrote it.
fn stored_key(store: &Store) -> Result<SecretKey, StoreError> {
    let path = key_file(store);
    let pem = state_file::read_bytes(&path, 4096)?.ok_or_else(|| StoreError::Missing { path: path.clone() })?;
    let text = String::from_utf8_lossy(&pem);
    let key = SecretKey::from_pem(&text).map_err(|error| StoreError::damaged(&path, error))?;
    if key.to_pem().ok().as_deref() != Some(&*text) {
        return Err(StoreError::damaged(path, "it is not as it was written"));
    }
    Ok(key)
}

/// Reads the site's key.
fn read_key(store: &Store, identity: &Identity) -> Result<SecretKey, StoreError> {
    let key = stored_key(store)?;
    if PublicKey::of(&key as &dyn Signer) != identity.public_key {
        return Err(StoreError::damaged(key_file(store), "it is not the key of this site"));
    }
    Ok(key)
}

impl Site {
    /// Opens a site to look at it.
    pub fn open(store: Store) -> Result<Self, SiteError> {
        pending::refuse(&store)?;
        let Some(identity) = state_file::read::<Identity>(&identity_file(&store))? else {
            return Err(match damage::trace_of_use(&store) {
                Some(trace) => {
                    let reason = format!("it is missing, and {} shows that a site was enrolled here", trace.display());
                    StoreError::damaged(identity_file(&store), reason).into()
                }
                None => SiteError::NotEnrolled { dir: store.dir().to_owned() },
            });
        };
        read_key(&store, &identity)?;
        age_key::read(&store, &identity)?;
        let mut domains = BTreeMap::new();
        for name in identity.domains.keys() {
            domains.insert(name.clone(), DomainState::read(&store, &identity, name)?);
        }
        let site = Site {
            store,
            identity,
            domains,
            lock: None,
            allow: Allow::default(),
            apply: ApplyConfig::default(),
            adopt_files: false,
            services: None,
        };
        site.check_traces()?;
        Ok(site)
    }

    /// Opens a site to change it: one run at a time.
    pub fn open_exclusive(store: Store) -> Result<Self, SiteError> {
        if !store.dir().exists() {
            return Err(SiteError::NotEnrolled { dir: store.dir().to_owned() });
        }
        let lock = lock::take(&store)?;
        let mut site = Site::open(store)?;
        // Needed last, for the receipt; missed then, it would be missed after everything has been changed.
        site.key()?;
        site.lock = Some(lock);
        Ok(site)
    }

    /// A product that was applied here has a file, and a receipt; one of them gone, the counters may be wrong as well.
    fn check_traces(&self) -> Result<(), StoreError> {
        let mut applied = false;
        for (domain, state) in &self.domains {
            for (product, trust) in &state.products {
                applied |= trust.applied.is_some();
                if trust.verified.is_some() && self.store.read_product(domain, product)?.is_none() {
                    return Err(StoreError::Missing { path: self.store.product_file(domain, product) });
                }
            }
        }
        // After a recovery receipts are counted from 1 again, and what was applied before has none.
        match self.store.last_receipt_number()? {
            0 if applied && !self.identity.recovered => Err(StoreError::Missing { path: self.store.receipts_dir() }),
            0 => Ok(()),
            n => self.store.read_receipt(n, &self.identity.public_key).map(|_| ()),
        }
    }

    /// Finds the domain whose enrolled root travels in the bundle and follows the bundle's roots from there.
    /// Nothing is written; see [`Site::commit_roots`].
    pub fn follow(&self, offered: &[Vec<u8>]) -> Result<(Name, RootChain), SiteError> {
        let mut refusal = None;
        for (name, state) in &self.domains {
            let chain = state.chain(&self.store)?;
            match chain.follow(offered) {
                Ok(longer) => {
                    if longer.root().development && self.identity.production {
                        let version = longer.root().version;
                        return Err(SiteError::DevelopmentRoot { domain: name.clone(), version });
                    }
                    return Ok((name.clone(), longer));
                }
                // Of several domains, the one whose first root is in the bundle has the better reason to tell.
                Err(error) => match (&refusal, &error) {
                    (Some(_), TrustError::RootForeign { .. }) => {}
                    (Some(known), TrustError::OtherDomain { .. })
                        if !matches!(known, TrustError::RootForeign { .. }) => {}
                    _ => refusal = Some(error),
                },
            }
        }
        let dir = self.store.dir().to_owned();
        Err(refusal.map_or(SiteError::NotEnrolled { dir }, SiteError::Trust))
    }

    /// Commits newer roots at once, so that a revocation lands even from a bad stick (TRUST §3.3).
    /// Returns the versions before and after, if there are newer ones.
    pub fn commit_roots(&mut self, domain: &Name, chain: &RootChain) -> Result<(), SiteError> {
        let Some(state) = self.domains.get_mut(domain) else { return Ok(()) };
        let old = state.chain(&self.store)?.root().version;
        if chain.root().version > old {
            state.adopt(chain, &self.store)?;
            state.unreceipted.get_or_insert(old);
            state.write(&self.store)?;
        }
        Ok(())
    }

    /// The versions before and after a change of roots that no receipt speaks of yet.
    pub(crate) fn unreceipted_roots(&self, domain: &Name) -> Result<Option<(u64, u64)>, StoreError> {
        let Some(state) = self.domains.get(domain) else { return Ok(None) };
        let Some(old) = state.unreceipted else { return Ok(None) };
        Ok(Some((old, state.chain(&self.store)?.root().version)))
    }

    /// The receipt of the change of roots is written.
    pub(crate) fn roots_receipted(&mut self, domain: &Name) -> Result<(), StoreError> {
        let Some(state) = self.domains.get_mut(domain) else { return Ok(()) };
        state.unreceipted = None;
        state.write(&self.store)
    }

    /// The key that receipts are signed with.
    pub fn key(&self) -> Result<SecretKey, StoreError> {
        read_key(&self.store, &self.identity)
    }

    /// The lowest sequence of a product that the newest root accepts; 0 where it names none.
    pub fn floor(&self, domain: &Name, product: &Name) -> u64 {
        let chain = self.domains.get(domain).and_then(|state| state.chain(&self.store).ok());
        chain.and_then(|chain| chain.root().floor.get(product).map(|floor| floor.sequence)).unwrap_or(0)
    }
}
