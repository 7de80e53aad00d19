//! What came of a recovery.

use std::collections::BTreeMap;

use consign_format::trust::keys::PublicKey;
use consign_format::{Digest, Name};
use serde::Serialize;

use super::super::damage::absent_secrets;
use super::super::{DomainState, Identity};
use crate::store::Store;

/// Where a domain's state came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Source {
    /// Its own file held.
    File,
    /// The copy in the cluster.
    Cluster,
    /// The root and the floors that a person brought.
    Headquarters,
}

/// What came of it.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Recovered {
    /// The site.
    pub site: Name,
    /// The new enrolment's id.
    pub enrolment: String,
    /// The key that receipts are signed with.
    pub public_key: PublicKey,
    /// Whether that or the age key is a new one: headquarters must make a new site record.
    pub new_key: bool,
    /// Where each domain's state came from.
    pub domains: BTreeMap<Name, Source>,
    /// The receipt that the first one of the new chain will name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub continues: Option<Digest>,
    /// What was used beside that, and what was left out, in words.
    pub used: Vec<String>,
    /// Why the Secrets of each domain must be brought again; nothing where they are here, or were never brought.
    pub secrets: BTreeMap<Name, String>,
}

impl Recovered {
    /// Of a site whose files are written.
    pub(super) fn new<'a>(
        store: &Store,
        identity: &Identity,
        states: impl IntoIterator<Item = &'a DomainState>,
        sources: impl IntoIterator<Item = (Name, Source)>,
    ) -> Self {
        Recovered {
            site: identity.site.clone(),
            enrolment: identity.enrolment.clone(),
            public_key: identity.public_key.clone(),
            new_key: false,
            domains: sources.into_iter().collect(),
            continues: identity.continues,
            used: Vec::new(),
            secrets: absent_secrets(store, identity, states),
        }
    }
}
