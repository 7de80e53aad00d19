//! A copy of one domain's state, to be kept where the site's disk is not: signed by the site's key, bound to site, domain
//! and enrolment (TRUST §4).
//!
//! It is read by a recovery alone, for a domain whose own file is lost; a file that holds is never compared with it. Who
//! can write to where it is kept can take it away or put an older one there, never make one; an older one is caught by
//! what the site's receipts and products say.

use consign_format::trust::envelope::Envelope;
use consign_format::trust::keys::{SignError, Signer, sign};
use consign_format::trust::roots::RootChain;
use consign_format::{Digest, Name};
use serde::{Deserialize, Serialize};

use super::{DomainState, Identity, Site, SiteError};
use crate::receipts::ReceiptError;

/// The value of `_type`.
pub const TYPE: &str = "site-state";

/// What the document is called in errors.
const DOCUMENT: &str = "the copy of the site's state";

/// The signed part.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct StateCopy {
    /// Always [`TYPE`].
    #[serde(rename = "_type")]
    kind: String,
    /// The last receipt when the copy was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    receipt: Option<LastReceipt>,
    /// The domain's file; it names site, domain and enrolment.
    state: DomainState,
}

/// A receipt by its number and digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LastReceipt {
    pub(super) n: u64,
    pub(super) digest: Digest,
}

/// What a copy that holds says.
#[derive(Debug)]
pub(super) struct Copied {
    pub(super) state: DomainState,
    pub(super) chain: RootChain,
    pub(super) receipt: Option<LastReceipt>,
}

/// Why no copy could be made.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// The site's files cannot be used.
    #[error(transparent)]
    Site(#[from] SiteError),
    /// The site's key does not sign.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// The receipts cannot be read.
    #[error(transparent)]
    Receipt(#[from] ReceiptError),
}

impl From<crate::store::StoreError> for CopyError {
    fn from(error: crate::store::StoreError) -> Self {
        CopyError::Site(error.into())
    }
}

impl Site {
    /// The copy of one domain's state as it is now; the same state gives the same bytes. `None` for a domain that is not
    /// enrolled.
    pub fn copy(&self, domain: &Name) -> Result<Option<Vec<u8>>, CopyError> {
        let Some(state) = self.domains.get(domain) else { return Ok(None) };
        let receipt = match self.store.last_receipt_number()? {
            0 => None,
            n => self.store.read_receipt(n, &self.identity.public_key)?,
        };
        let receipt = receipt.map(|kept| LastReceipt { n: kept.receipt.n, digest: Digest::of(&kept.bytes) });
        let copy = StateCopy { kind: TYPE.to_owned(), receipt, state: state.clone() };
        let key = self.key()?;
        Ok(Some(sign(&copy, &[&key as &dyn Signer])?))
    }
}

/// Reads a copy for a site whose own file of the domain is lost.
///
/// # Errors
/// Why it does not count, in words: not signed by this site's key, of another site, domain or enrolment, roots that do not
/// lead from the root that was enrolled.
pub(super) fn open(bytes: &[u8], identity: &Identity, domain: &Name) -> Result<Copied, String> {
    let words = |error: consign_format::trust::TrustError| error.to_string();
    let envelope = Envelope::parse(DOCUMENT, bytes).map_err(words)?;
    identity.public_key.check(&envelope).map_err(words)?;
    let copy: StateCopy =
        serde_json::from_slice(envelope.signed()).map_err(|error| format!("{DOCUMENT} is malformed: {error}"))?;
    if copy.kind != TYPE {
        return Err(format!("it is a `{}` and no copy of a site's state", copy.kind));
    }
    let state = copy.state;
    if state.site != identity.site || state.domain != *domain || state.enrolment != identity.enrolment {
        let reason =
            format!("it belongs to site {}, domain {}, enrolment {}", state.site, state.domain, state.enrolment);
        return Err(reason);
    }
    let enrolled = identity.domains.get(domain);
    let mut files = state.roots.iter().map(String::as_bytes);
    let first = files.next().ok_or_else(|| "it holds no root".to_owned())?;
    RootChain::enrol(first, enrolled).map_err(words)?;
    let all: Vec<Vec<u8>> = state.roots.iter().map(|root| root.clone().into_bytes()).collect();
    let chain = RootChain::restore(&all).map_err(words)?;
    Ok(Copied { state, chain, receipt: copy.receipt })
}
