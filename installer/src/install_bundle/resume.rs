//! Activation of what was staged before, and of what a power cut left half activated: out of the store, without a medium.
//!
//! Days may lie between staging and this. So it is decided anew whether the site takes the release, by what is installed,
//! trusted and allowed now.

use consign_format::error::{Code, Coded, Failure, codes};
use consign_format::release::Requirement;
use consign_format::trust::document::Role;
use consign_format::{Digest, Name};
use consign_registry::BlobFolder;

use super::run::Run;
use super::stage::wanted;
use super::{Finished, Means, Until, activate, memory};
use crate::admit::{Ask, admit_staged};
use crate::handoff::Handoff;
use crate::site::Site;
use crate::store::products::ProductState;
use crate::store::{Store, StoreError};

/// The role of the approvers in a root (TUF's name).
const APPROVERS: &str = "targets";

/// Why nothing is activated.
#[derive(Debug, thiserror::Error)]
pub enum NotActivated {
    /// Nothing waits.
    #[error("nothing of {product} is staged{}", current.as_ref().map_or(String::new(), |current| format!(", {current} runs")))]
    Nothing {
        /// The product.
        product: Name,
        /// The version that runs.
        current: Option<String>,
    },
    /// Nothing waits, of any product.
    #[error("nothing is staged")]
    NothingAtAll,
    /// Its approvers may not be approvers any more.
    #[error("{product} {version} was staged under root {then}, and root {now} names other approvers")]
    OtherApprovers {
        /// The product.
        product: Name,
        /// The version.
        version: String,
        /// The root at staging.
        then: u64,
        /// The root now.
        now: u64,
    },
    /// A blob has gone.
    #[error("{product} {version} is not whole any more: blob {blob} is missing")]
    NotWhole {
        /// The product.
        product: Name,
        /// The version.
        version: String,
        /// The first that is missing.
        blob: Digest,
    },
}

impl Coded for NotActivated {
    fn code(&self) -> Code {
        match self {
            NotActivated::Nothing { .. } | NotActivated::NothingAtAll => codes::NOTHING_STAGED,
            NotActivated::OtherApprovers { .. } => codes::STAGED_UNDER_OLD_ROOT,
            NotActivated::NotWhole { .. } => codes::BASE_MISSING,
        }
    }

    fn hint(&self) -> Option<String> {
        Some(
            match self {
                NotActivated::Nothing { .. } | NotActivated::NothingAtAll => {
                    "`consign-site stage` a bundle first; `consign-site status` says what is here"
                }
                NotActivated::OtherApprovers { .. } | NotActivated::NotWhole { .. } => {
                    "stage it again, from a bundle that is approved by today's keys"
                }
            }
            .to_owned(),
        )
    }
}

/// Activates what is staged of a product, or goes on with an activation that was cut off.
///
/// # Errors
/// [`NotActivated`]; what [`super::install_bundle`] says of a release that is not taken or does not become healthy;
/// [`crate::gates::Closed`].
pub async fn activate_staged<H: Handoff>(
    site: &mut Site,
    product: ProductState,
    ask: Ask,
    means: Means<'_>,
    connect: impl AsyncFnOnce() -> Result<H, Failure>,
) -> Result<Finished, Failure> {
    let Some(release) = product.waiting().cloned() else {
        let current = product.confirmed().map(|current| current.version.clone());
        return Err(NotActivated::Nothing { product: product.product, current }.into());
    };
    check_approvers(site, &product)?;
    let manifest = site.store.read_release(&release.digest)?;
    // What is being taken back is taken back, whatever speaks against trying it.
    let ask = Ask { retry: ask.retry || product.returning.is_some(), ..ask };
    let state = site.domains.get(&product.domain);
    let roots = state.map(|state| state.chain(&site.store)).transpose()?;
    if let Some(roots) = &roots {
        let memory = memory(site, (&product.domain, roots), Some(&product), &product.product, Until::Activated)?;
        admit_staged(&manifest, &release.digest, &memory, ask)?;
    }
    let handoff = connect().await?;
    if let Some(registry) = means.registry {
        registry.ready().await?;
    }
    let staged = product.staged.clone();
    let mut run = Run::begin(site, product, release, manifest, means)?;
    if let Some(staged) = staged {
        (run.bytes, run.warnings) = (staged.bytes, staged.warnings);
        staged.phases.into_iter().for_each(|phase| run.steps.phase(phase));
    }
    let blobs = run.site.store.blobs()?;
    check_whole(&run, &blobs)?;
    let desired = wanted(&run, &blobs)?;
    activate::activate(&mut run, &handoff, &desired).await
}

/// A root that came after staging may have revoked a key that approved the release. Which keys those were is not on
/// record; so all that could approve then must be able to approve now, and no more of them be needed.
fn check_approvers(site: &Site, product: &ProductState) -> Result<(), Failure> {
    let Some((staged, state)) = product.staged.as_ref().zip(site.domains.get(&product.domain)) else { return Ok(()) };
    let (then, now) = (state.root_at(&site.store, staged.root)?, state.chain(&site.store)?);
    let role = |roles: &std::collections::BTreeMap<String, Role>| roles.get(APPROVERS).cloned();
    let still = match (then.and_then(|root| role(&root.roles)), role(&now.root().roles)) {
        (Some(then), Some(now)) => {
            then.keyids.iter().all(|key| now.keyids.contains(key)) && now.threshold <= then.threshold
        }
        _ => false,
    };
    if still {
        return Ok(());
    }
    let (product, version) = (product.product.clone(), staged.release.version.clone());
    Err(NotActivated::OtherApprovers { product, version, then: staged.root, now: now.root().version }.into())
}

/// Every blob is there, with its size; what is read of them is hashed as it is read.
fn check_whole(run: &Run<'_>, blobs: &BlobFolder) -> Result<(), Failure> {
    for blob in &run.manifest.blobs {
        if !blobs.contains(&blob.digest, blob.size).map_err(StoreError::from)? {
            let (product, version) = (run.product.product.clone(), run.release.version.clone());
            return Err(NotActivated::NotWhole { product, version, blob: blob.digest }.into());
        }
    }
    Ok(())
}

/// The products of which something waits, what is required before what requires it; otherwise by name.
///
/// # Errors
/// A release manifest that cannot be read.
pub fn in_order(store: &Store, products: Vec<ProductState>) -> Result<Vec<ProductState>, StoreError> {
    let mut left = Vec::new();
    for product in products {
        if let Some(release) = product.waiting() {
            let requires = store.read_release(&release.digest)?.requires;
            left.push((product, requires));
        }
    }
    let mut ordered = Vec::new();
    while !left.is_empty() {
        let is_free = |(product, requires): &(ProductState, Vec<Requirement>)| {
            let waits = |one: &Requirement| {
                left.iter().any(|(other, _)| other.product == one.product && other.domain == product.domain)
            };
            !requires.iter().any(waits)
        };
        // Those that require each other can't be helped; each says so when it is its turn.
        let at = left.iter().position(is_free).unwrap_or_default();
        ordered.push(left.remove(at).0);
    }
    Ok(ordered)
}
