//! Staging: everything of the release is here and whole; it is recorded, and "verified" is committed (TRUST §3.7).

use consign_format::error::{Code, Coded, Failure, codes};
use consign_format::trust::chain::Vouched;
use consign_registry::BlobFolder;

use super::run::Run;
use super::telling::teller;
use super::{Finished, StagedRelease};
use crate::desired::{desired, policy};
use crate::handoff::{Desired, Handoff};
use crate::images::{check_images, check_needed};
use crate::site_registry::{Staged as Pushed, back_to};
use crate::store::products::{ReleaseRef, Staged};
use crate::store::repositories::{Named, NamesError, names_of};
use crate::{files, services, site_secrets};

/// The release names its images in a way no registry can serve.
#[derive(Debug, thiserror::Error)]
#[error("the release names an image that no registry can serve")]
struct BadNames(#[source] NamesError);

impl Coded for BadNames {
    fn code(&self) -> Code {
        codes::RELEASE_MALFORMED
    }

    fn hint(&self) -> Option<String> {
        Some("the release was built wrong; ask those who built it".to_owned())
    }
}

/// What the product's file says of a release.
pub(super) fn release_ref(vouched: &Vouched) -> ReleaseRef {
    ReleaseRef {
        digest: vouched.release_digest,
        version: vouched.approval.version.clone(),
        sequence: vouched.approval.sequence,
        line: vouched.approval.line.clone(),
        bundle: vouched.bundle_id,
    }
}

/// Checks what was loaded, records the release, and returns the desired state. `root`: the version of the root that
/// vouched for it.
pub(super) async fn stage(
    run: &mut Run<'_>,
    vouched: &Vouched,
    root: u64,
    blobs: &BlobFolder,
) -> Result<Desired, Failure> {
    let desired = wanted(run, blobs)?;
    let names = names_of(&run.manifest).map_err(BadNames)?;
    push(run, &names).await?;
    run.steps.end()?;
    let store = &run.site.store;
    store.write_release(&run.release.digest, &run.manifest)?;
    store.write_names(&run.release.digest, &names)?;
    let (release, at, phases) = (run.release.clone(), run.clocks.now(), run.steps.phases());
    let (bytes, warnings) = (run.bytes.clone(), run.warnings.clone());
    run.product.stage(Staged { release, root, agreed: false, at, phases, bytes, warnings });
    // The product's file before the counters: counters without a product are taken for damage, and rightly.
    run.write_product()?;
    run.site.commit_verified(&run.domain, vouched)?;
    Ok(desired)
}

/// The desired state of the run's release, out of the store: whole, allowed here, and with the Secrets of this site.
pub(super) fn wanted(run: &Run<'_>, blobs: &BlobFolder) -> Result<Desired, Failure> {
    let read = |digest: &_, limit| blobs.read(digest, limit);
    check_images(&run.manifest, &read)?;
    let mut desired = desired(&run.manifest, &read)?;
    run.site.allow.check(&run.manifest, &desired.objects)?;
    check_needed(&run.manifest, &desired.objects)?;
    desired.sealed = site_secrets::find(run.site, &run.domain, &run.manifest.secrets)?;
    Ok(desired)
}

/// Says what activating the staged release would change. Writes nothing; what refuses it now would refuse it then, and
/// it stays staged.
pub(super) async fn foretell<H: Handoff>(
    run: &mut Run<'_>,
    handoff: &H,
    desired: &Desired,
) -> Result<Finished, Failure> {
    let plan = handoff.plan(desired, &policy(&run.manifest, &run.site.apply), &mut teller(run.progress)).await?;
    let files = files::plan(run.site, &run.domain, &run.manifest, 0)?;
    pre_pull(run, handoff, desired).await?;
    let waits = run.gates.check(&run.product.product, run.clocks.now(), run.floor(), false).await;
    run.progress.done();
    Ok(Finished::Staged(StagedRelease {
        domain: run.domain.clone(),
        product: run.product.product.clone(),
        version: run.release.version.clone(),
        sequence: run.release.sequence,
        release: run.release.digest,
        bundle: run.release.bundle,
        handoff: handoff.name(),
        is_current: run.product.staged.is_none(),
        loaded: run.bytes.clone(),
        plan,
        restarts: services::restarts(&run.manifest, &files.changes),
        files: files.changes,
        waits: waits.err().map(|closed| closed.to_string()),
        warnings: [run.warnings.clone(), files.warnings].concat(),
    }))
}

/// Lets nodes pull what the release's pods need there, once a run and where the site asks for it. A node that cannot is
/// found while nothing has changed; the release stays staged.
pub(super) async fn pre_pull<H: Handoff>(run: &mut Run<'_>, handoff: &H, desired: &Desired) -> Result<(), Failure> {
    let policy = policy(&run.manifest, &run.site.apply);
    if policy.pre_pull.is_none() || std::mem::replace(&mut run.pulled, true) {
        return Ok(());
    }
    run.steps.begin("pull")?;
    match handoff.pre_pull(desired, &policy, &mut teller(run.progress)).await {
        Ok(()) => Ok(run.steps.end()?),
        Err(failure) => {
            run.steps.failed(&failure.to_string())?;
            Err(failure)
        }
    }
}

/// Brings the release, and the way back from it, into the registry that the site already has. A failure leaves nothing
/// staged; what is there by then is left alone by the next run.
async fn push(run: &mut Run<'_>, names: &[Named]) -> Result<(), Failure> {
    let Some(registry) = run.registry else { return Ok(()) };
    run.steps.end()?;
    run.steps.begin("push")?;
    let (product, manifest) = (&run.product.product, &run.manifest);
    let staged = Pushed { product, release: &run.release, manifest, names };
    let back_to = back_to(&run.product, &run.release);
    match registry.stage(&run.site.store, staged, back_to.as_ref(), run.progress).await {
        Ok(_) => Ok(()),
        Err(error) => {
            run.steps.failed(&error.to_string())?;
            Err(error.into())
        }
    }
}
