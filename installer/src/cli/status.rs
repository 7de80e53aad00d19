//! `consign-site status`

use std::collections::BTreeMap;

use consign_format::error::Failure;
use consign_format::receipt::Receipt;
use consign_format::trust::site_secrets::{SecretNames, SiteSecrets};
use consign_format::trust::statement::SiteRecord;
use consign_format::{Digest, Name};
use serde::Serialize;

use super::Context;
use crate::config::{HandoffKind, RegistryConfig};
use crate::files::{self, PlaceStatus};
use crate::site::secrets::Held;
use crate::site::{DomainState, Site};
use crate::store::StoreError;
use crate::store::holds::Holds;
use crate::store::journal::Entry;
use crate::store::lock;
use crate::store::products::ProductState;

mod human;
mod next;

pub(super) use next::Step;

/// Says what this site is, what runs, and how the last run ended. Changes nothing.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {}

/// The document of `status --json`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Status {
    site: Name,
    enrolment: String,
    production: bool,
    domains: Vec<DomainStatus>,
    products: Vec<ProductState>,
    /// Files that were placed on this machine, and whether they are still so.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    files: Vec<PlaceStatus>,
    handoff: HandoffKind,
    registry: RegistryStatus,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_receipt: Option<Receipt>,
    /// Bundles refused since the last receipt.
    refused: u64,
    /// The step that is under way now, by another run.
    #[serde(skip_serializing_if = "Option::is_none")]
    running: Option<Entry>,
    /// The step at which the last run was cut off.
    #[serde(skip_serializing_if = "Option::is_none")]
    cut_off: Option<Entry>,
    /// What nobody may activate now, in words.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    holds: Vec<String>,
    /// What waits to be activated, and the gate that is closed, by product.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    waits: BTreeMap<Name, Option<String>>,
    /// What to do next, in one line.
    next: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct DomainStatus {
    domain: Name,
    root_version: u64,
    fingerprint: Digest,
    /// What headquarters says of this site.
    #[serde(skip_serializing_if = "Option::is_none")]
    record: Option<SiteRecord>,
    /// The Secrets that were encrypted to this site.
    #[serde(skip_serializing_if = "Option::is_none")]
    secrets: Option<SecretsStatus>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase", untagged)]
enum SecretsStatus {
    /// The statement that counts.
    Here { serial: u64, secrets: Vec<SecretNames> },
    /// Why they must be brought again.
    Absent { absent: String },
}

fn secrets_of(site: &Site, domain: &Name) -> Result<Option<SecretsStatus>, StoreError> {
    Ok(match site.secrets(domain)? {
        Held::Never => None,
        Held::Here(SiteSecrets { serial, secrets, .. }) => Some(SecretsStatus::Here { serial, secrets }),
        Held::Absent(absent) => Some(SecretsStatus::Absent { absent }),
    })
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct RegistryStatus {
    /// Where the embedded one listens.
    #[serde(skip_serializing_if = "Option::is_none")]
    listen: Option<std::net::SocketAddr>,
    /// The one that the site already had.
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
    /// Whether somebody answers there.
    answers: bool,
}

pub(super) fn run(context: &Context<'_>, _: &Arguments) -> Result<(), Failure> {
    let site = Site::open(context.store.clone())?;
    let status = look(context, &site)?;
    context.terminal.result(&status, human::human(&status));
    Ok(())
}

pub(super) fn look(context: &Context<'_>, site: &Site) -> Result<Status, Failure> {
    let config = context.config()?;
    let domain = |(name, state): (&Name, &DomainState)| -> Result<DomainStatus, StoreError> {
        let chain = state.chain(&site.store)?;
        let (root_version, fingerprint) = (chain.root().version, chain.fingerprint());
        let (record, secrets) = (state.record().cloned(), secrets_of(site, name)?);
        Ok(DomainStatus { domain: name.clone(), root_version, fingerprint, record, secrets })
    };
    let last = site.store.last_receipt_number()?;
    let last_receipt = match last {
        0 => None,
        n => site.store.read_receipt(n, &site.identity.public_key)?.map(|kept| kept.receipt),
    };
    let (running, cut_off) = match (lock::is_held(&site.store)?, site.store.cut_off()?) {
        (true, entry) => (entry, None),
        (false, entry) => (None, entry),
    };
    let (products, now) = (site.store.products()?, context.machine.clocks.now());
    let closed = next::closed_gates(context, site, &config, &products)?;
    let carried = site.store.exported(&site.identity.enrolment)?;
    let next = next::step(running.as_ref(), &products, &closed, (carried, last)).in_words(&products);
    let waits = closed.iter().map(|(product, closed)| (product.clone(), closed.as_ref().map(ToString::to_string)));
    let waits = waits.collect();
    Ok(Status {
        site: site.identity.site.clone(),
        enrolment: site.identity.enrolment.clone(),
        production: site.identity.production,
        domains: site.domains.iter().map(domain).collect::<Result<_, _>>()?,
        products,
        files: files::status(site)?,
        handoff: config.handoff,
        registry: look_at(&config.registry),
        last_receipt,
        refused: site.store.refused()?,
        running,
        cut_off,
        holds: Holds::read(&site.store)?.in_words(now),
        waits,
        next,
    })
}

/// How things stand, in a line per product, for somebody who wants to know no more.
pub(super) fn in_short(site: &Site) -> Result<String, Failure> {
    let mut lines = vec![format!("This is site {}.", site.identity.site)];
    for product in site.store.products()? {
        lines.push(human::in_short(&product));
    }
    if lines.len() == 1 {
        lines.push("Nothing is installed yet.".to_owned());
    }
    Ok(lines.join("\n"))
}

/// The step to take next.
pub(super) fn what_next(context: &Context<'_>, site: &Site) -> Result<Step, Failure> {
    let (config, products) = (context.config()?, site.store.products()?);
    let running = if lock::is_held(&site.store)? { site.store.cut_off()? } else { None };
    let closed = next::closed_gates(context, site, &config, &products)?;
    let receipts = (site.store.exported(&site.identity.enrolment)?, site.store.last_receipt_number()?);
    Ok(next::step(running.as_ref(), &products, &closed, receipts))
}

/// Whether something answers is all that is asked: nobody is logged in for that.
fn look_at(registry: &RegistryConfig) -> RegistryStatus {
    use std::net::{TcpStream, ToSocketAddrs as _};
    let wait = std::time::Duration::from_millis(300);
    let answers = |at| TcpStream::connect_timeout(&at, wait).is_ok();
    let Some(existing) = &registry.existing else {
        return RegistryStatus { listen: Some(registry.listen), url: None, answers: answers(registry.listen) };
    };
    let found = existing.address.socket().and_then(|at| at.to_socket_addrs().ok()?.next());
    let url = Some(existing.address.to_string());
    RegistryStatus { listen: None, url, answers: found.is_some_and(answers) }
}
