//! The site record: what headquarters has signed of this site. Kept as it was signed; the highest serial counts.

use consign_format::Name;
use consign_format::error::{Code, Coded, codes};
use consign_format::trust::TrustError;
use consign_format::trust::keys::PublicKey;
use consign_format::trust::roots::RootChain;
use consign_format::trust::statement::SiteRecord;

use super::{DomainState, KeptStatement, Site};
use crate::store::StoreError;

/// What the document is called in errors.
const DOCUMENT: &str = "the site record";

/// A record, and the envelope it came in.
pub type KeptRecord = KeptStatement<SiteRecord>;

/// Why a record is not taken.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The approvers have not signed it, or its form does not hold.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// The site's files cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It is another site's.
    #[error("the site record is for site `{found}`, and this is `{site}`")]
    OtherSite {
        /// This site.
        site: Name,
        /// The site it speaks of.
        found: Name,
    },
    /// It names a receipt key that is not this site's.
    #[error("site record {serial} is for receipt key {}, and this site signs with {}", found.0, own.0)]
    OtherKey {
        /// The serial.
        serial: u64,
        /// This site's key.
        own: PublicKey,
        /// The key it names.
        found: PublicKey,
    },
    /// Two records bear one serial.
    #[error("site record {serial} is known here, and says something else")]
    Reused {
        /// The serial.
        serial: u64,
    },
}

impl Coded for RecordError {
    fn code(&self) -> Code {
        match self {
            RecordError::Trust(error) => error.code(),
            RecordError::Store(error) => error.code(),
            RecordError::OtherSite { .. } | RecordError::OtherKey { .. } => codes::OTHER_SITE,
            RecordError::Reused { .. } => codes::SEQUENCE_REUSED,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            RecordError::Trust(error) => error.hint(),
            RecordError::Store(error) => error.hint(),
            RecordError::OtherSite { site, .. } => Some(format!("bring the record of site {site}")),
            RecordError::OtherKey { .. } => Some(
                "if this site was recovered with new keys, bring its newest enrol-request (enrol-requests/DOMAIN.json) to \
                 headquarters for a new record; if not, the record is for another machine of that name: tell headquarters"
                    .to_owned(),
            ),
            RecordError::Reused { .. } => {
                Some("headquarters makes a record with a higher serial: consign site record --previous".to_owned())
            }
        }
    }
}

impl DomainState {
    /// What headquarters says of this site, if it has said anything yet.
    pub fn record(&self) -> Option<&SiteRecord> {
        self.record.as_ref().map(|kept| &kept.statement)
    }

    /// Decides whether an offered record takes the place of the one that is kept.
    ///
    /// A kept record that the newest root's approvers do not vouch for any more goes on to count until another comes, but
    /// its serial holds nobody back: a key that was stolen and revoked must not have had the last word.
    fn replaced_by(&self, offered: &KeptRecord, chain: &RootChain) -> Result<bool, RecordError> {
        let Some(kept) = &self.record else { return Ok(true) };
        let (kept, is_vouched, offered) = (&kept.statement, kept.is_vouched_by(chain), &offered.statement);
        if !is_vouched {
            return Ok(kept != offered);
        }
        match offered.serial.cmp(&kept.serial) {
            std::cmp::Ordering::Less => Ok(false),
            std::cmp::Ordering::Greater => Ok(true),
            std::cmp::Ordering::Equal if kept == offered => Ok(false),
            std::cmp::Ordering::Equal => Err(RecordError::Reused { serial: offered.serial }),
        }
    }
}

impl Site {
    /// Takes a site record whose signatures hold, if it is newer than the one kept; says so in words. A lower serial, and
    /// the same record once more, change nothing.
    ///
    /// # Errors
    /// [`RecordError`]: not signed by the approvers, another site's, for another key, or a known serial with other content.
    pub fn take_record(&mut self, domain: &Name, bytes: &[u8]) -> Result<Option<String>, RecordError> {
        let Some(state) = self.domains.get_mut(domain) else { return Ok(None) };
        let chain = state.chain(&self.store)?;
        let offered = check(&chain, &self.identity.site, bytes)?;
        if !state.replaced_by(&offered, &chain)? {
            return Ok(None);
        }
        let SiteRecord { serial, receipt_key, .. } = &offered.statement;
        if *receipt_key != self.identity.public_key {
            let (own, found) = (self.identity.public_key.clone(), receipt_key.clone());
            return Err(RecordError::OtherKey { serial: *serial, own, found });
        }
        let words = format!("site record {serial}");
        state.record = Some(offered);
        state.write(&self.store)?;
        Ok(Some(words))
    }
}

/// Reads a record for this site: signatures, form, domain, site.
pub(super) fn check(chain: &RootChain, site: &Name, bytes: &[u8]) -> Result<KeptRecord, RecordError> {
    let offered = KeptRecord::check(DOCUMENT, chain, bytes)?;
    if offered.statement.site != *site {
        return Err(RecordError::OtherSite { site: site.clone(), found: offered.statement.site });
    }
    Ok(offered)
}
