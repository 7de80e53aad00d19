//! Enrolment: a site takes its first root, from a path that people vouch for, and makes its own key.
//!
//! There is no trust on first use. All that an enrolment writes is written at once (`pending.rs`), so a power cut leaves
//! either a site that was never enrolled or one whose enrolment is finished by running it again.

use std::collections::BTreeMap;
use std::path::PathBuf;

use consign_format::error::{Code, Coded, codes};
use consign_format::trust::keys::{PublicKey, SecretKey, SignError};
use consign_format::trust::roots::RootChain;
use consign_format::trust::{Fingerprint, TrustError};
use consign_format::{Digest, Name};
use consign_registry::durable::{DurableError, create_dir};
use consign_sealed::SiteKey;

use super::pending::{self, Pending};
use super::record::{self, KeptRecord, RecordError};
use super::{DomainState, Identity, Site, SiteError, request};
use crate::store::{Store, StoreError, lock};

/// What an enrolment needs.
pub struct Enrolment<'a> {
    /// The bytes of the root file.
    pub root: &'a [u8],
    /// Its fingerprint from another path, such as paper.
    pub fingerprint: Option<Fingerprint>,
    /// The site's name.
    pub site: Name,
    /// Whether development roots are refused, now and later.
    pub production: bool,
    /// Refuse a machine that is a site already, instead of adding the domain to it.
    pub replace: bool,
    /// What was before, for a site that takes the place of another one.
    pub after: Option<After>,
    /// What headquarters has made for this site beforehand.
    pub kit: Option<Kit>,
    /// Seconds since 1970, for the enrol-request; it decides nothing.
    pub now: u64,
    /// Fills a buffer with random bytes.
    pub random: &'a dyn Fn(&mut [u8]) -> std::io::Result<()>,
}

/// What headquarters knows of a site that has forgotten it. Made on purpose: an empty list of floors says that any
/// sequence may come first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct After {
    /// The lowest sequence that may be taken, by product.
    pub floors: BTreeMap<Name, u64>,
    /// The digest of the last receipt, which the first one of the new enrolment will name.
    pub last_receipt: Option<Digest>,
}

/// What a depot has made for a site.
pub struct Kit {
    /// The site's key.
    pub key: SecretKey,
    /// Its age key.
    pub age_key: SiteKey,
    /// The site record, signed by the approvers.
    pub record: Vec<u8>,
}

/// What came of it.
#[derive(Debug, Clone, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Enrolled {
    /// The site.
    pub site: Name,
    /// The domain of the root.
    pub domain: Name,
    /// The root's fingerprint.
    pub fingerprint: Digest,
    /// Whether the root is a development root.
    pub development: bool,
    /// The enrolment's id.
    pub enrolment: String,
    /// The key that receipts will be signed with; headquarters needs it.
    pub public_key: PublicKey,
    /// The age recipient that is encrypted to; headquarters needs it.
    pub recipient: Option<String>,
    /// The enrol-request for headquarters.
    pub request: PathBuf,
    /// Its sha256, which is compared by telephone.
    pub request_fingerprint: Digest,
    /// The serial of the site record, if a kit brought one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub record: Option<u64>,
}

