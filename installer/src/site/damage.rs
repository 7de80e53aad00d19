//! A look at a site's files one by one, when not all of them can be believed: what still can.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use consign_format::Name;
use consign_format::receipt::Receipt;
use consign_format::trust::keys::{PublicKey, SecretKey, Signer};
use consign_registry::durable::DRAFT_PREFIX;
use consign_sealed::SiteKey;

use super::secrets::{self, Held};
use super::{Counter, DomainState, Identity, age_key, identity_file, read_key};
use crate::store::products::ProductState;
use crate::store::receipts::Kept;
use crate::store::{Store, StoreError, state_file};

/// What of a site can be read, and what cannot.
#[derive(Debug)]
pub struct Damage {
    /// Who it is.
    pub identity: Result<Identity, StoreError>,
    /// The files of the domains that the identity names.
    pub domains: BTreeMap<Name, Result<DomainState, StoreError>>,
    /// The receipts, if the whole chain holds.
    pub(super) receipts: Result<Vec<Kept>, StoreError>,
    /// The keys that receipts here may be signed with.
    pub(super) receipt_keys: Vec<PublicKey>,
    /// Every receipt whose own signature holds, whatever became of the others, of earlier enrolments too: what it says was
    /// so.
    signed: Vec<Receipt>,
    /// Why the Secrets of a domain whose file holds must be brought again.
    pub secrets: BTreeMap<Name, String>,
}

impl Damage {
    /// Looks at everything; changes nothing.
    pub fn look(store: &Store) -> Self {
        let path = identity_file(store);
        let identity = state_file::read::<Identity>(&path).and_then(|read| read.ok_or(StoreError::Missing { path }));
        let known = identity.as_ref().ok();
        let domains = known.into_iter().flat_map(|identity| identity.domains.keys().map(move |name| (identity, name)));
        let domains: BTreeMap<_, _> =
            domains.map(|(identity, name)| (name.clone(), DomainState::read(store, identity, name))).collect();
        let receipts = match known {
            Some(identity) => store.read_receipts(&identity.public_key),
            None => Err(StoreError::damaged(store.receipts_dir(), "nobody knows the key they were signed with")),
        };
        let receipt_keys = receipt_keys(store, known);
        let signed = store.signed_receipts(&receipt_keys);
        let sound = domains.values().filter_map(|state| state.as_ref().ok());
        let secrets = known.map(|identity| absent_secrets(store, identity, sound)).unwrap_or_default();
        Damage { identity, domains, receipts, receipt_keys, signed, secrets }
    }

    /// The site's key, unless it is lost or nobody knows which key it should be.
    pub(super) fn key(&self, store: &Store) -> Option<SecretKey> {
        self.identity.as_ref().ok().and_then(|identity| read_key(store, identity).ok())
    }

    /// The site's age key, likewise.
    pub(super) fn age_key(&self, store: &Store) -> Option<SiteKey> {
        self.identity.as_ref().ok().and_then(|identity| age_key::read(store, identity).ok().flatten())
    }

    /// The domains whose files cannot be believed.
    pub fn lost(&self) -> impl Iterator<Item = &Name> {
        self.domains.iter().filter(|(_, state)| state.is_err()).map(|(name, _)| name)
    }

    /// What the site's other files say that was accepted in a domain: the highest sequence of each product.
    pub(super) fn evidence(&self, store: &Store, domain: &Name, site: &Name) -> BTreeMap<Name, Counter> {
        let mut seen: BTreeMap<Name, Counter> = BTreeMap::new();
        let mut note = |product: &Name, sequence: u64, release| {
            if seen.get(product).is_none_or(|known| known.sequence < sequence) {
                seen.insert(product.clone(), Counter { sequence, release });
            }
        };
        for product in readable_products(store, domain) {
            for release in product.held().chain(&product.failed) {
                note(&product.product, release.sequence, release.digest);
            }
        }
        for receipt in self.receipts_of(domain, site) {
            if let Some(release) = &receipt.release {
                note(&release.product, release.sequence, release.digest);
            }
        }
        seen
    }

    /// The highest version of a domain's root that a receipt speaks of; 0 where none does.
    pub(super) fn newest_root(&self, domain: &Name, site: &Name) -> u64 {
        self.receipts_of(domain, site).filter_map(|receipt| receipt.root).max().unwrap_or(0)
    }

    /// The receipts of a domain whose signatures hold. That they are this site's is asked too: where the identity is lost,
    /// a person says who the site is.
    fn receipts_of<'a>(&'a self, domain: &Name, site: &Name) -> impl Iterator<Item = &'a Receipt> {
        self.signed.iter().filter(move |receipt| receipt.domain == *domain && receipt.site == *site)
    }
}

/// The keys that the receipts must be signed with: the identity's and those before it, or, where nobody knows who the site
/// is, the one that lies here. A receipt only ever lifts what is demanded.
fn receipt_keys(store: &Store, identity: Option<&Identity>) -> Vec<PublicKey> {
    match identity {
        Some(identity) => [std::slice::from_ref(&identity.public_key), &identity.earlier_keys].concat(),
        None => super::stored_key(store).iter().map(|key| PublicKey::of(key as &dyn Signer)).collect(),
    }
}

/// Why the Secrets of each domain must be brought again; nothing where they are here, or were never taken.
pub(super) fn absent_secrets<'a>(
    store: &Store,
    identity: &Identity,
    states: impl IntoIterator<Item = &'a DomainState>,
) -> BTreeMap<Name, String> {
    let absent = |state: &DomainState| match secrets::held(store, identity, state) {
        Ok(Held::Absent(why)) => Some((state.domain.clone(), why)),
        // Roots that do not hold are damage of the domain, and told as that.
        Ok(Held::Never | Held::Here(_)) | Err(_) => None,
    };
    states.into_iter().filter_map(absent).collect()
}

fn readable_products(store: &Store, domain: &Name) -> Vec<ProductState> {
    let folder = store.dir().join("products").join(domain.as_str());
    let names = files_in(&folder).into_iter().filter_map(|path| path.file_name()?.to_str()?.parse::<Name>().ok());
    names.filter_map(|product| store.read_product(domain, &product).ok().flatten()).collect()
}

/// Tells a site that has lost its identity from one that was never enrolled: the first thing found that only an enrolled
/// site has.
pub(super) fn trace_of_use(store: &Store) -> Option<PathBuf> {
    let products = folders_in(&store.dir().join("products"));
    let receipts = folders_in(&store.receipts_dir());
    let mut folders = vec![store.trust_dir(), store.trust_dir().join("domains"), store.receipts_dir()];
    folders.extend([store.journal_dir(), store.dir().join("enrol-requests")]);
    folders.into_iter().chain(products).chain(receipts).find_map(|folder| files_in(&folder).into_iter().next())
}

/// The files of a folder, ascending, without the drafts that a power cut left; nothing where it cannot be read.
fn files_in(folder: &Path) -> Vec<PathBuf> {
    entries(folder, |kind| !kind.is_dir())
}

fn folders_in(folder: &Path) -> Vec<PathBuf> {
    entries(folder, |kind| kind.is_dir())
}

fn entries(folder: &Path, wanted: impl Fn(&std::fs::FileType) -> bool) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let entries = entries.filter(|entry| !entry.file_name().as_encoded_bytes().starts_with(DRAFT_PREFIX.as_bytes()));
    let mut found: Vec<PathBuf> =
        entries.filter(|entry| entry.file_type().is_ok_and(|kind| wanted(&kind))).map(|entry| entry.path()).collect();
    found.sort();
    found
}
