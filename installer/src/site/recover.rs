//! Recovery: a site whose state is damaged gets it back, and nothing of it is taken for fresh (TRUST §4).
//!
//! Of each domain, in this order: the file that is there, if it holds; the signed copy that the cluster keeps; the root
//! and the floors that a person brings from headquarters. Whatever is used, counters are never lower than what the site's
//! receipts and products still say. Every recovery ends the chain of receipts and begins another, whose first receipt
//! names the last one that is known, so that headquarters sees that there was one.

use std::collections::BTreeMap;

use consign_format::trust::Fingerprint;
use consign_format::trust::keys::PublicKey;
use consign_format::trust::roots::RootChain;
use consign_format::{Digest, Name};

use super::copy::{self, LastReceipt};
use super::damage::absent_secrets;
use super::enrol::{After, EnrolError, new_id};
use super::pending::{self, Pending};
use super::{Damage, DomainState, Identity, Site, SiteError, request};
use crate::store::products::ProductState;
use crate::store::{Store, StoreError, lock};

mod error;
mod keys;
mod own_file;
mod recovered;

pub use error::RecoverError;
use keys::Keys;
pub use recovered::{Recovered, Source};

/// What a recovery may use beside the site's own files.
pub struct Recovery<'a> {
    /// The root once more, from headquarters, for one domain.
    pub again: Option<Again<'a>>,
    /// What the cluster keeps, by domain: unchecked bytes, or why there are none.
    pub copies: BTreeMap<Name, Result<Vec<u8>, String>>,
    /// Seconds since 1970, for the enrol-requests.
    pub now: u64,
    /// Fills a buffer with random bytes.
    pub random: &'a dyn Fn(&mut [u8]) -> std::io::Result<()>,
}

/// A root that a person brings, and what headquarters knows.
pub struct Again<'a> {
    /// The bytes of the root file.
    pub root: &'a [u8],
    /// Its fingerprint from another path.
    pub fingerprint: Option<Fingerprint>,
    /// The site's name.
    pub site: Name,
    /// Whether development roots are refused.
    pub production: bool,
    /// What headquarters knows from the last receipt.
    pub after: After,
}

/// Recovers a site. A recovery that was cut off is finished.
pub fn recover(store: &Store, recovery: &Recovery<'_>) -> Result<Recovered, RecoverError> {
    if !store.dir().exists() {
        return Err(SiteError::NotEnrolled { dir: store.dir().to_owned() }.into());
    }
    let _lock = lock::take(store)?;
    let finished = match pending::finish(store) {
        // A dying disk may have torn it; then it is damage like any other, and this recovery writes a new one.
        Err(StoreError::Damaged { .. }) => false,
        other => other?,
    };
    match Site::open(store.clone()) {
        Ok(site) if finished => {
            let sources = site.domains.keys().map(|domain| (domain.clone(), Source::File));
            return Ok(Recovered::new(store, &site.identity, site.domains.values(), sources));
        }
        Ok(site) => return Err(sound(store, site)),
        Err(SiteError::Store(StoreError::Damaged { .. } | StoreError::Missing { .. })) => {}
        Err(other) => return Err(other.into()),
    }
    let damage = Damage::look(store);
    let mut work = Work { store, damage: &damage, recovery, receipts: Vec::new(), used: Vec::new() };
    let domains = work.domains()?;
    let continues = work.last_receipt();
    let (identity, keys) = work.identity(&domains, continues)?;
    let (pending, sources) = work.pending(identity, keys, domains)?;
    pending.commit(store)?;
    let new_key = pending.key.is_some() || pending.age_key.is_some();
    let recovered = Recovered::new(store, &pending.identity, &pending.domains, sources);
    Ok(Recovered { new_key, used: work.used, ..recovered })
}

/// Nothing is to be recovered; what can only be brought again is said.
fn sound(store: &Store, site: Site) -> RecoverError {
    let absent = absent_secrets(store, &site.identity, site.domains.values());
    let site = site.identity.site;
    if absent.is_empty() {
        return RecoverError::Sound { site };
    }
    let reasons = absent.into_iter().map(|(domain, why)| format!("domain {domain}: {why}")).collect();
    RecoverError::Secrets { site, reasons }
}

/// One recovery.
struct Work<'a> {
    store: &'a Store,
    damage: &'a Damage,
    recovery: &'a Recovery<'a>,
    /// Last receipts that copies speak of.
    receipts: Vec<LastReceipt>,
    /// What was used beside the sources of the domains, in words.
    used: Vec<String>,
}

