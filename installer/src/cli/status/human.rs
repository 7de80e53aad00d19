//! What `status` tells people, from the same document that `--json` prints.

use std::fmt::Write as _;

use consign_format::Name;

use super::{DomainStatus, SecretsStatus, Status};
use crate::config::HandoffKind;
use crate::gates::timestamp;
use crate::store::products::ProductState;

pub(super) fn human(status: &Status) -> String {
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
        text.push_str(&human_product(product));
    }
    for held in &status.holds {
        let _ = write!(text, "\nheld      {held}");
    }
    for file in &status.files {
        let _ = write!(text, "\nfile      {} ({}): {}", file.to, file.product, file.is);
    }
    match &status.last_receipt {
        Some(receipt) => {
            let _ = write!(text, "\nreceipt   {}: {}", receipt.n, crate::cli::receipts::summary(receipt));
        }
        None => text.push_str("\nreceipt   none yet"),
    }
    if status.refused > 0 {
        let _ = write!(text, "\nrefused   {} bundles since then", status.refused);
    }
    if let Some(entry) = &status.cut_off {
        let _ = write!(text, "\nthe last run was cut off at `{}` of {}", entry.step, entry.product);
    }
    let _ = write!(text, "\nnext      {}", status.next);
    text
}

fn human_product(product: &ProductState) -> String {
    let mut text = format!("\nproduct   {}", product.product);
    if let Some(current) = &product.current {
        let state = match (&product.returning, current.confirmed) {
            (Some(_), _) => "being taken back",
            (None, true) => "confirmed",
            (None, false) => "NOT confirmed",
        };
        let (version, sequence) = (&current.release.version, current.release.sequence);
        let _ = write!(text, "\n  current   {version} (sequence {sequence}, {state})");
    }
    if let Some(release) = &product.previous {
        let _ = write!(text, "\n  previous  {} (sequence {})", release.version, release.sequence);
    }
    if let Some(staged) = &product.staged {
        let (release, since) = (&staged.release, timestamp(staged.at));
        let _ = write!(text, "\n  staged    {} (sequence {}, since {since})", release.version, release.sequence);
    }
    if let Some(release) = &product.failed {
        let _ = write!(text, "\n  failed    {} (sequence {})", release.version, release.sequence);
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

/// One product, in a line.
pub(super) fn in_short(product: &ProductState) -> String {
    let name = &product.product;
    let runs = match &product.current {
        Some(current) if product.returning.is_some() => {
            format!("{name} {} is being taken back", current.release.version)
        }
        Some(current) if current.confirmed => format!("{name} {} runs and is healthy", current.release.version),
        Some(current) => format!("{name} {} was begun and is not confirmed", current.release.version),
        None => format!("nothing of {name} runs"),
    };
    let staged = product.staged.as_ref().map(|staged| format!("; {} is loaded and waits", staged.release.version));
    let failed = product.failed.as_ref().map(|failed| format!("; {} was tried and failed", failed.version));
    format!("{runs}{}{}.", staged.unwrap_or_default(), failed.unwrap_or_default())
}
