//! Statements: small signed documents that are no part of a release and travel beside one.
//!
//! Each stands on its own: an envelope with its own `_type`, signed by a role of the domain's newest root. A courier
//! can withhold a statement, never change one; which of two counts is decided by a number in it, never by which came
//! later.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::TrustError;
use super::envelope::Envelope;
use super::keys::PublicKey;
use super::roots::RootChain;
use super::site_secrets::SiteSecrets;
use crate::{Digest, Name};

/// A document that vouches for itself by a role of the root.
pub trait Statement: for<'de> Deserialize<'de> {
    /// The value of `_type`.
    const TYPE: &'static str;
    /// The role that signs it: `targets` (the approvers) or `scan`.
    const ROLE: &'static str;
    /// The `_type` it says it has.
    fn kind(&self) -> &str;
    /// The domain it says it belongs to.
    fn domain(&self) -> &Name;
}

/// What headquarters says of a site: who it is, what it is addressed by, and its keys. The highest serial counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SiteRecord {
    /// Always `site-record`.
    #[serde(rename = "_type")]
    pub kind: String,
    /// The domain.
    pub domain: Name,
    /// The site's id.
    pub site: Name,
    /// Goes up with every record of the site.
    pub serial: u64,
    /// When it was written: seconds since 1970, UTC.
    pub issued: u64,
    /// Environments the site belongs to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub environments: Vec<Name>,
    /// Labels, `key=value`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<String>,
    /// The variant the site takes of each product that has variants.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub variants: BTreeMap<Name, Name>,
    /// The key that the site's receipts are signed with.
    pub receipt_key: PublicKey,
    /// The site's age recipient, `age1…`: what is meant for this site alone is encrypted to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recipient: Option<String>,
}

/// Leave to go back, for one site and one product, to one release: an older sequence is taken once more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DowngradeGrant {
    /// Always `downgrade-grant`.
    #[serde(rename = "_type")]
    pub kind: String,
    /// The domain.
    pub domain: Name,
    /// The site.
    pub site: Name,
    /// The product.
    pub product: Name,
    /// The sequence that is installed now; a grant for another one does not count.
    pub from: u64,
    /// The sequence to go back to.
    pub to: u64,
    /// The release that has it.
    pub release: Digest,
    /// The last moment it may be used (RFC 3339, UTC, whole seconds), by the later of the site's clock and the latest
    /// signed time it has seen.
    pub expires: String,
}

macro_rules! statement {
    ($type:ty, $name:literal, $role:literal) => {
        impl Statement for $type {
            const TYPE: &'static str = $name;
            const ROLE: &'static str = $role;
            fn kind(&self) -> &str {
                &self.kind
            }
            fn domain(&self) -> &Name {
                &self.domain
            }
        }
    };
}

statement!(SiteRecord, "site-record", "targets");
statement!(DowngradeGrant, "downgrade-grant", "targets");

/// A statement of the approvers, told by its type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Approved {
    /// Who a site is.
    SiteRecord(SiteRecord),
    /// Leave to go back.
    DowngradeGrant(DowngradeGrant),
    /// Secrets of a site, encrypted to it.
    SiteSecrets(SiteSecrets),
    /// A type that a newer program writes; signed, and passed over by this one.
    Unknown(String),
}

/// What is read of a statement before its type is known.
#[derive(Deserialize)]
struct Untyped {
    #[serde(rename = "_type")]
    kind: String,
}

impl RootChain {
    /// Reads a statement out of a bundle, whatever its type: the approvers sign them all.
    ///
    /// # Errors
    /// [`TrustError`].
    pub fn approved_statement(&self, bytes: &[u8]) -> Result<Approved, TrustError> {
        const DOCUMENT: &str = "a statement";
        let envelope = Envelope::parse(DOCUMENT, bytes)?;
        self.check_role(&envelope, SiteRecord::ROLE)?;
        let Untyped { kind } = envelope.interpret()?;
        match kind.as_str() {
            SiteRecord::TYPE => self.statement("a site record", bytes).map(Approved::SiteRecord),
            DowngradeGrant::TYPE => self.statement("a downgrade grant", bytes).map(Approved::DowngradeGrant),
            SiteSecrets::TYPE => self.statement("a statement of secrets", bytes).map(Approved::SiteSecrets),
            _ => Ok(Approved::Unknown(kind)),
        }
    }

    /// Reads a statement: signatures by the role's threshold first, then its form, type and domain.
    ///
    /// # Errors
    /// [`TrustError`]; a root that has no such role refuses every statement of it.
    pub fn statement<T: Statement>(&self, document: &str, bytes: &[u8]) -> Result<T, TrustError> {
        let envelope = Envelope::parse(document, bytes)?;
        self.check_role(&envelope, T::ROLE)?;
        let statement: T = envelope.interpret()?;
        if statement.kind() != T::TYPE {
            return Err(TrustError::Form {
                document: document.to_owned(),
                reason: "its `_type` is another".to_owned(),
            });
        }
        if statement.domain() != self.domain() {
            let (expected, found) = (self.domain().clone(), statement.domain().clone());
            return Err(TrustError::OtherDomain { expected, found });
        }
        Ok(statement)
    }
}
