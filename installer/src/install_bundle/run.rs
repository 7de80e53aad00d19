//! One run: what it works on, and what it has found out so far. It begins with a release that a bundle brought, or with
//! one that was staged before.

use consign_format::Name;
use consign_format::error::{Failure, codes};
use consign_format::receipt::ByteCounts;
use consign_format::release::ReleaseManifest;
use consign_terminal::Progress;

use super::Means;
use super::steps::Steps;
use crate::clock::Clocks;
use crate::files::FileChange;
use crate::gates::Gates;
use crate::site::Site;
use crate::site_registry::{SiteRegistry, SiteRegistryError};
use crate::store::StoreError;
use crate::store::products::{ProductState, ReleaseRef};

/// A run, from admission to receipt.
pub(super) struct Run<'a> {
    pub(super) site: &'a mut Site,
    pub(super) domain: Name,
    pub(super) manifest: ReleaseManifest,
    pub(super) release: ReleaseRef,
    pub(super) product: ProductState,
    pub(super) bytes: ByteCounts,
    pub(super) files: Vec<FileChange>,
    pub(super) warnings: Vec<String>,
    pub(super) steps: Steps<'a>,
    pub(super) clocks: &'a Clocks,
    pub(super) progress: &'a dyn Progress,
    /// The registry that the site already has, where it has one.
    pub(super) registry: Option<&'a SiteRegistry<'a>>,
    pub(super) gates: &'a Gates,
    /// Whether a bundle has just brought the release; else it was staged before.
    pub(super) is_new: bool,
    /// Whether this run has let nodes pull.
    pub(super) pulled: bool,
}

impl<'a> Run<'a> {
    pub(super) fn begin(
        site: &'a mut Site,
        product: ProductState,
        release: ReleaseRef,
        manifest: ReleaseManifest,
        means: Means<'a>,
    ) -> Result<Self, StoreError> {
        let Means { clocks, progress, registry, gates } = means;
        let steps = Steps::new(&site.store, product.product.clone(), release.digest, clocks)?;
        let (bytes, files, warnings) = (ByteCounts::default(), Vec::new(), Vec::new());
        let domain = product.domain.clone();
        Ok(Run {
            site,
            domain,
            manifest,
            release,
            product,
            bytes,
            files,
            warnings,
            steps,
            clocks,
            progress,
            registry,
            gates,
            is_new: false,
            pulled: false,
        })
    }

    /// The latest signed time that the site has seen.
    pub(super) fn floor(&self) -> u64 {
        self.site.domains.get(&self.domain).map_or(0, |state| state.time_floor)
    }

    /// Puts the product's state on the disk.
    pub(super) fn write_product(&self) -> Result<(), StoreError> {
        self.site.store.write_product(&self.product)
    }

    /// Writes down how something ended. Where the disk is full, once more with the room that was set aside for that.
    pub(super) fn record<T, E: Into<Failure>>(
        &mut self,
        mut write: impl FnMut(&mut Self) -> Result<T, E>,
    ) -> Result<T, Failure> {
        match write(self).map_err(Into::into) {
            Err(failure) if failure.code() == codes::NO_ROOM && self.steps.make_room() => {
                write(self).map_err(Into::into)
            }
            done => done,
        }
    }

    /// What somebody should look at.
    pub(super) fn told(&self) -> Vec<String> {
        let full = "the disk of the site's store ran full: make room there before the next run".to_owned();
        self.warnings.iter().cloned().chain(self.steps.ran_full().then_some(full)).collect()
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
