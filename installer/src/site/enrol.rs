//! Enrolment: a site takes its first root, from a path that people vouch for, and makes its own key.
//!
//! There is no trust on first use. The file that makes a site a site is written last, so a power cut leaves either
//! an enrolled site or one that can be enrolled again.

use std::path::PathBuf;

use consign_format::error::{Code, Coded, codes};
use consign_format::trust::TrustError;
use consign_format::trust::keys::{PublicKey, SecretKey, Signer};
use consign_format::trust::roots::RootChain;
use consign_format::{Digest, Name};
use consign_registry::durable::{DurableError, create_dir, write_file};

use super::{DomainState, Identity, Site, SiteError, age_key, identity_file, key_file};
use crate::store::{Store, StoreError, lock};

/// What an enrolment needs.
pub struct Enrolment<'a> {
    /// The bytes of the root file.
    pub root: &'a [u8],
    /// Its fingerprint from another path, such as paper.
    pub fingerprint: Option<Digest>,
    /// The site's name.
    pub site: Name,
    /// Whether development roots are refused, now and later.
    pub production: bool,
    /// Fills a buffer with random bytes.
    pub random: &'a dyn Fn(&mut [u8]) -> std::io::Result<()>,
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
            EnrolError::Domain { .. } | EnrolError::OtherName { .. } => codes::ALREADY_ENROLLED,
            EnrolError::Key { .. } => codes::IO,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            EnrolError::Trust(error) => error.hint(),
            EnrolError::Site(error) => error.hint(),
            EnrolError::Domain { .. } => {
                Some("newer roots come with the bundles; there is nothing to enrol again".to_owned())
            }
            EnrolError::OtherName { found, .. } => Some(format!("add a domain with --site {found}")),
            EnrolError::Key { .. } => None,
        }
    }
}

/// Enrols a site, or adds a domain to one that is enrolled.
pub fn enrol(store: &Store, enrolment: &Enrolment<'_>) -> Result<Enrolled, EnrolError> {
    let chain = RootChain::enrol(enrolment.root, enrolment.fingerprint.as_ref())?;
    let domain = chain.domain().clone();
    if chain.root().development && enrolment.production {
        return Err(SiteError::DevelopmentRoot { domain, version: chain.root().version }.into());
    }
    create_dir(store.dir(), 0o755)?;
    let _lock = lock::take(store)?;
    let mut identity = match Site::open(store.clone()) {
        Ok(site) => check_addable(site, &domain, enrolment, &chain)?,
        Err(SiteError::NotEnrolled { .. }) => new_site(store, enrolment)?,
        Err(other) => return Err(other.into()),
    };
    DomainState::new(&identity, &domain, enrolment.root).write(store)?;
    identity.domains.push(domain.clone());
    identity.domains.sort();
    crate::store::state_file::write(&identity_file(store), &identity, 0o600)?;
    Ok(Enrolled {
        site: identity.site,
        domain,
        fingerprint: chain.fingerprint(),
        development: chain.root().development,
        enrolment: identity.enrolment,
        public_key: identity.public_key,
        recipient: identity.recipient,
    })
}

fn check_addable(
    site: Site,
    domain: &Name,
    enrolment: &Enrolment<'_>,
    chain: &RootChain,
) -> Result<Identity, EnrolError> {
    let identity = site.identity;
    if identity.site != enrolment.site {
        return Err(EnrolError::OtherName { found: identity.site, given: enrolment.site.clone() });
    }
    if let Some(known) = site.domains.get(domain) {
        let fingerprint = known.chain(&site.store)?.fingerprint();
        return Err(EnrolError::Domain { domain: domain.clone(), fingerprint });
    }
    if identity.production && chain.root().development {
        return Err(SiteError::DevelopmentRoot { domain: domain.clone(), version: chain.root().version }.into());
    }
    Ok(identity)
}

fn new_site(store: &Store, enrolment: &Enrolment<'_>) -> Result<Identity, EnrolError> {
    store.create()?;
    let unmade = |source| EnrolError::Key { source };
    let (mut seed, mut id) = ([0; 32], [0; 16]);
    (enrolment.random)(&mut seed).map_err(unmade)?;
    (enrolment.random)(&mut id).map_err(unmade)?;
    let key = SecretKey::from_seed(&seed);
    let pem = key.to_pem().map_err(|reason| unmade(std::io::Error::other(reason)))?;
    write_file(&key_file(store), pem.as_bytes(), 0o600)?;
    Ok(Identity {
        site: enrolment.site.clone(),
        enrolment: id.iter().map(|byte| format!("{byte:02x}")).collect(),
        production: enrolment.production,
        public_key: PublicKey::of(&key as &dyn Signer),
        recipient: Some(age_key::make(store)?),
        domains: Vec::new(),
    })
}

/// Tells a site that has lost its identity from one that was never enrolled: the first thing found that only an
/// enrolled site makes.
pub(super) fn was_in_use(store: &Store) -> Result<Option<PathBuf>, StoreError> {
    if let Some(product) = store.products()?.first() {
        return Ok(Some(store.product_file(&product.domain, &product.product)));
    }
    if !store.receipts_dir().exists() {
        return Ok(None);
    }
    Ok((store.last_receipt_number()? > 0).then(|| store.receipts_dir()))
}
