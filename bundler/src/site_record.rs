//! Site records: who a site is, signed by the approvers; made of the enrol-request that the site has sent, or of the
//! record before.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use consign_format::Name;
use consign_format::enrolment::EnrolRequest;
use consign_format::error::{Code, Coded, Failure, codes};
use consign_format::trust::TrustError;
use consign_format::trust::keys::{self, PublicKey, SignError, Signer, key_id};
use consign_format::trust::roots::RootChain;
use consign_format::trust::statement::{SiteRecord, Statement};

use crate::sign::KeyError;

/// What a record is called in errors.
const DOCUMENT: &str = "the site record";

/// Why there is no record.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The request comes from a site that was enrolled by another root.
    #[error("the enrol-request is for domain `{found}`, and the root in {trust} is of domain `{expected}`")]
    OtherDomain {
        /// The domain of the roots.
        expected: Name,
        /// The domain of the request.
        found: Name,
        /// The folder of the roots.
        trust: String,
    },
    /// The request names a root that is none of ours.
    #[error("site `{site}` was enrolled by a root that is none of domain `{domain}`")]
    OtherRoot {
        /// The site.
        site: Name,
        /// The domain.
        domain: Name,
    },
    /// The record before is another site's.
    #[error("the record before is that of site `{found}`, and this one is for `{site}`")]
    OtherSite {
        /// The site.
        site: Name,
        /// The other one.
        found: Name,
    },
    /// There is no higher serial.
    #[error("the serial {0} is not one")]
    Serial(u64),
    /// What should be a key is none.
    #[error("`{0}` is no receipt key: it has 64 hexadecimal digits, as consign-site enrol prints it")]
    Key(String),
}

impl Coded for RecordError {
    fn code(&self) -> Code {
        match self {
            RecordError::OtherDomain { .. } | RecordError::OtherRoot { .. } => codes::OTHER_DOMAIN,
            RecordError::OtherSite { .. } => codes::OTHER_SITE,
            RecordError::Serial(_) | RecordError::Key(_) => codes::USAGE,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            RecordError::OtherDomain { .. } => Some("name the folder of that domain's roots with --trust".to_owned()),
            RecordError::OtherRoot { .. } => {
                Some("find out which root the site was given; it must be enrolled anew with this one".to_owned())
            }
            RecordError::OtherSite { .. } => Some("name the record of the same site with --previous".to_owned()),
            RecordError::Serial(_) => Some("serials begin at 1 and stay below 2^53".to_owned()),
            RecordError::Key(_) => None,
        }
    }
}

/// What is to be said of a site anew. What is empty stays as it was in the record before.
#[derive(Debug, Clone, Default)]
pub struct Wishes {
    /// Environments.
    pub environments: Vec<Name>,
    /// Labels, `key=value`.
    pub labels: Vec<String>,
    /// The variant of each product.
    pub variants: BTreeMap<Name, Name>,
    /// The serial; without it one more than before, or 1.
    pub serial: Option<u64>,
}

/// Whom a record is for.
#[derive(Debug, Clone)]
pub struct Subject {
    /// The site.
    pub site: Name,
    /// The key that its receipts are signed with.
    pub receipt_key: PublicKey,
    /// Its age recipient.
    pub recipient: Option<String>,
}

impl Subject {
    /// The site that has sent a request, whose fingerprint was compared and whose signature holds.
    ///
    /// # Errors
    /// [`RecordError`]: it was enrolled in another domain, or by a root that is none of this one's.
    pub fn of_request(request: EnrolRequest, chain: &RootChain, trust: &Path) -> Result<Self, RecordError> {
        if request.domain != *chain.domain() {
            let (expected, trust) = (chain.domain().clone(), trust.display().to_string());
            return Err(RecordError::OtherDomain { expected, found: request.domain, trust });
        }
        if !chain.files().iter().any(|root| consign_format::Digest::of(root) == request.root) {
            return Err(RecordError::OtherRoot { site: request.site, domain: request.domain });
        }
        let (site, receipt_key, recipient) = (request.site, request.receipt_key, request.recipient);
        Ok(Subject { site, receipt_key, recipient })
    }

