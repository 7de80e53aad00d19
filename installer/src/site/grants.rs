//! Downgrade grants: leave, signed by the approvers, to take one older release once more at this site.

use consign_format::Name;
use consign_format::trust::statement::DowngradeGrant;

use super::{DomainState, Site};
use crate::store::StoreError;

/// How many grants a domain keeps; the oldest go first. Each is for one pair of releases, so few are ever open.
const KEPT: usize = 32;

impl DomainState {
    /// The grants of one product, oldest first.
    pub(crate) fn grants_of<'a>(&'a self, product: &'a Name) -> impl Iterator<Item = &'a DowngradeGrant> {
        self.grants.iter().filter(move |grant| grant.product == *product)
    }
}

impl Site {
    /// Keeps a grant whose signatures hold; says so in words if it is for this site and new.
    pub fn take_grant(&mut self, domain: &Name, grant: DowngradeGrant) -> Result<Option<String>, StoreError> {
        let Some(state) = self.domains.get_mut(domain) else { return Ok(None) };
        if grant.site != self.identity.site || state.grants.contains(&grant) {
            return Ok(None);
        }
        let words = format!("leave to go back from sequence {} of {} to {}", grant.from, grant.product, grant.to);
        state.grants.push(grant);
        let surplus = state.grants.len().saturating_sub(KEPT);
        state.grants.drain(..surplus);
        state.write(&self.store)?;
        Ok(Some(words))
    }
}
