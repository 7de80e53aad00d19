//! What a site remembers of one domain: roots, time floor, and counters per product (TRUST §4).

use std::collections::BTreeMap;
use std::path::PathBuf;

use consign_format::trust::chain::Vouched;
use consign_format::trust::document::{Floor, Root};
use consign_format::trust::roots::RootChain;
use consign_format::{Digest, Name};
use serde::{Deserialize, Serialize};

use super::secrets::KnownSecrets;
use super::{Identity, KeptRecord};
use crate::store::{Store, StoreError, state_file};

/// One domain's file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DomainState {
    /// The domain.
    pub domain: Name,
    /// The site this belongs to; a copy from another site is refused.
    pub site: Name,
    /// The site's enrolment.
    pub enrolment: String,
    /// The enrolled root and all that followed, byte for byte.
    pub roots: Vec<String>,
    /// The latest signed time of issue this site has seen: seconds since 1970. No clock moves it.
    pub time_floor: u64,
    /// What headquarters says of this site, as it was signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record: Option<KeptRecord>,
    /// Which statement of Secrets for this site was taken last; the statement itself lies in a file of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secrets: Option<KnownSecrets>,
    /// The version of the root before, as long as the receipt of a change of roots is still to be written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unreceipted: Option<u64>,
    /// Leave to go back, as the approvers signed it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub grants: Vec<String>,
    /// Counters by product.
    pub products: BTreeMap<Name, ProductTrust>,
}

/// What has been seen of one product.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ProductTrust {
    /// The highest sequence that was verified and loaded whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verified: Option<Counter>,
    /// A lower one, which was taken by a downgrade grant since; it may be taken again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub granted: Option<Counter>,
    /// The lowest sequence that is taken, where a person said so at a recovery.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub floor: Option<u64>,
    /// The sequence that was applied last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub applied: Option<Counter>,
    /// The highest versions seen of timestamp, snapshot and targets; kept for the record, they decide nothing.
    pub versions: [u64; 3],
}

/// A sequence and the release that has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Counter {
    /// The sequence.
    pub sequence: u64,
    /// The release's digest.
    pub release: Digest,
}

impl DomainState {
    /// A domain on the day of its enrolment.
    pub(super) fn new(site: &Name, enrolment: &str, domain: &Name, root: &[u8]) -> Self {
        DomainState {
            domain: domain.clone(),
            site: site.clone(),
            enrolment: enrolment.to_owned(),
            roots: vec![String::from_utf8_lossy(root).into_owned()],
            time_floor: 0,
            record: None,
            secrets: None,
            unreceipted: None,
            grants: Vec::new(),
            products: BTreeMap::new(),
        }
    }

    pub(super) fn file(store: &Store, domain: &Name) -> PathBuf {
        store.trust_dir().join("domains").join(domain.as_str())
    }

    /// Reads a domain's file, which must be there, of this site and of this enrolment.
    pub(super) fn read(store: &Store, identity: &Identity, domain: &Name) -> Result<Self, StoreError> {
        let path = DomainState::file(store, domain);
        let state: DomainState = state_file::read(&path)?.ok_or_else(|| StoreError::Missing { path: path.clone() })?;
        if state.domain != *domain || state.site != identity.site || state.enrolment != identity.enrolment {
            return Err(StoreError::damaged(path, "it belongs to another site, enrolment or domain"));
        }
        let first = state.roots.first().map(|root| Digest::of(root.as_bytes()));
        if first.as_ref() != identity.domains.get(domain) {
            return Err(StoreError::damaged(path, "it does not begin with the root that was enrolled"));
        }
        Ok(state)
    }

    pub(super) fn write(&self, store: &Store) -> Result<(), StoreError> {
        state_file::write(&DomainState::file(store, &self.domain), self, 0o600)
    }

    /// The chain of roots, every signature checked again.
    pub(crate) fn chain(&self, store: &Store) -> Result<RootChain, StoreError> {
        let files: Vec<Vec<u8>> = self.roots.iter().map(|root| root.clone().into_bytes()).collect();
        RootChain::restore(&files)
            .map_err(|error| StoreError::damaged(DomainState::file(store, &self.domain), error.to_string()))
    }

