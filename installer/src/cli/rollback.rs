//! `consign-site rollback`

use consign_format::Name;
use consign_format::error::Failure;
use serde::Serialize;

use super::bench::{Bench, Converging, Override};
use super::{Context, runtime};
use crate::install_bundle::{NotTakenBack, roll_back};

/// Brings the release before back, out of the store and without a medium, and writes a receipt.
///
/// What the current release made is removed, but nothing that holds data. The release that was taken back is remembered
/// and not tried again without --retry. The interlock must be free; windows and holds do not count. A release that says
/// `irreversible` is taken back only with a grant that its approvers have signed.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The product.
    product: Name,
    /// Why; it stands in the receipt.
    #[arg(long, value_name = "TEXT")]
    reason: String,
    #[command(flatten)]
    converging: Converging,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct TakenBack {
    product: Name,
    /// What runs now.
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    /// What was taken back, and is not tried again unasked.
    #[serde(skip_serializing_if = "Option::is_none")]
    failed: Option<String>,
    /// The number of the receipt.
    receipt: u64,
}

pub(super) fn run(context: &Context<'_>, arguments: &Arguments) -> Result<(), Failure> {
    let (bench, mut site) = Bench::open(context, &arguments.converging, &Override::default())?;
    let name = &arguments.product;
    let product = site.store.products()?.into_iter().find(|product| product.product == *name);
    let product = product.ok_or_else(|| NotTakenBack::NothingRuns { product: name.clone() })?;
    let domain = product.domain.clone();
    let back = runtime::block_on(async {
        let registry = bench.registry(&site)?;
        let means = bench.means(registry.as_ref());
        roll_back(&mut site, product, &arguments.reason, means, async || bench.connect().await).await
    });
    bench.keep_copy(&site, back.is_ok());
    back?;
    let now = site.store.read_product(&domain, name)?;
    let version = now.as_ref().and_then(|now| now.confirmed()).map(|current| current.version.clone());
    let failed = now.and_then(|now| now.failed).map(|failed| failed.version);
    let receipt = site.store.last_receipt_number()?;
    let human = format!(
        "{name} {} runs again; {} is not tried again without --retry\nreceipt   {receipt}",
        version.as_deref().unwrap_or("(nothing)"),
        failed.as_deref().unwrap_or("it"),
    );
    context.terminal.result(&TakenBack { product: name.clone(), version, failed, receipt }, human);
    Ok(())
}
