//! The one thing to do next, for somebody who knows Linux and nothing else.

use consign_format::Name;
use consign_format::error::Failure;

use crate::cli::{Context, gates, runtime};
use crate::config::SiteConfig;
use crate::gates::Closed;
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
    let gates = gates(context, None, config, None);
    let now = context.machine.clocks.now();
    let mut closed = Vec::new();
    for product in products.iter().filter(|product| product.waiting().is_some()) {
        let floor = site.domains.get(&product.domain).map_or(0, |state| state.time_floor);
        let verdict = runtime::block_on(async { Ok(gates.check(&product.product, now, floor, false).await) })?;
        closed.push((product.product.clone(), verdict.err()));
    }
    Ok(closed)
}

/// The step to take next.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::cli) enum Step {
    /// Something waits, and nothing stands in its way; or was begun and has to be ended.
    Activate,
    /// For what to wait, or what to do that no command does.
    Wait(String),
    /// Something is wrong that headquarters has to look at.
    Collect,
    /// Something happened that headquarters does not know of yet.
    CarryBack,
    /// Nothing.
    Nothing,
}

/// Finds the step to take next. `carried_back`: the number of receipts that were handed out, of `receipts`.
pub(super) fn step(
    running: Option<&Entry>,
    products: &[ProductState],
    closed: &[(Name, Option<Closed>)],
    (carried_back, receipts): (u64, u64),
) -> Step {
    if let Some(entry) = running {
        return Step::Wait(format!("wait: `{}` of {} is under way", entry.step, entry.product));
    }
    if products.iter().any(|product| product.returning.is_some()) {
        return Step::Activate;
    }
    let halted = |product: &ProductState| {
        let current = product.current.as_ref().filter(|current| !current.confirmed).map(|current| &current.release);
        current.is_some() && current == product.failed.as_ref() && product.staged.is_none()
    };
    if products.iter().any(halted) {
        return Step::Collect;
    }
    if closed.iter().any(|(_, closed)| closed.is_none()) {
        return Step::Activate;
    }
    if let Some(closed) = closed.iter().find_map(|(_, closed)| closed.as_ref()) {
        return Step::Wait(waiting(closed));
    }
    if carried_back < receipts { Step::CarryBack } else { Step::Nothing }
}

impl Step {
    /// In one line, with the command.
    pub(super) fn in_words(&self, products: &[ProductState]) -> String {
        match self {
            Step::Activate => match products.iter().find(|product| product.returning.is_some()) {
                Some(product) => {
                    format!("consign-site activate {}: it goes on with taking the release back", product.product)
                }
                None => "consign-site activate".to_owned(),
            },
            Step::Wait(words) => words.clone(),
            Step::Collect => {
                "a release is not healthy and was left as it is; consign-site diagnose -o FILE collects all".to_owned()
            }
            Step::CarryBack => "carry the receipts back: consign-site receipts export DIR".to_owned(),
            Step::Nothing if products.is_empty() => "consign-site install /media/usb".to_owned(),
            Step::Nothing => "nothing".to_owned(),
        }
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
