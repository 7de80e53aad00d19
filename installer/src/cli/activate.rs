//! `consign-site activate`

use consign_format::Name;
use consign_format::error::Failure;
use serde::Serialize;

use super::bench::{Bench, Converging, Override};
use super::{Context, runtime, told};
use crate::admit::Ask;
use crate::install_bundle::{Finished, NotActivated, activate_staged};
use crate::site::Site;
use crate::store::products::ProductState;

/// Activates what is staged: applies it, waits until it is healthy, and writes a receipt. Needs no medium.
///
/// Without a name, everything that waits is activated, what is required first; an activation that a power cut ended is
/// gone on with. The site's windows must be open, its interlock free, and no hold in force; else it waits: exit code 24.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The product; everything that waits, if none is named.
    product: Option<Name>,
    #[command(flatten)]
    converging: Converging,
    #[command(flatten)]
    windows: Override,
    /// Try a release again that failed here before.
    #[arg(long)]
    retry: bool,
}

#[derive(Debug, Default, Serialize)]
struct Activated {
    /// What became of each product, in the order in which they were activated.
    products: Vec<Finished>,
}

pub(super) fn run(context: &Context<'_>, arguments: &Arguments) -> Result<(), Failure> {
    let (bench, mut site) = Bench::open(context, &arguments.converging, &arguments.windows)?;
    let ask = Ask { retry: arguments.retry, ..Ask::default() };
    let mut done = Activated::default();
    for product in waiting(&site, arguments)? {
        let finished = runtime::block_on(async {
            let registry = bench.registry(&site)?;
            let means = bench.means(registry.as_ref());
            activate_staged(&mut site, product, ask, means, async || bench.connect().await).await
        });
        bench.keep_copy(&site, finished.is_ok());
        let finished = finished?;
        finished.warnings().iter().for_each(|warning| context.terminal.warn(warning));
        done.products.push(finished);
    }
    let human: Vec<String> = done.products.iter().map(told::finished).collect();
    context.terminal.result(&done, human.join("\n"));
    Ok(())
}

/// The products to activate, what is required before what requires it.
fn waiting(site: &Site, arguments: &Arguments) -> Result<Vec<ProductState>, Failure> {
    let mut products = site.store.products()?;
    let Some(name) = &arguments.product else {
        // What failed and was left as it is keeps nothing else from being activated.
        products.retain(|product| arguments.retry || product.waiting() != product.failed.as_ref());
        let waiting = crate::install_bundle::in_order(&site.store, products)?;
        return match waiting.is_empty() {
            true => Err(NotActivated::NothingAtAll.into()),
            false => Ok(waiting),
        };
    };
    let found: Vec<ProductState> = products.into_iter().filter(|product| product.product == *name).collect();
    match found.is_empty() {
        true => Err(NotActivated::Nothing { product: name.clone(), current: None }.into()),
        false => Ok(found),
    }
}
