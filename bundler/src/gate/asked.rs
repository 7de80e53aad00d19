//! What whoever verifies asks for beyond a whole and signed bundle: pure decisions over a vouched head.

use consign_format::Name;
use consign_format::error::{Code, Coded, codes};
use consign_format::trust::chain::Vouched;
use consign_format::trust::roots::RootChain;

use super::Kind;
use consign_sealed::SiteKey;

use crate::policy::Policy;

/// What is asked for.
#[derive(Debug, Default)]
pub struct Asked<'a> {
    /// The bundle must be of this domain.
    pub domain: Option<Name>,
    /// Its sequence must not be lower.
    pub min_sequence: Option<u64>,
    /// Refuse what has expired, instead of saying so.
    pub enforce_expiry: bool,
    /// Now, RFC 3339 in UTC with whole seconds.
    pub now: String,
    /// Its images must be signed as this policy demands.
    pub policy: Option<&'a Policy>,
    /// The key that reads it, if it is encrypted.
    pub key: Option<&'a SiteKey>,
}

/// The bundle is not what was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GateError {
    /// Another domain.
    #[error("the bundle is of domain `{found}`, and `{asked}` was asked for")]
    OtherDomain {
        /// What was asked for.
        asked: Name,
        /// What the root says.
        found: Name,
    },
    /// A lower sequence.
    #[error("{product} {version} has sequence {found}, and at least {asked} was asked for")]
    Older {
        /// The product.
        product: Name,
        /// The version.
        version: String,
        /// What was asked for.
        asked: u64,
        /// What the release has.
        found: u64,
        /// What the newest root sets the counter of sites back to, if it does and they would take the release.
        reset: Option<u64>,
    },
    /// Below what the root accepts.
    #[error("{product} {version} has sequence {found}, and the root accepts nothing below {floor}")]
    BelowFloor {
        /// The product.
        product: Name,
        /// The version.
        version: String,
        /// What the root says.
        floor: u64,
        /// What the release has.
        found: u64,
    },
    /// Expired, and that is enforced.
    #[error("{document} expired on {expired}, and it is {now}")]
    Expired {
        /// The document.
        document: &'static str,
        /// When.
        expired: String,
        /// Now.
        now: String,
    },
    /// The report cannot be written down.
    #[error("the report cannot be written as {format}: {reason}")]
    Unwritable {
        /// The format.
        format: &'static str,
        /// What is wrong.
        reason: String,
    },
}

impl Coded for GateError {
    fn code(&self) -> Code {
        match self {
            GateError::OtherDomain { .. } => codes::OTHER_DOMAIN,
            GateError::Older { .. } | GateError::BelowFloor { .. } => codes::OLDER_RELEASE,
            GateError::Expired { .. } => codes::EXPIRED,
            GateError::Unwritable { .. } => codes::IO,
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            GateError::OtherDomain { .. } => "name the bundle of that domain, or ask for the other one",
            GateError::Older { reset: Some(sequence), .. } => {
                return Some(format!(
                    "the root sets the counter of sites back to {sequence}: if the number that was asked for is from before, \
                     ask for {sequence}"
                ));
            }
            GateError::Older { reset: None, .. } | GateError::BelowFloor { .. } => {
                "take the newest bundle; going back on purpose is a new release with a higher sequence"
            }
            GateError::Expired { .. } => "have the publisher date the bundle anew, or build the release again",
            GateError::Unwritable { .. } => return None,
        };
        Some(hint.to_owned())
    }
}

impl Asked<'_> {
    /// The checks that were asked for beyond the ordinary ones, for reports of what could not be made.
    pub(super) fn kinds(&self) -> Vec<Kind> {
        let asked = [
            (self.domain.is_some(), Kind::Domain),
            (self.min_sequence.is_some(), Kind::Sequence),
            (self.enforce_expiry, Kind::Expiry),
            (self.policy.is_some(), Kind::ImageSignature),
        ];
        asked.into_iter().filter(|(asked, _)| *asked).map(|(_, kind)| kind).collect()
    }

    /// Holds a head against what is asked for; each answer says what was found.
    pub(super) fn judge(&self, vouched: &Vouched, roots: &RootChain) -> Vec<(Kind, Result<String, GateError>)> {
        let mut answers = Vec::new();
        if let Some(asked) = &self.domain {
            answers.push((Kind::Domain, domain(asked, roots.domain())));
        }
        answers.push((Kind::Sequence, self.sequence(vouched, roots)));
        answers.push((Kind::Expiry, self.expiry(&vouched.expires)));
        answers
    }

    /// Holds metadata alone against what is asked for. What is asked of a release finds none; `ends` is the first expiry
    /// of what the bundle carries, and the document it stands in.
    pub(super) fn judge_metadata(
        &self,
        roots: &RootChain,
        ends: Option<(String, &'static str)>,
    ) -> Vec<(Kind, Result<String, GateError>)> {
        let domain = self.domain.iter().map(|asked| (Kind::Domain, domain(asked, roots.domain())));
        domain.chain(ends.map(|ends| (Kind::Expiry, self.expiry(&ends)))).collect()
    }

    fn sequence(&self, vouched: &Vouched, roots: &RootChain) -> Result<String, GateError> {
        let approval = &vouched.approval;
        let (product, version, found) = (approval.product.clone(), approval.version.clone(), approval.sequence);
        let floor = roots.root().floor.get(&product);
        // A number given here has no date: whether it is from before the reset only who gave it can tell, so it stands.
        let reset = floor.filter(|floor| floor.reset && found >= floor.sequence).map(|floor| floor.sequence);
        let floor = floor.map_or(0, |floor| floor.sequence);
        match self.min_sequence {
            Some(asked) if found < asked => Err(GateError::Older { product, version, asked, found, reset }),
            _ if found < floor => Err(GateError::BelowFloor { product, version, floor, found }),
            Some(asked) => Ok(format!("{found}, at least {asked} was asked for")),
            None => Ok(format!("{found}")),
        }
    }

    fn expiry(&self, (expires, document): &(String, &'static str)) -> Result<String, GateError> {
        // RFC 3339 of one form sorts as text.
        match (*expires < self.now, self.enforce_expiry) {
            (false, _) => Ok(format!("valid until {expires}")),
            (true, false) => Ok(format!("{document} expired on {expires}; nobody asked to enforce that")),
            (true, true) => Err(GateError::Expired { document, expired: expires.clone(), now: self.now.clone() }),
        }
    }
}

fn domain(asked: &Name, found: &Name) -> Result<String, GateError> {
    match asked == found {
        true => Ok(format!("`{found}`")),
        false => Err(GateError::OtherDomain { asked: asked.clone(), found: found.clone() }),
    }
}
