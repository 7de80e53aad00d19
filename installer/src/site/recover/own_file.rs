//! A domain's file that no identity vouches for, because the identity is lost: what of it may still be demanded.
//!
//! Nobody but this site writes there, and yet nothing of the file is taken on trust. It counts if its checksum holds, if it
//! names this site and domain, and if its roots and the one that a person brought are one chain. Then it lifts what is
//! demanded: later roots, each signed by the one before, and counters as the lowest that is taken. Leave to go back, and
//! whatever else would lower something, is left behind.

use consign_format::Name;
use consign_format::trust::roots::RootChain;

use super::super::{Counter, DomainState};
use crate::store::{Store, state_file};

/// Lifts a new state by the file that lies in its place; says in words what that file gave.
pub(super) fn lift(state: &mut DomainState, store: &Store) -> Option<String> {
    let own: DomainState = state_file::read(&DomainState::file(store, &state.domain)).ok().flatten()?;
    if own.domain != state.domain || own.site != state.site {
        return None;
    }
    let (roots, version) = joined(&own.roots, state.roots.first()?)?;
    state.roots = roots;
    let verified = own.products.iter().filter_map(|(product, trust)| Some((product.clone(), trust.verified.clone()?)));
    state.raise(verified.collect());
    state.raise_floors(own.products.iter().filter_map(|(product, trust)| Some((product, trust.floor.as_ref()?))));
    state.time_floor = state.time_floor.max(own.time_floor);
    state.secrets = own.secrets;
    let counters = own.products.iter().filter_map(|(product, trust)| Some((product, trust.verified.as_ref()?)));
    let counters = counters.map(|(product, Counter { sequence, .. })| format!(", sequence {sequence} of {product}"));
    Some(format!("its file still holds and counts: root {version}{}", counters.collect::<String>()))
}

/// The roots from the one that a person brought to the newest, and its version, if all of them are one chain.
fn joined(own: &[String], brought: &String) -> Option<(Vec<String>, u64)> {
    let restore = |roots: &[String]| {
        let files: Vec<Vec<u8>> = roots.iter().map(|root| root.clone().into_bytes()).collect();
        RootChain::restore(&files).ok().map(|chain| chain.root().version)
    };
    match own.iter().position(|root| root == brought) {
        Some(at) => {
            restore(own)?;
            Some((own[at..].to_vec(), restore(&own[at..])?))
        }
        // The one that was brought may be the next.
        None => {
            let version = restore(&[own, std::slice::from_ref(brought)].concat())?;
            Some((vec![brought.clone()], version))
        }
    }
}

/// What of the site's domains is left behind: files of domains that the recovered site is not enrolled in.
pub(super) fn left_behind<'a>(
    store: &Store,
    site: &'a Name,
    is_enrolled: impl Fn(&Name) -> bool + 'a,
) -> impl Iterator<Item = Name> + 'a {
    let folder = store.trust_dir().join("domains");
    let files = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let states = files.filter_map(|file| state_file::read::<DomainState>(&file.path()).ok().flatten());
    states.filter(move |state| state.site == *site && !is_enrolled(&state.domain)).map(|state| state.domain)
}
