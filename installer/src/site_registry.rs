//! A registry that the site already has: what the store holds is pushed there, and nodes pull from it.
//!
//! The store stays the place where a release is whole; the registry is filled from it, at stage, by digest and by tags
//! that keep it. The images' own tags move at activate and back at a rollback. An image is never changed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use consign_format::release::ReleaseManifest;
use consign_format::{Digest, Limits, Name};
use consign_registry::BlobFolder;
use consign_registry::client::OptionsError;
use consign_registry::push::{Address, Count, Moved, Patience, Plan, PushOptions, PushTarget};
use consign_terminal::{Amount, Progress, bytes};
use futures_util::future::BoxFuture;
use futures_util::{StreamExt, TryStreamExt, stream};

use crate::clock::Clocks;
use crate::config::{ExistingRegistry, LoginFile};
use crate::store::Store;
use crate::store::products::{ProductState, ReleaseRef};
use crate::store::repositories::Named;

mod collect;
mod error;
mod places;
mod pushed;

pub use collect::{Collected, collect};
pub use error::SiteRegistryError;
pub use places::{place, retention_tag};

use places::{Held, SCRATCH, tops};
use pushed::PushedTag;

/// How many tags are moved at once.
const WORKERS: usize = 4;

/// The time and the chance of a run, for the pauses between tries.
pub struct Waiting<'a> {
    /// The site's clocks.
    pub clocks: &'a Clocks,
    /// Fills a buffer with random bytes.
    pub random: fn(&mut [u8]) -> std::io::Result<()>,
}

impl Patience for Waiting<'_> {
    fn pause(&self, pause: Duration) -> BoxFuture<'_, ()> {
        Box::pin(tokio::time::sleep(pause))
    }

    fn now(&self) -> u64 {
        self.clocks.now()
    }

    fn random(&self) -> u64 {
        let mut bytes = [0; 8];
        // Without chance pauses are only less spread.
        let _ = (self.random)(&mut bytes);
        u64::from_le_bytes(bytes)
    }
}

/// The registry of a site, and which site that is.
pub struct SiteRegistry<'a> {
    target: PushTarget<'a>,
    site: Name,
}

/// A release in the store that has to be in the registry too.
#[derive(Clone, Copy)]
pub struct Staged<'a> {
    /// The product.
    pub product: &'a Name,
    /// The release.
    pub release: &'a ReleaseRef,
    /// Its manifest.
    pub manifest: &'a ReleaseManifest,
    /// Its names.
    pub names: &'a [Named],
}

impl<'a> SiteRegistry<'a> {
    /// Reads the files that the configuration names. Nothing is asked yet.
    pub fn new(existing: &ExistingRegistry, site: Name, patience: &'a dyn Patience) -> Result<Self, OptionsError> {
        let mut options = PushOptions::new(existing.address.clone(), patience);
        options.ca_files.extend(existing.ca.clone());
        match &existing.login {
            LoginFile::None => {}
            LoginFile::Line(path) => options.credentials = Some(path.clone()),
            LoginFile::Docker(path) => options.docker_config = Some(path.clone()),
        }
        Ok(SiteRegistry { target: PushTarget::new(options)?, site })
    }

    /// Where it is.
    pub fn address(&self) -> &Address {
        self.target.address()
    }

    /// Asks whether it is there and lets us in: before an hour of copying.
    pub async fn ready(&self) -> Result<(), SiteRegistryError> {
        Ok(self.target.ready().await?)
    }

    /// Pushes a release that is whole in the store, and the one that a rollback would go back to.
    pub async fn stage(
        &self,
        store: &Store,
        staged: Staged<'_>,
        back_to: Option<&ReleaseRef>,
        progress: &dyn Progress,
    ) -> Result<Moved, SiteRegistryError> {
        let blobs = store.blobs()?;
        let known = self.known(store, &blobs)?;
        let own_tags = staged.names.iter().filter_map(|named| Some((named, named.tag.clone()?)));
        let own_tags: Vec<PushedTag> = own_tags
            .map(|(named, tag)| {
                let repository = place(self.address(), &named.host, &named.repository)?;
                Ok(PushedTag { repository, tag, digest: named.digest })
            })
            .collect::<Result<_, SiteRegistryError>>()?;
        pushed::note(store, &staged.release.digest, self.address(), own_tags.into_iter())?;
        let moved = self.push(store, &blobs, staged, &known, progress).await?;
        progress.note(&format!("registry: {}", told(&moved)));
        if let Some(back_to) = back_to {
            let (manifest, names) = (store.read_release(&back_to.digest)?, store.read_names(&back_to.digest)?);
            let before = Staged { product: staged.product, release: back_to, manifest: &manifest, names: &names };
            let moved = self.push(store, &blobs, before, &known, progress).await?;
            if moved.sent.items + moved.mounted.items + moved.manifests > 0 {
                progress.note(&format!("registry: {} was not whole there: {}", back_to.version, told(&moved)));
            }
        }
        Ok(moved)
    }

