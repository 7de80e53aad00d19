//! Receipts: what this site did, signed by its own key, each naming the one before.
//!
//! A receipt is on the disk before anything says "done". It carries integers and closed words; no logs, no Secrets.

use consign_format::error::{Code, Coded};
use consign_format::receipt::{
    Action, ByteCounts, Clock, ClockQuality, HealthCounts, ObjectCounts, Outcome, Phase, Receipt, ReceiptRelease, TYPE,
};
use consign_format::trust::keys::{SignError, Signer, sign};
use consign_format::{Digest, Name};

use crate::clock::Clocks;
use crate::handoff::{Action as Change, Counts};
use crate::handoff::{ChangeSet, HealthReport};
use crate::site::Site;
use crate::store::StoreError;
use crate::store::products::ReleaseRef;
use crate::store::receipts::Kept;

mod export;
pub mod qr;

pub use export::{Exported, export};

/// A clock further ahead of the latest signed time than this is not believed: twenty years, in seconds.
const FAR_AHEAD: u64 = 20 * 365 * 24 * 3600;

/// A receipt without what the chain adds: number, predecessor, clock, signature.
#[derive(Debug, Clone)]
pub struct Draft {
    /// The domain.
    pub domain: Name,
    /// What was done.
    pub action: Action,
    /// How it ended.
    pub outcome: Outcome,
    /// With which release.
    pub release: Option<ReceiptRelease>,
    /// After a rollback: what runs now.
    pub now_current: Option<ReceiptRelease>,
    /// For a change of the root: the version that is trusted from now on.
    pub root: Option<u64>,
    /// Who converges the cluster.
    pub handoff: &'static str,
    /// The phases, in order.
    pub phases: Vec<Phase>,
    /// Objects by what happened to them.
    pub objects: ObjectCounts,
    /// Objects by health.
    pub health: HealthCounts,
    /// Bytes moved.
    pub bytes: ByteCounts,
    /// Why it ended as it did.
    pub reasons: Vec<String>,
    /// What somebody should look at.
    pub warnings: Vec<String>,
    /// Objects kept although they left the release.
    pub kept: Vec<String>,
}

impl Draft {
    /// A draft that says nothing but what was done.
    pub fn new(domain: Name, action: Action, outcome: Outcome, handoff: &'static str) -> Self {
        Draft {
            domain,
            action,
            outcome,
            release: None,
            now_current: None,
            root: None,
            handoff,
            phases: Vec::new(),
            objects: ObjectCounts::default(),
            health: HealthCounts::default(),
            bytes: ByteCounts::default(),
            reasons: Vec::new(),
            warnings: Vec::new(),
            kept: Vec::new(),
        }
    }
}