/// A domain's state, and where it came from.
type Found = (DomainState, Source);

impl Work<'_> {
    /// The state of every domain, or why there is none.
    fn domains(&mut self) -> Result<BTreeMap<Name, Found>, RecoverError> {
        let (mut found, mut reasons) = (BTreeMap::new(), Vec::new());
        if let Err(error) = &self.damage.identity {
            reasons.push(format!("the site's identity: {error}"));
        }
        for (domain, file) in &self.damage.domains {
            match file {
                Ok(state) => drop(found.insert(domain.clone(), (state.clone(), Source::File))),
                Err(error) => match self.of_cluster(domain)? {
                    Ok(state) => drop(found.insert(domain.clone(), (state, Source::Cluster))),
                    Err(why) => reasons.push(format!("domain {domain}: {error}; {why}")),
                },
            }
        }
        if let Some(again) = &self.recovery.again {
            let (domain, state) = self.of_headquarters(again, &found)?;
            let is_file = found.get(&domain).is_some_and(|(_, source)| *source == Source::File);
            found.insert(domain.clone(), (state, if is_file { Source::File } else { Source::Headquarters }));
            reasons.retain(|reason| !reason.starts_with("the site's identity") && !is_about(reason, &domain));
        }
        if !reasons.is_empty() {
            return Err(RecoverError::Lost { reasons });
        }
        Ok(found)
    }

    /// The copy in the cluster, if it is this site's, and not older than what the site's own files say.
    fn of_cluster(&mut self, domain: &Name) -> Result<Result<DomainState, String>, RecoverError> {
        let Ok(identity) = &self.damage.identity else { return Ok(Err("nobody knows whose copy it would be".into())) };
        let bytes = match self.recovery.copies.get(domain) {
            Some(Ok(bytes)) => bytes,
            Some(Err(why)) => return Ok(Err(format!("there is no copy in the cluster: {why}"))),
            None => return Ok(Err("there is no copy in the cluster".to_owned())),
        };
        let copied = match copy::open(bytes, identity, domain) {
            Ok(copied) => copied,
            Err(why) => return Ok(Err(format!("the copy in the cluster does not count: {why}"))),
        };
        self.check_root(domain, &identity.site, &copied.chain)?;
        self.receipts.extend(copied.receipt);
        let mut state = copied.state;
        state.raise(self.damage.evidence(self.store, domain, &identity.site));
        Ok(Ok(state))
    }

    /// The root and floors that a person brought. A file that holds is kept, and its counters only go up.
    fn of_headquarters(
        &mut self,
        again: &Again<'_>,
        found: &BTreeMap<Name, Found>,
    ) -> Result<(Name, DomainState), RecoverError> {
        let chain = RootChain::enrol_by(again.root, again.fingerprint.as_ref()).map_err(EnrolError::from)?;
        let domain = chain.domain().clone();
        if let Ok(identity) = &self.damage.identity
            && identity.site != again.site
        {
            let (found, given) = (identity.site.clone(), again.site.clone());
            return Err(EnrolError::OtherName { found, given }.into());
        }
        let mut state = match found.get(&domain) {
            Some((state, _)) => {
                let mut state = state.clone();
                // A root from headquarters knows of revocations that an older state does not.
                if state.chain(self.store)?.root().version < chain.root().version {
                    state.roots = vec![String::from_utf8_lossy(again.root).into_owned()];
                }
                state
            }
            None => self.new_state(again, &domain)?,
        };
        let chain = state.chain(self.store)?;
        if chain.root().development && self.is_production() {
            return Err(SiteError::DevelopmentRoot { domain, version: chain.root().version }.into());
        }
        state.raise(self.damage.evidence(self.store, &domain, &again.site));
        state.raise_floors(&again.after.floors);
        Ok((domain, state))
    }

    /// A domain anew from its root, lifted by the file that lies in its place as far as that holds by itself.
    fn new_state(&mut self, again: &Again<'_>, domain: &Name) -> Result<DomainState, RecoverError> {
        let mut state = DomainState::new(&again.site, "", domain, again.root);
        let lifted = own_file::lift(&mut state, self.store);
        self.check_root(domain, &again.site, &state.chain(self.store)?)?;
        self.used.extend(lifted.map(|words| format!("domain {domain}: {words}")));
        if self.damage.identity.is_err() {
            let left = own_file::left_behind(self.store, &again.site, |other| other == domain);
            self.used.extend(left.map(|other| {
                format!(
                    "domain {other}: left out, for its root was not brought; enrol it again with --root and --floor"
                )
            }));
        }
        Ok(state)
    }

    fn check_root(&self, domain: &Name, site: &Name, chain: &RootChain) -> Result<(), RecoverError> {
        let (known, offered) = (self.damage.newest_root(domain, site), chain.root().version);
        if offered < known {
            return Err(RecoverError::OlderRoot { domain: domain.clone(), known, offered });
        }
        Ok(())
    }

    fn is_production(&self) -> bool {
        self.damage.identity.as_ref().is_ok_and(|identity| identity.production)
            || self.recovery.again.as_ref().is_some_and(|again| again.production)
    }

    /// The last receipt that is known: by headquarters, by the site, by the cluster.
    fn last_receipt(&self) -> Option<Digest> {
        let said = self.recovery.again.as_ref().and_then(|again| again.after.last_receipt);
        let own = self.damage.receipts.as_ref().ok().and_then(|chain| chain.last());
        let copied = self.receipts.iter().max_by_key(|receipt| receipt.n).map(|receipt| receipt.digest);
        let before = self.damage.identity.as_ref().ok().and_then(|identity| identity.continues);
        said.or(own.map(|kept| Digest::of(&kept.bytes))).or(copied).or(before)
    }

    /// Who the site is from now on, and its keys: those that are there, or new ones.
    fn identity(
        &self,
        domains: &BTreeMap<Name, Found>,
        continues: Option<Digest>,
    ) -> Result<(Identity, Keys), RecoverError> {
        let first = |state: &DomainState| state.roots.first().map(|root| Digest::of(root.as_bytes()));
        let site = match (&self.damage.identity, &self.recovery.again) {
            (Ok(identity), _) => identity.site.clone(),
            (Err(_), Some(again)) => again.site.clone(),
            (Err(error), None) => return Err(RecoverError::Lost { reasons: vec![error.to_string()] }),
        };
        let keys = Keys::kept_or_new(self.damage, self.store, self.recovery.random)?;
        let public_key = PublicKey::of(&keys.signing);
        let earlier_keys = self.damage.receipt_keys.iter().filter(|key| **key != public_key).cloned().collect();
        let identity = Identity {
            site,
            enrolment: new_id(self.recovery.random)?,
            production: self.is_production(),
            public_key,
            earlier_keys,
            recipient: Some(keys.recipient.clone()),
            domains: domains.iter().filter_map(|(name, (state, _))| Some((name.clone(), first(state)?))).collect(),
            recovered: true,
            continues,
        };
        Ok((identity, keys))
    }

    fn pending(
        &self,
        identity: Identity,
        keys: Keys,
        domains: BTreeMap<Name, Found>,
    ) -> Result<(Pending, BTreeMap<Name, Source>), RecoverError> {
        let (mut states, mut products, mut requests, mut sources) =
            (Vec::new(), Vec::new(), BTreeMap::new(), BTreeMap::new());
        for (domain, (mut state, source)) in domains {
            state.enrolment = identity.enrolment.clone();
            products.extend(self.lost_products(&state));
            let request =
                request::request(&identity, &domain, &keys.signing, self.recovery.now).map_err(EnrolError::from)?;
            requests.insert(domain.clone(), request);
            sources.insert(domain, source);
            states.push(state);
        }
        let (key, age_key) = (keys.new_signing, keys.new_age_key);
        let pending = Pending { identity, key, age_key, domains: states, products, requests, ends_chain: true };
        Ok((pending, sources))
    }

    /// Products that the counters know and that have lost their file: nothing of them is current until they are installed
    /// again.
    fn lost_products(&self, state: &DomainState) -> Vec<ProductState> {
        let known = state.products.iter().filter(|(_, trust)| trust.verified.is_some());
        let lost = known.filter(|(product, _)| !matches!(self.store.read_product(&state.domain, product), Ok(Some(_))));
        lost.map(|(product, _)| ProductState::new(state.domain.clone(), product.clone())).collect()
    }
}

fn is_about(reason: &str, domain: &Name) -> bool {
    reason
        .strip_prefix("domain ")
        .and_then(|rest| rest.strip_prefix(domain.as_str()))
        .is_some_and(|r| r.starts_with(':'))
}
