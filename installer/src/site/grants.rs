//! Downgrade grants: leave, signed by the approvers, to take one older release once more at this site.

use consign_format::Name;
use consign_format::trust::roots::RootChain;
use consign_format::trust::statement::DowngradeGrant;

use super::{DomainState, Site};
use crate::store::StoreError;

/// How many grants a domain keeps; the oldest go first. Each is for one pair of releases, so few are ever open.
const KEPT: usize = 32;

impl DomainState {
    /// The grants of one product that the approvers of today stand behind, oldest first.
    pub(crate) fn grants_of(&self, product: &Name, roots: &RootChain) -> Vec<DowngradeGrant> {
        let held = self.grants.iter().filter_map(|text| roots.statement("a downgrade grant", text.as_bytes()).ok());
        held.filter(|grant: &DowngradeGrant| grant.product == *product).collect()
    }
}

impl Site {
    /// Keeps a grant whose signatures hold, as it was signed; says so in words if it is for this site and new.
    pub fn take_grant(
        &mut self,
        domain: &Name,
        grant: &DowngradeGrant,
        bytes: &[u8],
    ) -> Result<Option<String>, StoreError> {
        let Some(state) = self.domains.get_mut(domain) else { return Ok(None) };
        let text = String::from_utf8_lossy(bytes).into_owned();
        if grant.site != self.identity.site || state.grants.contains(&text) {
            return Ok(None);
        }
        let words = format!("leave to go back from sequence {} of {} to {}", grant.from, grant.product, grant.to);
        state.grants.push(text);
        let surplus = state.grants.len().saturating_sub(KEPT);
        state.grants.drain(..surplus);
        state.write(&self.store)?;
        Ok(Some(words))
    }
}
