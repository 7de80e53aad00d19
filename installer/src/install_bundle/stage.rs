//! Staging: everything of the release is here and whole; it is recorded, and "verified" is committed (TRUST §3.7).

use consign_format::error::{Code, Coded, Failure, codes};
use consign_registry::BlobFolder;

use super::run::Run;
use crate::desired::desired;
use crate::handoff::Desired;
use crate::images::{check_images, check_needed};
use crate::site_registry::{Staged, back_to};
use crate::site_secrets;
use crate::store::repositories::{Named, NamesError, names_of};

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

/// Checks what was loaded, records the release, and returns the desired state.
pub(super) async fn stage(run: &mut Run<'_>, blobs: &BlobFolder) -> Result<Desired, Failure> {
    let release = &run.vouched.release;
    let read = |digest: &_, limit| blobs.read(digest, limit);
    check_images(release, &read)?;
    let mut desired = desired(release, &read)?;
    run.site.allow.check(release, &desired.objects)?;
    check_needed(release, &desired.objects)?;
    desired.sealed = site_secrets::find(run.site, &run.domain, &release.secrets)?;
    let names = names_of(release).map_err(BadNames)?;
    push(run, &names).await?;
    let (store, release) = (&run.site.store, &run.vouched.release);
    store.write_release(&run.release.digest, release)?;
    store.write_names(&run.release.digest, &names)?;
    run.product.stage(run.release.clone());
    // The product's file before the counters: counters without a product are taken for damage, and rightly.
    run.write_product()?;
    run.site.commit_verified(&run.domain, &run.vouched)?;
    Ok(desired)
}

/// Brings the release, and the way back from it, into the registry that the site already has. A failure leaves nothing
/// staged; what is there by then is left alone by the next run.
async fn push(run: &mut Run<'_>, names: &[Named]) -> Result<(), Failure> {
    let Some(registry) = run.registry else { return Ok(()) };
    run.steps.end()?;
    run.steps.begin("push")?;
    let (product, manifest) = (&run.product.product, &run.vouched.release);
    let staged = Staged { product, release: &run.release, manifest, names };
    let back_to = back_to(&run.product, &run.release);
    match registry.stage(&run.site.store, staged, back_to.as_ref(), run.progress).await {
        Ok(_) => Ok(()),
        Err(error) => {
            run.steps.failed(&error.to_string())?;
            Err(error.into())
        }
    }
}
