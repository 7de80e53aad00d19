//! One run of an install: what it works on, and what it has found out so far.

use consign_format::Name;
use consign_format::trust::chain::Vouched;
use consign_terminal::Progress;

use super::steps::Steps;
use crate::admit::Admission;
use crate::clock::Clocks;
use crate::files::FileChange;
use crate::load::Loaded;
use crate::site::Site;
use crate::site_registry::{SiteRegistry, SiteRegistryError};
use crate::store::StoreError;
use crate::store::products::{ProductState, ReleaseRef};

/// A run, from admission to receipt.
pub(super) struct Run<'a> {
    pub(super) site: &'a mut Site,
    pub(super) domain: Name,
    pub(super) vouched: Vouched,
    pub(super) release: ReleaseRef,
    pub(super) product: ProductState,
    pub(super) loaded: Loaded,
    pub(super) files: Vec<FileChange>,
    pub(super) warnings: Vec<String>,
    pub(super) steps: Steps<'a>,
    pub(super) clocks: &'a Clocks,
    pub(super) progress: &'a dyn Progress,
    /// The registry that the site already has, where it has one.
    pub(super) registry: Option<&'a SiteRegistry<'a>>,
}

impl<'a> Run<'a> {
    pub(super) fn begin(
        site: &'a mut Site,
        domain: Name,
        vouched: Vouched,
        product: Option<ProductState>,
        admission: Admission,
        clocks: &'a Clocks,
        progress: &'a dyn Progress,
    ) -> Result<Self, StoreError> {
        let name = vouched.approval.product.clone();
        let release = ReleaseRef {
            digest: vouched.release_digest,
            version: vouched.approval.version.clone(),
            sequence: vouched.approval.sequence,
            line: vouched.approval.line.clone(),
            bundle: vouched.bundle_id,
        };
        let product = product.unwrap_or_else(|| ProductState::new(domain.clone(), name.clone()));
        let steps = Steps::new(&site.store, name, release.digest, clocks)?;
        let warnings = admission.warnings;
        Ok(Run {
            site,
            domain,
            vouched,
            release,
            product,
            loaded: Loaded::default(),
            files: Vec::new(),
            warnings,
            steps,
            clocks,
            progress,
            registry: None,
        })
    }

    /// Puts the product's state on the disk.
    pub(super) fn write_product(&self) -> Result<(), StoreError> {
        self.site.store.write_product(&self.product)
    }

    /// Lets the images' tags in the registry stand for what a release has under them; nothing to do where the site
    /// serves its own, whose tags follow from the product's state.
    pub(super) async fn move_tags(&self, release: &ReleaseRef) -> Result<(), SiteRegistryError> {
        if let Some(registry) = self.registry {
            registry.move_tags(&self.site.store, release).await?;
        }
        Ok(())
    }
}
