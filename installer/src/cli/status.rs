//! `consign-site status`

use std::fmt::Write as _;

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
use crate::store::journal::Entry;
use crate::store::products::ProductState;

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
    /// The step at which the last run was cut off.
    #[serde(skip_serializing_if = "Option::is_none")]
    cut_off: Option<Entry>,
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
    context.terminal.result(&status, human(&status));
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
    Ok(Status {
        site: site.identity.site.clone(),
        enrolment: site.identity.enrolment.clone(),
        production: site.identity.production,
        domains: site.domains.iter().map(domain).collect::<Result<_, _>>()?,
        products: site.store.products()?,
        files: files::status(site)?,
        handoff: config.handoff,
        registry: look_at(&config.registry),
        last_receipt,
        refused: site.store.refused()?,
        cut_off: site.store.cut_off()?,
    })
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

fn human(status: &Status) -> String {
    let mut text = format!("site      {}{}", status.site, if status.production { " (production)" } else { "" });
    status.domains.iter().for_each(|domain| text.push_str(&human_domain(domain)));
    let handoff = match status.handoff {
        HandoffKind::Direct => "direct",
        HandoffKind::Export => "export",
    };
    let answers = if status.registry.answers { "answers" } else { "does not answer" };
    let registry = status.registry.listen.map(|listen| listen.to_string()).or_else(|| status.registry.url.clone());
    let _ = write!(text, "\nhandoff   {handoff}\nregistry  {} ({answers})", registry.unwrap_or_default());
    if status.products.is_empty() {
        text.push_str("\nnothing is installed");
    }
    for product in &status.products {
        let _ = write!(text, "\nproduct   {}", product.product);
        if let Some(current) = &product.current {
            let confirmed = if current.confirmed { "confirmed" } else { "NOT confirmed" };
            let _ = write!(
                text,
                "\n  current   {} (sequence {}, {confirmed})",
                current.release.version, current.release.sequence
            );
        }
        for (word, release) in
            [("previous", &product.previous), ("staged", &product.staged), ("failed", &product.failed)]
        {
            if let Some(release) = release {
                let _ = write!(text, "\n  {word:<8}  {} (sequence {})", release.version, release.sequence);
            }
        }
    }
    for file in &status.files {
        let _ = write!(text, "\nfile      {} ({}): {}", file.to, file.product, file.is);
    }
    match &status.last_receipt {
        Some(receipt) => {
            let _ = write!(text, "\nreceipt   {}: {}", receipt.n, super::receipts::summary(receipt));
        }
        None => text.push_str("\nreceipt   none yet"),
    }
    if status.refused > 0 {
        let _ = write!(text, "\nrefused   {} bundles since then", status.refused);
    }
    if let Some(entry) = &status.cut_off {
        let _ = write!(text, "\nthe last run was cut off at `{}` of {}; run install again", entry.step, entry.product);
    }
    text
}

fn human_domain(domain: &DomainStatus) -> String {
    let mut text =
        format!("\ndomain    {} (root {}, enrolled {})", domain.domain, domain.root_version, domain.fingerprint);
    match &domain.record {
        Some(record) => {
            let environments = record.environments.iter().map(Name::to_string);
            let known_as: Vec<String> = environments.chain(record.labels.iter().cloned()).collect();
            let _ = write!(text, "\n  record    {}: {}", record.serial, known_as.join(", "));
        }
        None => text.push_str("\n  record    none yet: only bundles for this site's name, or for any, are taken"),
    }
    match &domain.secrets {
        Some(SecretsStatus::Here { serial, secrets }) => {
            let names = secrets.iter().map(|secret| format!("{}/{}", secret.namespace, secret.name));
            let _ = write!(text, "\n  secrets   {serial}: {}", names.collect::<Vec<_>>().join(", "));
        }
        Some(SecretsStatus::Absent { absent }) => {
            let _ = write!(text, "\n  secrets   MISSING, and must be brought again: {absent}");
        }
        None => {}
    }
    text
}
