//! `rollback`: a person takes the current release back, without a medium. What they say stands in the receipt.

use consign_format::Name;
use consign_format::error::{Code, Coded, Failure, codes};

use super::Means;
use super::failing::{Returned, Unsettled, go_back};
use super::run::Run;
use crate::handoff::{Handoff, HealthReport};
use crate::site::Site;
use crate::store::products::{ProductState, ReleaseRef, Returning};

/// Why nothing is taken back.
#[derive(Debug, thiserror::Error)]
pub enum NotTakenBack {
    /// Nothing runs.
    #[error("nothing of {product} is installed")]
    NothingRuns {
        /// The product.
        product: Name,
    },
    /// No release before is here.
    #[error("of {product} only {version} is here, and no release before it")]
    NoneBefore {
        /// The product.
        product: Name,
        /// The version that runs.
        version: String,
    },
    /// The release before is below the root's floor.
    #[error("{product} {version} has sequence {sequence}, and the root accepts nothing below {floor}")]
    BelowFloor {
        /// The product.
        product: Name,
        /// The version before.
        version: String,
        /// Its sequence.
        sequence: u64,
        /// The floor.
        floor: u64,
    },
    /// Going back loses data.
    #[error("{product} {version} says that going back from it would lose data")]
    Irreversible {
        /// The product.
        product: Name,
        /// The version that runs.
        version: String,
        /// The sequences that a grant has to name.
        grant: (u64, u64),
    },
}

impl Coded for NotTakenBack {
    fn code(&self) -> Code {
        match self {
            NotTakenBack::NothingRuns { .. } | NotTakenBack::NoneBefore { .. } => codes::NO_WAY_BACK,
            NotTakenBack::BelowFloor { .. } => codes::OLDER_RELEASE,
            NotTakenBack::Irreversible { .. } => codes::IRREVERSIBLE,
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            NotTakenBack::NothingRuns { .. } => "`consign-site status` says what runs here".to_owned(),
            NotTakenBack::NoneBefore { .. } | NotTakenBack::BelowFloor { .. } => {
                "bring the bundle of a newer release that mends what is wrong".to_owned()
            }
            NotTakenBack::Irreversible { grant: (from, to), .. } => format!(
                "bring a grant from sequence {from} to {to} that the approvers have signed (`consign grant`), or a newer release"
            ),
        })
    }
}

/// Takes the current release of a product back. `reason`: what the person says; it stands in the receipt.
///
/// The interlock counts, windows and holds do not: who does this by hand has looked.
///
/// # Errors
/// [`NotTakenBack`], before anything was changed; [`Unsettled::Stuck`], if going back failed.
pub async fn roll_back<H: Handoff>(
    site: &mut Site,
    product: ProductState,
    reason: &str,
    means: Means<'_>,
    connect: impl AsyncFnOnce() -> Result<H, Failure>,
) -> Result<Unsettled, Failure> {
    let (current, _) = check(site, &product, means)?;
    means.gates.check_interlock(means.clocks.now()).await?;
    let manifest = site.store.read_release(&current.digest)?;
    let handoff = connect().await?;
    if let Some(registry) = means.registry {
        registry.ready().await?;
    }
    let mut run = Run::begin(site, product, current, manifest, means)?;
    let returning = Returning { reasons: vec![format!("by hand: {reason}")], by_hand: true };
    match go_back(&mut run, &handoff, returning, &HealthReport::default()).await? {
        Returned::Back(unsettled) => Ok(unsettled),
        Returned::Stuck(unsettled) => Err(unsettled.into()),
    }
}

/// The release that runs and the one before it, where the way back is open.
fn check(site: &Site, product: &ProductState, means: Means<'_>) -> Result<(ReleaseRef, ReleaseRef), Failure> {
    let name = product.product.clone();
    let Some(current) = product.current.as_ref().map(|current| current.release.clone()) else {
        return Err(NotTakenBack::NothingRuns { product: name }.into());
    };
    let Some(previous) = product.previous.clone() else {
        return Err(NotTakenBack::NoneBefore { product: name, version: current.version }.into());
    };
    let floor = site.floor(&product.domain, &name);
    if previous.sequence < floor {
        let (version, sequence) = (previous.version, previous.sequence);
        return Err(NotTakenBack::BelowFloor { product: name, version, sequence, floor }.into());
    }
    let release = site.store.read_release(&current.digest)?;
    if release.rollout.irreversible && !is_granted(site, product, (&current, &previous), means)? {
        let grant = (current.sequence, previous.sequence);
        return Err(NotTakenBack::Irreversible { product: name, version: current.version, grant }.into());
    }
    Ok((current, previous))
}

/// Whether the approvers have signed that this very way back may be gone.
fn is_granted(
    site: &Site,
    product: &ProductState,
    (from, to): (&ReleaseRef, &ReleaseRef),
    means: Means<'_>,
) -> Result<bool, Failure> {
    let Some(state) = site.domains.get(&product.domain) else { return Ok(false) };
    let roots = state.chain(&site.store)?;
    let now = super::effective_now(site, &product.domain, means.clocks);
    Ok(state.grants_of(&product.product, &roots).iter().any(|grant| {
        (grant.from, grant.to) == (from.sequence, to.sequence)
            && grant.release == to.digest
            && now.as_str() <= grant.expires.as_str()
    }))
}