    /// The root of a version, if the site has it.
    pub(crate) fn root_at(&self, store: &Store, version: u64) -> Result<Option<Root>, StoreError> {
        let later = usize::try_from(self.chain(store)?.root().version.saturating_sub(version)).unwrap_or(usize::MAX);
        let files = self.roots.iter().map(|root| root.clone().into_bytes());
        let files: Vec<Vec<u8>> = files.take(self.roots.len().saturating_sub(later)).collect();
        let chain = RootChain::restore(&files);
        Ok(chain.ok().map(|chain| chain.root().clone()).filter(|root| root.version == version))
    }

    /// Takes a longer chain. A floor that says `reset` sets the product's counter back; the floor itself guards
    /// from below. Of several new roots the newest one's floors count: it was written knowing the others. A reset that
    /// the root before said as well is an old one, which every later root repeats: it has been done.
    pub(super) fn adopt(&mut self, chain: &RootChain, store: &Store) -> Result<(), StoreError> {
        let known = self.chain(store)?.root().floor.clone();
        let path = DomainState::file(store, &self.domain);
        let text = |file: &Vec<u8>| {
            String::from_utf8(file.clone()).map_err(|_| StoreError::damaged(&path, "a root that is not UTF-8"))
        };
        self.roots = chain.files().iter().map(text).collect::<Result<_, _>>()?;
        let new = |(product, floor): &(&Name, &Floor)| floor.reset && known.get(*product) != Some(*floor);
        for (product, floor) in chain.root().floor.iter().filter(new) {
            if let Some(trust) = self.products.get_mut(product) {
                trust.granted = None;
                trust.verified = trust.verified.take().filter(|verified| verified.sequence <= floor.sequence);
            }
        }
        Ok(())
    }

    /// Lifts the counters to what was accepted by other accounts; never lowers one.
    pub(super) fn raise(&mut self, seen: BTreeMap<Name, Counter>) {
        for (product, counter) in seen {
            let trust = self.products.entry(product).or_default();
            if trust.verified.as_ref().is_none_or(|verified| verified.sequence < counter.sequence) {
                trust.verified = Some(counter);
            }
        }
    }

    /// Lifts the lowest sequences that are taken; never lowers one.
    pub(super) fn raise_floors<'f>(&mut self, floors: impl IntoIterator<Item = (&'f Name, &'f u64)>) {
        for (product, floor) in floors {
            let trust = self.products.entry(product.clone()).or_default();
            trust.floor = trust.floor.max(Some(*floor));
        }
    }

    /// The counters of one product; zero where it was never seen.
    pub fn product(&self, product: &Name) -> ProductTrust {
        self.products.get(product).cloned().unwrap_or_default()
    }

    /// Records that a release was verified and loaded whole (TRUST §3.7).
    fn verified(&mut self, vouched: &Vouched) {
        let trust = self.products.entry(vouched.approval.product.clone()).or_default();
        let counter = Counter { sequence: vouched.approval.sequence, release: vouched.release_digest };
        // A grant opens the way to one release, not to those in between: what was seen before still counts.
        if trust.verified.as_ref().is_some_and(|seen| seen.sequence > counter.sequence) {
            trust.granted = Some(counter);
        } else {
            (trust.verified, trust.granted) = (Some(counter), None);
        }
        for (maximum, version) in trust.versions.iter_mut().zip(vouched.versions) {
            *maximum = version.max(*maximum);
        }
        self.time_floor = self.time_floor.max(vouched.approval.issued);
    }
}

impl super::Site {
    /// Commits "verified": the counters and the time floor go up (TRUST §3.7).
    pub fn commit_verified(&mut self, domain: &Name, vouched: &Vouched) -> Result<(), StoreError> {
        let Some(state) = self.domains.get_mut(domain) else { return Ok(()) };
        state.verified(vouched);
        state.write(&self.store)
    }

    /// Commits "applied" (TRUST §3.9).
    pub fn commit_applied(&mut self, domain: &Name, product: &Name, counter: Counter) -> Result<(), StoreError> {
        let Some(state) = self.domains.get_mut(domain) else { return Ok(()) };
        state.products.entry(product.clone()).or_default().applied = Some(counter);
        state.write(&self.store)
    }
}