    /// A site by what is known of it.
    ///
    /// # Errors
    /// [`RecordError::Key`].
    pub fn known(site: Name, receipt_key: &str, recipient: Option<String>) -> Result<Self, RecordError> {
        let lower = receipt_key.trim().to_ascii_lowercase();
        if lower.len() != 64 || !lower.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(RecordError::Key(receipt_key.to_owned()));
        }
        Ok(Subject { site, receipt_key: PublicKey(lower), recipient })
    }

    /// The site of a record.
    pub fn of_record(record: &SiteRecord) -> Self {
        let (site, receipt_key) = (record.site.clone(), record.receipt_key.clone());
        Subject { site, receipt_key, recipient: record.recipient.clone() }
    }
}

/// Reads a record and checks that the approvers of the newest root have signed it.
///
/// # Errors
/// That it cannot be read, or what a site would say of it.
pub fn read(chain: &RootChain, path: &Path) -> Result<SiteRecord, Failure> {
    let bytes = fs::read(path).map_err(|source| KeyError::Io { path: path.to_owned(), source })?;
    Ok(chain.statement(DOCUMENT, &bytes)?)
}

/// Composes a record. `now`: seconds since 1970.
///
/// # Errors
/// [`RecordError`].
pub fn compose(
    chain: &RootChain,
    subject: Subject,
    wishes: Wishes,
    previous: Option<&SiteRecord>,
    now: u64,
) -> Result<SiteRecord, RecordError> {
    if let Some(other) = previous.filter(|record| record.site != subject.site) {
        return Err(RecordError::OtherSite { site: subject.site, found: other.site.clone() });
    }
    let next = previous.map_or(Some(1), |record| record.serial.checked_add(1));
    let serial = wishes.serial.or(next).unwrap_or(u64::MAX);
    if serial == 0 || serial > consign_format::canonical::MAX_INTEGER {
        return Err(RecordError::Serial(serial));
    }
    let before = previous.cloned();
    let (old_environments, old_labels, old_variants) =
        before.map_or_else(Default::default, |record| (record.environments, record.labels, record.variants));
    let or_old = |new: Vec<String>, old: Vec<String>| if new.is_empty() { old } else { new };
    Ok(SiteRecord {
        kind: SiteRecord::TYPE.to_owned(),
        domain: chain.domain().clone(),
        site: subject.site,
        serial,
        issued: now,
        environments: if wishes.environments.is_empty() { old_environments } else { wishes.environments },
        labels: or_old(wishes.labels, old_labels),
        variants: if wishes.variants.is_empty() { old_variants } else { wishes.variants },
        receipt_key: subject.receipt_key,
        recipient: subject.recipient,
    })
}

/// A record that was signed, perhaps not yet by enough.
#[derive(Debug, Clone)]
pub struct Signed {
    /// The envelope.
    pub bytes: Vec<u8>,
    /// How many approvers have signed.
    pub have: u64,
    /// How many must.
    pub need: u64,
}

/// Signs a record. Where more approvers must sign than are here, the others add theirs to the file.
///
/// # Errors
/// [`KeyError::Unknown`] for a key that is no approver's, or the signer's.
pub fn sign(chain: &RootChain, record: &SiteRecord, signers: &[&dyn Signer]) -> Result<Signed, Failure> {
    let root = chain.root();
    for signer in signers {
        let key = key_id(&signer.public()).map_err(SignError::from)?;
        if !root.roles.get(SiteRecord::ROLE).is_some_and(|role| role.keyids.contains(&key)) {
            return Err(KeyError::Unknown { key, role: SiteRecord::ROLE, version: root.version }.into());
        }
    }
    let bytes = keys::sign(record, signers)?;
    let (have, need) = signatures(chain, &bytes)?;
    Ok(Signed { bytes, have, need })
}

/// How many approvers have signed a record, and how many must. A record that is wrong in any other way is refused.
///
/// # Errors
/// What a site would say of it, but for too few signatures.
pub fn signatures(chain: &RootChain, bytes: &[u8]) -> Result<(u64, u64), TrustError> {
    let need = chain.root().roles.get(SiteRecord::ROLE).map_or(0, |role| role.threshold);
    match chain.statement::<SiteRecord>(DOCUMENT, bytes) {
        Ok(_) => Ok((need, need)),
        Err(TrustError::BelowThreshold { have, need, .. }) => Ok((have, need)),
        Err(other) => Err(other),
    }
}
