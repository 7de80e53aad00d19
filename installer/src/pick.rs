//! Which bundle of a folder is to be taken next: what is required first, the newest of every product, and the way there
//! where a release may not follow what is installed directly.
//!
//! Only heads are read, and nothing is changed. It is asked again after each bundle, because each changes what the site
//! takes. What is not for this site is left alone and named: who prepares a medium for many sites puts many bundles on it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use consign_format::archive::head::{OpenedBundle, VerifiedBundle};
use consign_format::error::{Code, Coded, Failure, codes};
use consign_format::trust::chain::Vouched;
use consign_format::{Digest, Limits};
use serde::{Serialize, Serializer};

use crate::admit::admit;
use crate::clock::Clocks;
use crate::install_bundle::{Order, effective_now, memory};
use crate::open::{bundles_in, open};
use crate::site::Site;

/// The bundles of a folder that have not been taken yet.
#[derive(Debug)]
pub struct Picking {
    folder: PathBuf,
    bundles: Vec<PathBuf>,
    taken: usize,
    /// Releases that were taken: what holds one of them once more brings nothing.
    releases: BTreeSet<Digest>,
}

/// A bundle that is not taken.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LeftAlone {
    /// The file's name.
    pub file: String,
    /// The code of the error.
    #[serde(serialize_with = "name_of")]
    pub code: Code,
    /// Why, in words.
    pub why: String,
}

fn name_of<S: Serializer>(code: &Code, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(code.name)
}

/// Nothing in a folder is for this site.
#[derive(Debug, thiserror::Error)]
#[error("none of the {} bundles in {} can be taken here: {}", left.len(), folder.display(), in_words(left))]
pub struct NothingToTake {
    folder: PathBuf,
    left: Vec<LeftAlone>,
}

fn in_words(left: &[LeftAlone]) -> String {
    left.iter().map(|one| format!("{}: {}", one.file, one.why)).collect::<Vec<_>>().join("; ")
}

impl Coded for NothingToTake {
    /// The code of the first, if all have its exit code; else the most general.
    fn code(&self) -> Code {
        let first = self.left.first().map(|one| one.code);
        let same = |code: &Code| self.left.iter().all(|one| one.code.exit == code.exit);
        first.filter(same).unwrap_or(codes::WHICH_BUNDLE)
    }

    fn hint(&self) -> Option<String> {
        Some("name one of them to hear all about it; `consign-site status` says what is here".to_owned())
    }
}

impl Picking {
    /// Lists the bundles of a folder.
    ///
    /// # Errors
    /// A folder that cannot be read, or that holds none.
    pub fn of(folder: &Path) -> Result<Self, Failure> {
        Ok(Picking { folder: folder.to_owned(), bundles: bundles_in(folder)?, taken: 0, releases: BTreeSet::new() })
    }

    /// The bundle to take next; `None` when there is no more for this site.
    ///
    /// # Errors
    /// [`NothingToTake`], if there never was one. Of a single bundle its own errors are heard when it is taken.
    pub fn next(&mut self, site: &Site, order: Order, clocks: &Clocks) -> Result<Option<PathBuf>, Failure> {
        let found = match self.bundles.len() {
            1 if self.taken == 0 => Some((0, None)),
            _ => self.best(site, order, clocks),
        };
        match found {
            Some((at, release)) => {
                self.taken += 1;
                self.releases.extend(release);
                Ok(Some(self.bundles.remove(at)))
            }
            None if self.taken == 0 => {
                let left = self.left(site, order, clocks);
                Err(NothingToTake { folder: self.folder.clone(), left }.into())
            }
            None => Ok(None),
        }
    }

    /// Metadata before all releases; then, of those that may be taken now, the newest of the first product by name.
    fn best(&self, site: &Site, order: Order, clocks: &Clocks) -> Option<(usize, Option<Digest>)> {
        let mut best: Option<(usize, Vouched)> = None;
        for (at, path) in self.bundles.iter().enumerate() {
            match look(site, path, order, clocks) {
                Ok(None) => return Some((at, None)),
                Ok(Some(vouched)) if self.releases.contains(&vouched.release_digest) => {}
                Ok(Some(vouched)) => {
                    let better = best.as_ref().is_none_or(|(_, best)| rank(&vouched) < rank(best));
                    best = if better { Some((at, vouched)) } else { best };
                }
                Err(_) => {}
            }
        }
        best.map(|(at, vouched)| (at, Some(vouched.release_digest)))
    }

    /// What of the folder is for this site and not here yet, in words. Releases alone: whether metadata is new is known when
    /// it is taken.
    pub fn news(&self, site: &Site, order: Order, clocks: &Clocks) -> Vec<String> {
        let here: Vec<_> = site.store.products().unwrap_or_default();
        let is_here = |vouched: &Vouched| {
            here.iter().any(|product| product.held().any(|release| release.digest == vouched.release_digest))
        };
        let found = self.bundles.iter().filter_map(|path| look(site, path, order, clocks).ok().flatten());
        let new = found.filter(|vouched| !is_here(vouched));
        new.map(|vouched| format!("{} {}", vouched.approval.product, vouched.approval.version)).collect()
    }

    /// What was not taken, and why.
    pub fn left(&self, site: &Site, order: Order, clocks: &Clocks) -> Vec<LeftAlone> {
        let why = |path: &PathBuf| {
            let failure = look(site, path, order, clocks).err()?;
            let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            Some(LeftAlone { file, code: failure.code(), why: failure.to_string() })
        };
        self.bundles.iter().filter_map(why).collect()
    }
}

fn rank(vouched: &Vouched) -> (&str, std::cmp::Reverse<u64>) {
    (vouched.approval.product.as_str(), std::cmp::Reverse(vouched.approval.sequence))
}

/// Reads a head and decides about it; `None` for a bundle of metadata alone.
fn look(site: &Site, path: &Path, order: Order, clocks: &Clocks) -> Result<Option<Vouched>, Failure> {
    let medium = open(path)?.readable_by(site)?;
    let opened = OpenedBundle::open(medium, Limits::DEFAULT)?;
    let (domain, roots) = site.follow(opened.roots())?;
    let Some(untrusted) = opened.read_statements()?.read_head()? else { return Ok(None) };
    let VerifiedBundle { vouched, .. } = untrusted.verify(&roots)?;
    let product = site.store.read_product(&domain, &vouched.approval.product)?;
    let memory = memory(site, (&domain, &roots), product.as_ref(), &vouched.approval.product, order.until)?;
    admit(&vouched, &memory, order.ask, &effective_now(site, &domain, clocks))?;
    Ok(Some(vouched))
}