/// A receipt could not be issued.
#[derive(Debug, thiserror::Error)]
pub enum ReceiptError {
    /// The chain cannot be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The site's key does not sign.
    #[error(transparent)]
    Sign(#[from] SignError),
}

impl Coded for ReceiptError {
    fn code(&self) -> Code {
        match self {
            ReceiptError::Store(error) => error.code(),
            ReceiptError::Sign(error) => error.code(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            ReceiptError::Store(error) => error.hint(),
            ReceiptError::Sign(error) => error.hint(),
        }
    }
}

/// Signs a draft as the next receipt of the site and keeps it.
pub fn issue(site: &Site, draft: Draft, clocks: &Clocks) -> Result<Kept, ReceiptError> {
    let last = site.store.last_receipt_number()?;
    let previous = match last {
        // The first receipt after a recovery names the last one that was known before.
        0 => site.identity.continues,
        n => Some(Digest::of(&read(site, n)?.bytes)),
    };
    let refused = site.store.refused()?;
    let now = clocks.now();
    let floor = site.domains.get(&draft.domain).map_or(0, |domain| domain.time_floor);
    let receipt = Receipt {
        kind: TYPE.to_owned(),
        domain: draft.domain,
        site: site.identity.site.clone(),
        enrolment: site.identity.enrolment.clone(),
        n: last + 1,
        previous,
        action: draft.action,
        outcome: draft.outcome,
        release: draft.release,
        now_current: draft.now_current,
        root: draft.root,
        handoff: draft.handoff.to_owned(),
        phases: draft.phases,
        clock: Clock { now, quality: quality(now, floor) },
        objects: draft.objects,
        health: draft.health,
        bytes: draft.bytes,
        reasons: draft.reasons.iter().map(|text| one_line(text)).collect(),
        warnings: draft.warnings.iter().map(|text| one_line(text)).collect(),
        kept: draft.kept.iter().map(|text| one_line(text)).collect(),
        refused,
        installer: env!("CARGO_PKG_VERSION").to_owned(),
    };
    let key = site.key()?;
    let bytes = sign(&receipt, &[&key as &dyn Signer])?;
    site.store.write_receipt(receipt.n, &bytes)?;
    if refused > 0 {
        site.store.set_refused(0)?;
    }
    Ok(read(site, receipt.n)?)
}

fn read(site: &Site, n: u64) -> Result<Kept, StoreError> {
    let kept = site.store.read_receipt(n, &site.identity.public_key)?;
    kept.ok_or_else(|| StoreError::Missing { path: site.store.receipts_dir().join(n.to_string()) })
}

/// The clock decides nothing; headquarters should know how far it can be believed.
fn quality(now: u64, floor: u64) -> ClockQuality {
    if is_believable(now, floor) { ClockQuality::Plausible } else { ClockQuality::Suspect }
}

/// Whether a clock can be right, after the latest signed time that was seen; where none was, any can.
pub(crate) fn is_believable(now: u64, floor: u64) -> bool {
    floor == 0 || (now >= floor && now - floor < FAR_AHEAD)
}

/// Canonical JSON holds no control characters; a reason from a cluster may.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// What a receipt says of a release.
pub fn release_of(product: &Name, release: &ReleaseRef) -> ReceiptRelease {
    ReceiptRelease {
        product: product.clone(),
        version: release.version.clone(),
        sequence: release.sequence,
        digest: release.digest,
        bundle: release.bundle,
    }
}

/// What a receipt says of changes.
pub fn objects_of(changes: &ChangeSet) -> ObjectCounts {
    let Counts { created, configured, recreated, unchanged, deleted, skipped } = changes.counts();
    // A receipt knows what was there and differed; how it was brought to what is desired is in the output of the run.
    ObjectCounts { created, configured: configured + recreated, unchanged, deleted, skipped }
}

/// Objects that left the release and stayed, each with the reason.
pub fn kept_of(changes: &ChangeSet) -> Vec<String> {
    let skipped = changes.entries.iter().filter(|entry| entry.action == Change::Skipped);
    skipped.map(|entry| format!("{}: {}", entry.key, entry.note.as_deref().unwrap_or("kept"))).collect()
}

/// What a receipt says of health.
pub fn health_of(health: &HealthReport) -> HealthCounts {
    let unhealthy = health.unhealthy.len() as u64;
    HealthCounts { healthy: health.objects.saturating_sub(unhealthy), unhealthy }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_is_believed_between_the_signed_time_and_twenty_years_on() {
        let floor = 1_790_000_000;
        for (now, expected) in [
            (floor, ClockQuality::Plausible),
            (floor + FAR_AHEAD - 1, ClockQuality::Plausible),
            (floor + FAR_AHEAD, ClockQuality::Suspect),
            (floor - 1, ClockQuality::Suspect),
            (0, ClockQuality::Suspect),
        ] {
            assert_eq!(quality(now, floor), expected, "{now}");
        }
        assert_eq!(quality(5, 0), ClockQuality::Plausible, "nothing signed was seen yet");
    }

    #[test]
    fn reasons_fit_canonical_json() {
        assert_eq!(one_line("a\nb\u{7}c"), "a b c");
    }
}
