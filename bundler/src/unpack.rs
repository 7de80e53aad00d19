//! `unpack --for-scan`: a verified bundle as plain files, for a malware scanner.
//!
//! A scanner's "clean" is worth what it has seen. So every blob of the release is laid out, layers decompressed and
//! untarred; what has no content to scan (links, devices) is listed; and what could not be laid out makes the whole run
//! fail, after everything else lies there. The layers were written by whoever built the images: their names are escaped,
//! nothing is followed, no link or device is made, no mode is kept, and sizes and counts are bounded.
//!
//! What is written is thrown away after the scan, so it is not made to survive a power cut; it gets its name at the very
//! end, and a folder of that name is complete.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use consign_format::archive::head::ArchiveError;
use consign_format::error::{Code, Coded, Failure, codes};
use consign_format::release::Role;
use consign_format::{Digest, Limits};
use consign_sealed::SiteKey;
use consign_terminal::{Amount, Progress};

use crate::bundle::kept::Kept;
use crate::bundle::{self, BundleError, Open, Trust};
use crate::medium::Medium;

mod layer;
pub mod listing;
mod names;
mod places;
mod tree;

pub use listing::{FILE as LISTING, Listing};

use listing::{Laid, NotUnpacked};
use places::Place;
use tree::Tree;

/// How much is laid out at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Bytes, decompressed, of everything together.
    pub bytes: u64,
    /// Files and other entries of all layers together.
    pub entries: u64,
}

/// Why a bundle is not laid out.
#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    /// What the bundle's reader says.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// The folder is there, and not empty.
    #[error("{} is there already", path.display())]
    Exists {
        /// The folder.
        path: PathBuf,
    },
    /// Something cannot be written.
    #[error("{} cannot be written", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// More comes out than is allowed.
    #[error("laid out, the bundle is more than {limit} {what}")]
    OverLimit {
        /// Of what.
        what: &'static str,
        /// The bound.
        limit: u64,
    },
    /// The file is another one than a moment before.
    #[error("{} was exchanged while it was read", path.display())]
    Changed {
        /// The bundle.
        path: PathBuf,
    },
    /// Something could not be laid out.
    #[error("{count} blobs could not be laid out in full; {first}")]
    Incomplete {
        /// How many.
        count: usize,
        /// The first, and why.
        first: String,
    },
}

impl From<ArchiveError> for UnpackError {
    fn from(error: ArchiveError) -> Self {
        UnpackError::Bundle(error.into())
    }
}

impl Coded for UnpackError {
    fn code(&self) -> Code {
        match self {
            UnpackError::Bundle(error) => error.code(),
            UnpackError::Exists { .. } => codes::ALREADY_EXISTS,
            UnpackError::Io { source, .. } if source.kind() == io::ErrorKind::StorageFull => codes::NO_ROOM,
            UnpackError::Io { .. } => codes::IO,
            UnpackError::OverLimit { .. } => codes::OVER_LIMIT,
            UnpackError::Changed { .. } => codes::DIGEST_MISMATCH,
            UnpackError::Incomplete { .. } => codes::NOT_UNPACKED,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            UnpackError::Bundle(error) => error.hint(),
            UnpackError::Exists { .. } => Some("name a folder that is not there yet, or is empty".to_owned()),
            UnpackError::Io { .. } => None,
            UnpackError::Changed { .. } => Some("let nobody write to that file, and run again".to_owned()),
            UnpackError::OverLimit { .. } => {
                Some("if the images are that large, raise --max-size or --max-entries; if not, report them".to_owned())
            }
            UnpackError::Incomplete { .. } => {
                Some(format!("{LISTING} in the folder names them all; look at each before anything is attested"))
            }
        }
    }
}

/// What is laid out where.
#[derive(Clone, Copy)]
pub struct Order<'a> {
    /// The bundle.
    pub bundle: &'a Path,
    /// Whom to trust.
    pub trust: &'a Trust,
    /// The key that reads it, if it is encrypted.
    pub key: Option<&'a SiteKey>,
    /// A folder that is not there yet, or is empty.
    pub dir: &'a Path,
    /// How much at most.
    pub bounds: Bounds,
}

/// Lays a bundle out. It is verified first, every byte of it, and again while it is laid out.
///
/// # Errors
/// What a site would say of the bundle; [`UnpackError`]. Only with [`UnpackError::Incomplete`] the folder is there.
pub fn unpack(order: Order<'_>, progress: &dyn Progress) -> Result<Listing, Failure> {
    let dir = order.dir;
    check_free(dir)?;
    progress.phase("verifying", Amount::Bytes(bundle::length(order.bundle)?));
    let (mut listing, places) = order.verify(progress)?;
    progress.phase("unpacking", Amount::Bytes(bundle::length(order.bundle)?));
    let parent = dir.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let staging = tempfile::Builder::new().prefix(".unpack-").tempdir_in(parent).map_err(|e| failed(parent, e))?;
    order.lay_out(&places, staging.path(), &mut listing, progress)?;
    name(staging, dir)?;
    progress.done();
    match listing.not_unpacked.first() {
        None => Ok(listing),
        Some(first) => {
            let first = format!("{}: {}", first.digest, first.reason);
            Err(UnpackError::Incomplete { count: listing.not_unpacked.len(), first }.into())
        }
    }
}

