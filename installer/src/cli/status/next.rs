//! The one thing to do next, for somebody who knows Linux and nothing else.

use consign_format::Name;
use consign_format::error::Failure;

use crate::cli::{Context, lookup, runtime};
use crate::config::SiteConfig;
use crate::gates::{Closed, Gates};
use crate::site::Site;
use crate::store::journal::Entry;
use crate::store::products::ProductState;

/// For every product of which something waits: the gate that is closed now, if one is.
type ClosedGates = Vec<(Name, Option<Closed>)>;

/// Asks the gates for what waits, and for nothing else: a probe is not run for fun.
pub(super) fn closed_gates(
    context: &Context<'_>,
    site: &Site,
    config: &SiteConfig,
    products: &[ProductState],
) -> Result<ClosedGates, Failure> {
    let settings = (config.windows.clone(), config.interlock.clone());
    let gates = Gates::new(site.store.clone(), settings, lookup(context, None, config), None);
    let now = context.machine.clocks.now();
    let mut closed = Vec::new();
    for product in products.iter().filter(|product| product.waiting().is_some()) {
        let floor = site.domains.get(&product.domain).map_or(0, |state| state.time_floor);
        let verdict = runtime::block_on(async { Ok(gates.check(&product.product, now, floor, false).await) })?;
        closed.push((product.product.clone(), verdict.err()));
    }
    Ok(closed)
}

/// Says what to do next.
pub(super) fn next(
    running: Option<&Entry>,
    products: &[ProductState],
    closed: &[(Name, Option<Closed>)],
    receipts: u64,
) -> String {
    if let Some(entry) = running {
        return format!("wait: `{}` of {} is under way", entry.step, entry.product);
    }
    if let Some(product) = products.iter().find(|product| product.returning.is_some()) {
        return format!("consign-site activate {}: it goes on with taking the release back", product.product);
    }
    let halted = |product: &&ProductState| {
        let current = product.current.as_ref().filter(|current| !current.confirmed).map(|current| &current.release);
        current.is_some() && current == product.failed.as_ref() && product.staged.is_none()
    };
    if let Some(product) = products.iter().find(halted) {
        let name = &product.product;
        return format!(
            "look at {name}: it is not healthy and was left as it is; `consign-site diagnose` collects all"
        );
    }
    if closed.iter().any(|(_, closed)| closed.is_none()) {
        return "consign-site activate".to_owned();
    }
    if let Some(closed) = closed.iter().find_map(|(_, closed)| closed.as_ref()) {
        return waiting(closed);
    }
    if let Some(product) = products.iter().find(|product| product.failed.is_some()) {
        return format!(
            "carry the receipts back: {} could not be updated; consign-site receipts export DIR",
            product.product
        );
    }
    match (products.is_empty(), receipts) {
        (true, _) => "consign-site install /media/usb".to_owned(),
        (false, 0) => "nothing".to_owned(),
        (false, _) => "carry the receipts back: consign-site receipts export DIR".to_owned(),
    }
}

fn waiting(closed: &Closed) -> String {
    match closed {
        Closed::Outside { opens: Some(at), .. } => format!("wait until the window opens, {at}"),
        Closed::Outside { opens: None, .. } => "wait: no window will open; look at [[windows]] in site.toml".to_owned(),
        Closed::Denied { until, .. } => format!("wait until the window that forbids it ends, {until}"),
        Closed::Clock { .. } => "set this machine's clock: windows can't be judged".to_owned(),
        Closed::Interlock(taken) => format!("wait until the device is free: {taken}"),
        Closed::Held { what, .. } if what == "everything" => {
            "wait until the hold on everything ends, or lift it: consign-site hold lift".to_owned()
        }
        Closed::Held { what, .. } => {
            format!("wait until the hold on {what} ends, or lift it: consign-site hold lift {what}")
        }
        Closed::Store(error) => error.to_string(),
    }
}
