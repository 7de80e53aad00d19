//! Why a site is not recovered.

use consign_format::Name;
use consign_format::error::{Code, Coded, codes};

use super::super::SiteError;
use super::super::enrol::EnrolError;
use crate::store::StoreError;

/// Why nothing was recovered. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum RecoverError {
    /// The site is as it should be.
    #[error("nothing of site `{site}` is damaged")]
    Sound {
        /// Its name.
        site: Name,
    },
    /// The site is as it should be but for Secrets, which nothing at the site can give back.
    #[error("of site `{site}` nothing is lost but secrets, which must be brought again:\n  {}", reasons.join("\n  "))]
    Secrets {
        /// Its name.
        site: Name,
        /// Domain by domain.
        reasons: Vec<String>,
    },
    /// Something is lost, and nothing that could take its place is here.
    #[error("the site cannot be recovered from what is here:\n  {}", reasons.join("\n  "))]
    Lost {
        /// Domain by domain.
        reasons: Vec<String>,
    },
    /// The site has trusted a newer root than the one that is offered.
    #[error("this site has trusted root {known} of domain `{domain}`, and what is offered ends with root {offered}")]
    OlderRoot {
        /// The domain.
        domain: Name,
        /// What a receipt says.
        known: u64,
        /// What is offered.
        offered: u64,
    },
    /// What enrolment refuses.
    #[error(transparent)]
    Enrol(#[from] EnrolError),
}

impl From<StoreError> for RecoverError {
    fn from(error: StoreError) -> Self {
        EnrolError::from(error).into()
    }
}

impl From<SiteError> for RecoverError {
    fn from(error: SiteError) -> Self {
        EnrolError::from(error).into()
    }
}

impl Coded for RecoverError {
    fn code(&self) -> Code {
        match self {
            RecoverError::Sound { .. } => codes::ALREADY_ENROLLED,
            RecoverError::Lost { .. } | RecoverError::Secrets { .. } => codes::STATE_DAMAGED,
            RecoverError::OlderRoot { .. } => codes::ROOT_VERSION,
            RecoverError::Enrol(error) => error.code(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            RecoverError::Sound { .. } => Some("there is nothing to recover; run consign-site status".to_owned()),
            RecoverError::Secrets { site, .. } => Some(format!(
                "ask headquarters for a newer statement `site-secrets` for {site} (`consign secret`, then `consign carry`), and \
                 install that bundle; what runs keeps running until then"
            )),
            RecoverError::Lost { .. } => Some(
                "ask headquarters for the root, its fingerprint, and the sequences of the last receipt: consign-site enrol \
                 --recover --root FILE --root-sha256 HEX --site NAME --floor PRODUCT=SEQUENCE --last-receipt SHA256"
                    .to_owned(),
            ),
            RecoverError::OlderRoot { known, .. } => Some(format!("ask headquarters for root {known} or a newer one")),
            RecoverError::Enrol(error) => error.hint(),
        }
    }
}