fn failed(path: &Path, source: io::Error) -> UnpackError {
    UnpackError::Io { path: path.to_owned(), source }
}

impl Order<'_> {
    fn open<'p>(&self, progress: &'p dyn Progress) -> Result<Open<Medium<'p>>, Failure> {
        bundle::open_as(self.bundle, self.trust, self.key, progress)
    }

    /// Reads every byte, and keeps the manifests, which say where everything belongs.
    fn verify(&self, progress: &dyn Progress) -> Result<(Listing, BTreeMap<Digest, Vec<Place>>), Failure> {
        let open = self.open(progress)?;
        let vouched = &open.verified.vouched;
        let mut kept = Kept::default();
        let manifests = vouched.release.blobs.iter().filter(|blob| matches!(blob.role, Role::Index | Role::Manifest));
        manifests.for_each(|blob| kept.want(blob.digest, Limits::DEFAULT.manifest));
        places::named(&vouched.release).for_each(|digest| kept.want(digest, Limits::DEFAULT.manifest));
        let (mut listing, release) = (Listing::of(vouched), vouched.release.clone());
        open.read_all_keeping(&mut kept)?;
        // What an index names is a manifest, whatever its role says; each round reads what the one before has named.
        for _ in 0..places::DEPTH {
            let unread = places::unread(&release, &kept);
            if unread.is_empty() {
                break;
            }
            unread.iter().for_each(|digest| kept.want(*digest, Limits::DEFAULT.manifest));
            self.open(progress)?.read_only(&mut kept)?;
        }
        let (places, unopened) = places::places(&release, &kept);
        listing.not_unpacked.extend(unopened);
        Ok((listing, places))
    }

    fn lay_out(
        &self,
        places: &BTreeMap<Digest, Vec<Place>>,
        into: &Path,
        listing: &mut Listing,
        progress: &dyn Progress,
    ) -> Result<(), Failure> {
        let mut tree = Tree::new(into, self.bounds);
        let open = self.open(progress)?;
        if open.verified.vouched.bundle_id != listing.bundle_id {
            return Err(UnpackError::Changed { path: self.bundle.to_owned() }.into());
        }
        open.each_blob(|digest, _, content| {
            let places = places.get(digest).map(Vec::as_slice).unwrap_or_default();
            lay_out(digest, places, content, &mut tree, listing)?;
            Ok::<bool, UnpackError>(true)
        })?;
        listing.sum();
        let text = serde_json::to_vec_pretty(&listing).map_err(|e| failed(into, e.into()))?;
        let written = tree.create(Path::new(LISTING)).and_then(|(mut file, _)| file.write_all(&text));
        Ok(written.map_err(|e| failed(into, e))?)
    }
}

/// A folder that is empty may be named; nothing is ever written into one that holds something.
fn check_free(dir: &Path) -> Result<(), UnpackError> {
    let taken = || UnpackError::Exists { path: dir.to_owned() };
    match std::fs::symlink_metadata(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(source) => Err(UnpackError::Io { path: dir.to_owned(), source }),
        Ok(metadata) if !metadata.is_dir() => Err(taken()),
        Ok(_) => {
            let mut entries =
                std::fs::read_dir(dir).map_err(|source| UnpackError::Io { path: dir.to_owned(), source })?;
            if entries.next().is_none() { Ok(()) } else { Err(taken()) }
        }
    }
}

/// The kernel refuses to put it in the place of anything but an empty folder.
fn name(staging: tempfile::TempDir, dir: &Path) -> Result<(), UnpackError> {
    #[expect(clippy::disallowed_methods, reason = "thrown away after the scan; need not survive a power cut")]
    let renamed = std::fs::rename(staging.path(), dir);
    renamed.map_err(|source| UnpackError::Io { path: dir.to_owned(), source })?;
    let _ = staging.keep();
    Ok(())
}

/// Lays one blob out: once, in the first of its places. What is wrong with a layer's form is noted, and the run goes on.
fn lay_out(
    digest: &Digest,
    places: &[Place],
    content: &mut dyn Read,
    tree: &mut Tree,
    listing: &mut Listing,
) -> Result<(), UnpackError> {
    let Some((first, others)) = places.split_first() else { return Ok(()) };
    let before = (tree.files, tree.bytes);
    let outcome = match first {
        Place::File(path) => tree.write(path, content).map(|_| ()),
        Place::Layer(folder) => layer::lay_out(content, folder, tree, &mut listing.left_out),
    };
    match outcome {
        Ok(()) => {}
        Err(layer::LayerError::Tree(error)) => return Err(error),
        Err(layer::LayerError::Form(reason)) => {
            let at = first.text();
            listing.not_unpacked.push(NotUnpacked { digest: *digest, at, reason });
        }
    }
    listing.laid.push(Laid {
        digest: *digest,
        at: first.text(),
        also: others.iter().map(Place::text).collect(),
        files: tree.files - before.0,
        bytes: tree.bytes - before.1,
    });
    Ok(())
}

#[cfg(test)]
mod tests;