/// Why a site is not enrolled.
#[derive(Debug, thiserror::Error)]
pub enum EnrolError {
    /// The root does not hold, or is not the one that was meant.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// The site, or its files, cannot be used.
    #[error(transparent)]
    Site(#[from] SiteError),
    /// The site record of the kit is not taken.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The enrol-request cannot be signed.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// The domain is enrolled.
    #[error("domain `{domain}` is enrolled at this site, with root {fingerprint}")]
    Domain {
        /// The domain.
        domain: Name,
        /// The fingerprint of the root that was enrolled.
        fingerprint: Digest,
    },
    /// The site has another name.
    #[error("this site is enrolled as `{found}`, and not as `{given}`")]
    OtherName {
        /// Its name.
        found: Name,
        /// What was asked for.
        given: Name,
    },
    /// A site is there, and another one was to take its place.
    #[error("this machine is site `{site}` already, and nothing of it is lost")]
    InPlace {
        /// Its name.
        site: Name,
    },
    /// The site was recovered, so it may have seen releases of the domain; nobody has said which.
    #[error("this site was recovered, and may have forgotten what it accepted in domain `{domain}`")]
    Forgotten {
        /// The domain.
        domain: Name,
    },
    /// The kit's record names other keys.
    #[error("the site record of the kit is for other keys than the kit has")]
    KitKey,
    /// No key could be made.
    #[error("cannot make the site's key")]
    Key {
        /// Why.
        source: std::io::Error,
    },
}

impl From<StoreError> for EnrolError {
    fn from(error: StoreError) -> Self {
        EnrolError::Site(error.into())
    }
}

impl From<DurableError> for EnrolError {
    fn from(error: DurableError) -> Self {
        StoreError::from(error).into()
    }
}

impl Coded for EnrolError {
    fn code(&self) -> Code {
        match self {
            EnrolError::Trust(error) => error.code(),
            EnrolError::Site(error) => error.code(),
            EnrolError::Record(error) => error.code(),
            EnrolError::Sign(error) => error.code(),
            EnrolError::Domain { .. } | EnrolError::OtherName { .. } | EnrolError::InPlace { .. } => {
                codes::ALREADY_ENROLLED
            }
            EnrolError::Forgotten { .. } => codes::USAGE,
            EnrolError::KitKey => codes::DOCUMENT_MALFORMED,
            EnrolError::Key { .. } => codes::IO,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            EnrolError::Trust(error) => error.hint(),
            EnrolError::Site(error) => error.hint(),
            EnrolError::Record(error) => error.hint(),
            EnrolError::Sign(error) => error.hint(),
            EnrolError::Domain { .. } => {
                Some("newer roots come with the bundles; there is nothing to enrol again".to_owned())
            }
            EnrolError::OtherName { found, .. } => Some(format!("add a domain with --site {found}")),
            EnrolError::InPlace { .. } => Some("--replace is for a new disk; leave it out to add a domain".to_owned()),
            EnrolError::Forgotten { .. } => Some(
                "say --floor PRODUCT=SEQUENCE from the last receipts at headquarters, or --without-floor".to_owned(),
            ),
            EnrolError::KitKey => Some("have headquarters prepare the kit again".to_owned()),
            EnrolError::Key { .. } => None,
        }
    }
}

/// Enrols a site, or adds a domain to one that is enrolled. An enrolment that was cut off is finished.
pub fn enrol(store: &Store, enrolment: &Enrolment<'_>) -> Result<Enrolled, EnrolError> {
    let chain = RootChain::enrol_by(enrolment.root, enrolment.fingerprint.as_ref())?;
    let domain = chain.domain().clone();
    if chain.root().development && enrolment.production {
        return Err(SiteError::DevelopmentRoot { domain, version: chain.root().version }.into());
    }
    let record = enrolment.kit.as_ref().map(|kit| check_kit(&chain, &enrolment.site, kit)).transpose()?;
    create_dir(store.dir(), 0o755)?;
    let _lock = lock::take(store)?;
    let finished = pending::finish(store)?;
    let (mut identity, key, age_key) = match Site::open(store.clone()) {
        Ok(site) if finished && site.identity.domains.get(&domain) == Some(&chain.fingerprint()) => {
            return enrolled(store, &site.identity, &chain, record.as_ref());
        }
        Ok(site) if enrolment.replace => return Err(EnrolError::InPlace { site: site.identity.site }),
        Ok(site) => (check_addable(&site, &domain, enrolment, &chain)?, None, None),
        Err(SiteError::NotEnrolled { .. }) => new_site(enrolment)?,
        Err(other) => return Err(other.into()),
    };
    identity.domains.insert(domain.clone(), chain.fingerprint());
    let mut state = DomainState::new(&identity.site, &identity.enrolment, &domain, enrolment.root);
    state.raise_floors(enrolment.after.iter().flat_map(|after| &after.floors));
    state.record = record.clone();
    let signing = match &key {
        Some(pem) => SecretKey::from_pem(pem).map_err(|reason| key_error(std::io::Error::other(reason)))?,
        None => super::read_key(store, &identity)?,
    };
    let requests = BTreeMap::from([(domain.clone(), request::request(&identity, &domain, &signing, enrolment.now)?)]);
    let (domains, products) = (vec![state], Vec::new());
    let pending = Pending { identity, key, age_key, domains, products, requests, ends_chain: false };
    pending.commit(store)?;
    enrolled(store, &pending.identity, &chain, record.as_ref())
}

fn key_error(source: std::io::Error) -> EnrolError {
    EnrolError::Key { source }
}

fn enrolled(
    store: &Store,
    identity: &Identity,
    chain: &RootChain,
    record: Option<&KeptRecord>,
) -> Result<Enrolled, EnrolError> {
    let domain = chain.domain().clone();
    let request = store.enrol_request_file(&domain);
    let bytes = crate::store::state_file::read_bytes(&request, 1 << 20)?;
    let bytes = bytes.ok_or_else(|| StoreError::Missing { path: request.clone() })?;
    Ok(Enrolled {
        site: identity.site.clone(),
        domain,
        fingerprint: chain.fingerprint(),
        development: chain.root().development,
        enrolment: identity.enrolment.clone(),
        public_key: identity.public_key.clone(),
        recipient: identity.recipient.clone(),
        request,
        request_fingerprint: Digest::of(&bytes),
        record: record.map(|kept| kept.statement.serial),
    })
}

/// The record of a kit is signed by the approvers of the root that comes with it, and names the kit's keys.
fn check_kit(chain: &RootChain, site: &Name, kit: &Kit) -> Result<KeptRecord, EnrolError> {
    let kept = record::check(chain, site, &kit.record)?;
    let recipient = kit.age_key.recipient().to_string();
    if kept.statement.receipt_key != PublicKey::of(&kit.key) || kept.statement.recipient != Some(recipient) {
        return Err(EnrolError::KitKey);
    }
    Ok(kept)
}

fn check_addable(
    site: &Site,
    domain: &Name,
    enrolment: &Enrolment<'_>,
    chain: &RootChain,
) -> Result<Identity, EnrolError> {
    let identity = site.identity.clone();
    if identity.site != enrolment.site {
        return Err(EnrolError::OtherName { found: identity.site, given: enrolment.site.clone() });
    }
    if let Some(fingerprint) = identity.domains.get(domain) {
        return Err(EnrolError::Domain { domain: domain.clone(), fingerprint: *fingerprint });
    }
    if identity.production && chain.root().development {
        return Err(SiteError::DevelopmentRoot { domain: domain.clone(), version: chain.root().version }.into());
    }
    match &enrolment.after {
        None if identity.recovered => Err(EnrolError::Forgotten { domain: domain.clone() }),
        // The chain of receipts goes on; only a site that begins can name the last one before.
        Some(after) if after.last_receipt.is_some() => Err(EnrolError::InPlace { site: identity.site }),
        _ => Ok(identity),
    }
}

/// Who a new site is, and the texts of its new keys: the one that signs, and the one that decrypts.
fn new_site(enrolment: &Enrolment<'_>) -> Result<(Identity, Option<String>, Option<String>), EnrolError> {
    let (made, made_age);
    let (key, age_key) = match &enrolment.kit {
        Some(kit) => (&kit.key, &kit.age_key),
        None => {
            (made, made_age) = (new_key(enrolment.random)?, SiteKey::generate());
            (&made, &made_age)
        }
    };
    let identity = Identity {
        site: enrolment.site.clone(),
        enrolment: new_id(enrolment.random)?,
        production: enrolment.production,
        public_key: PublicKey::of(key),
        recipient: Some(age_key.recipient().to_string()),
        domains: BTreeMap::new(),
        recovered: enrolment.after.is_some(),
        continues: enrolment.after.as_ref().and_then(|after| after.last_receipt),
        earlier_keys: Vec::new(),
    };
    Ok((identity, Some(pem(key)?), Some(age_key.to_text())))
}

/// A key as it is written down.
pub(super) fn pem(key: &SecretKey) -> Result<String, EnrolError> {
    key.to_pem().map_err(|reason| key_error(std::io::Error::other(reason)))
}

/// Makes a key.
pub(super) fn new_key(random: &dyn Fn(&mut [u8]) -> std::io::Result<()>) -> Result<SecretKey, EnrolError> {
    let mut seed = [0; 32];
    random(&mut seed).map_err(key_error)?;
    Ok(SecretKey::from_seed(&seed))
}

/// Makes the id of an enrolment: 32 hexadecimal digits.
pub(super) fn new_id(random: &dyn Fn(&mut [u8]) -> std::io::Result<()>) -> Result<String, EnrolError> {
    let mut id = [0; 16];
    random(&mut id).map_err(key_error)?;
    Ok(id.iter().map(|byte| format!("{byte:02x}")).collect())
}
