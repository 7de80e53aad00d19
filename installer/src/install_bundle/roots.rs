//! Newer roots are committed as soon as they hold, and a receipt says so (TRUST §3.3).

use consign_format::Name;
use consign_format::error::Failure;
use consign_format::receipt::{Action, Outcome};
use consign_format::trust::roots::RootChain;

use crate::clock::Clocks;
use crate::receipts::{Draft, issue};
use crate::site::Site;

/// Commits the chain if it is longer than the site's.
pub(super) fn commit(site: &mut Site, domain: &Name, chain: &RootChain, clocks: &Clocks) -> Result<(), Failure> {
    if let Some((old, new)) = site.commit_roots(domain, chain)? {
        let mut draft = Draft::new(domain.clone(), Action::RootChange, Outcome::Applied, "none");
        draft.reasons.push(format!("the root of trust went from version {old} to version {new}"));
        issue(site, draft, clocks)?;
    }
    Ok(())
}