    async fn push(
        &self,
        store: &Store,
        blobs: &BlobFolder,
        release: Staged<'_>,
        known: &BTreeMap<Digest, String>,
        progress: &dyn Progress,
    ) -> Result<Moved, SiteRegistryError> {
        let (sequence, digest) = (release.release.sequence, &release.release.digest);
        let held = Held { site: &self.site, product: release.product, sequence, release: digest };
        let tops = tops(self.address(), &held, release.names)?;
        let plan = Plan::of(&tops, blobs, &carried(release.manifest))?;
        let tags = tops.iter().flat_map(|top| {
            let (repository, digest) = (top.repository.clone(), top.descriptor.digest);
            top.tags.iter().map(move |tag| PushedTag { repository: repository.clone(), tag: tag.clone(), digest })
        });
        // Before the first byte goes there, so that what is pushed is known whatever happens.
        pushed::note(store, digest, self.address(), tags)?;
        let scratch = place(self.address(), SCRATCH.0, SCRATCH.1)?;
        progress.phase("pushing", Amount::Bytes(plan.bytes()));
        let moved = self.target.push(&plan, blobs, &scratch, known, &|count| progress.advance(count)).await;
        progress.done();
        Ok(moved?)
    }

    /// Demands that the release which a rollback would go back to is whole in the registry.
    pub async fn check_previous(
        &self,
        store: &Store,
        product: &Name,
        back_to: &ReleaseRef,
    ) -> Result<(), SiteRegistryError> {
        let plan = self.plan(store, &store.blobs()?, product, back_to)?;
        let missing = self.target.missing(&plan).await?;
        match missing.first() {
            None => Ok(()),
            Some(first) => Err(SiteRegistryError::PreviousIncomplete {
                product: product.clone(),
                version: back_to.version.clone(),
                missing: missing.len(),
                first: first.clone(),
            }),
        }
    }

    /// Lets the images' own tags stand for what a release has under them; how many moved.
    pub async fn move_tags(&self, store: &Store, release: &ReleaseRef) -> Result<usize, SiteRegistryError> {
        let (blobs, names) = (store.blobs()?, store.read_names(&release.digest)?);
        let moving = names.iter().filter_map(|named| Some((named, named.tag.as_deref()?))).map(async |(named, tag)| {
            let repository = place(self.address(), &named.host, &named.repository)?;
            let bytes = blobs.read(&named.digest, Limits::DEFAULT.manifest)?;
            let moved = self.target.move_tag(&repository, tag, &named.descriptor(), &bytes).await?;
            Ok::<_, SiteRegistryError>(moved)
        });
        let moved: Vec<bool> = stream::iter(moving).buffer_unordered(WORKERS).try_collect().await?;
        Ok(moved.into_iter().filter(|moved| *moved).count())
    }

    fn plan(
        &self,
        store: &Store,
        blobs: &BlobFolder,
        product: &Name,
        release: &ReleaseRef,
    ) -> Result<Plan, SiteRegistryError> {
        let (manifest, names) = (store.read_release(&release.digest)?, store.read_names(&release.digest)?);
        let held = Held { site: &self.site, product, sequence: release.sequence, release: &release.digest };
        Ok(Plan::of(&tops(self.address(), &held, &names)?, blobs, &carried(&manifest))?)
    }

    /// Where in the registry blobs of other releases are, so that they need not be sent again.
    fn known(&self, store: &Store, blobs: &BlobFolder) -> Result<BTreeMap<Digest, String>, SiteRegistryError> {
        let mut known = BTreeMap::new();
        for product in store.products()? {
            for release in product.held() {
                if pushed::read(store, &release.digest)?.at(self.address()).next().is_none() {
                    continue;
                }
                let plan = self.plan(store, blobs, &product.product, release)?;
                known.extend(plan.places().map(|(digest, repository)| (digest, repository.to_owned())));
            }
        }
        Ok(known)
    }
}

/// The release that a rollback from `release` would go back to; none if it is the one that runs already.
pub fn back_to(product: &ProductState, release: &ReleaseRef) -> Option<ReleaseRef> {
    let is_current = product.current.as_ref().is_some_and(|current| current.release.digest == release.digest);
    let before = product.confirmed().or(product.previous.as_ref());
    before.filter(|_| !is_current).cloned()
}

fn carried(release: &ReleaseManifest) -> BTreeSet<Digest> {
    release.blobs.iter().map(|blob| blob.digest).collect()
}

fn told(moved: &Moved) -> String {
    let count = |count: &Count, how: &str| format!("{} blobs ({}) {how}", count.items, bytes(count.bytes));
    let (sent, mounted) = (count(&moved.sent, "sent"), count(&moved.mounted, "mounted"));
    format!("{sent}, {mounted}, {}, {} manifests put", count(&moved.skipped, "there already"), moved.manifests)
}
