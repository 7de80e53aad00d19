//! The site record: what headquarters has signed of this site. Kept as it was signed; the highest serial counts.

use consign_format::Name;
use consign_format::error::{Code, Coded, codes};
use consign_format::trust::TrustError;
use consign_format::trust::envelope::Envelope;
use consign_format::trust::roots::RootChain;
use consign_format::trust::statement::SiteRecord;
use serde::{Deserialize, Serialize};

use super::{DomainState, Site};
use crate::store::StoreError;

/// What the document is called in errors.
const DOCUMENT: &str = "the site record";

/// A record, and the envelope it came in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct KeptRecord {
    /// What it says.
    pub record: SiteRecord,
    /// The envelope, byte for byte.
    envelope: String,
}

/// Its signatures were checked when it was taken: the file of state that it is kept in is believed or refused as a whole.
impl TryFrom<String> for KeptRecord {
    type Error = String;

    fn try_from(envelope: String) -> Result<Self, String> {
        let parsed = Envelope::parse(DOCUMENT, envelope.as_bytes()).map_err(|error| error.to_string())?;
        let record = serde_json::from_slice(parsed.signed()).map_err(|error| error.to_string())?;
        Ok(KeptRecord { record, envelope })
    }
}

impl From<KeptRecord> for String {
    fn from(kept: KeptRecord) -> String {
        kept.envelope
    }
}

impl KeptRecord {
    /// The envelope, byte for byte.
    pub fn envelope(&self) -> &[u8] {
        self.envelope.as_bytes()
    }

    /// Tells whether both say the same, whoever has signed.
    fn says_the_same(&self, other: &Self) -> bool {
        self.record == other.record
    }
}

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
            RecordError::OtherSite { .. } => codes::OTHER_SITE,
            RecordError::Reused { .. } => codes::SEQUENCE_REUSED,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            RecordError::Trust(error) => error.hint(),
            RecordError::Store(error) => error.hint(),
            RecordError::OtherSite { site, .. } => Some(format!("bring the record of site {site}")),
            RecordError::Reused { .. } => {
                Some("headquarters makes a record with a higher serial: consign site record --previous".to_owned())
            }
        }
    }
}

impl DomainState {
    /// What headquarters says of this site, if it has said anything yet.
    pub fn record(&self) -> Option<&SiteRecord> {
        self.record.as_ref().map(|kept| &kept.record)
    }

    /// Decides whether an offered record takes the place of the one that is kept.
    ///
    /// A kept record that the newest root's approvers do not vouch for any more goes on to count until another comes, but
    /// its serial holds nobody back: a key that was stolen and revoked must not have had the last word.
    fn replaced_by(&self, offered: &KeptRecord, chain: &RootChain) -> Result<bool, RecordError> {
        let Some(kept) = &self.record else { return Ok(true) };
        if chain.statement::<SiteRecord>(DOCUMENT, kept.envelope()).is_err() {
            return Ok(!kept.says_the_same(offered));
        }
        match offered.record.serial.cmp(&kept.record.serial) {
            std::cmp::Ordering::Less => Ok(false),
            std::cmp::Ordering::Greater => Ok(true),
            std::cmp::Ordering::Equal if kept.says_the_same(offered) => Ok(false),
            std::cmp::Ordering::Equal => Err(RecordError::Reused { serial: offered.record.serial }),
        }
    }
}

impl Site {
    /// Takes a site record whose signatures hold, if it is newer than the one kept; says so in words. A lower serial, and
    /// the same record once more, change nothing.
    ///
    /// # Errors
    /// [`RecordError`]: not signed by the approvers, another site's, or a known serial with other content.
    pub fn take_record(&mut self, domain: &Name, bytes: &[u8]) -> Result<Option<String>, RecordError> {
        let Some(state) = self.domains.get_mut(domain) else { return Ok(None) };
        let chain = state.chain(&self.store)?;
        let offered = check(&chain, &self.identity.site, bytes)?;
        if !state.replaced_by(&offered, &chain)? {
            return Ok(None);
        }
        let words = format!("site record {}", offered.record.serial);
        state.record = Some(offered);
        state.write(&self.store)?;
        Ok(Some(words))
    }
}

/// Reads a record for this site: signatures, form, domain, site.
pub(super) fn check(chain: &RootChain, site: &Name, bytes: &[u8]) -> Result<KeptRecord, RecordError> {
    let record: SiteRecord = chain.statement(DOCUMENT, bytes)?;
    if record.site != *site {
        return Err(RecordError::OtherSite { site: site.clone(), found: record.site });
    }
    // A document that was interpreted as JSON is UTF-8.
    Ok(KeptRecord { record, envelope: String::from_utf8_lossy(bytes).into_owned() })
}
