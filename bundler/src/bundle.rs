//! Reads bundles on the connected side: the same reader and the same checks as at a site, without a site's memory.

use std::collections::BTreeSet;
use std::io::{self, Read, Seek};
use std::path::{Path, PathBuf};

use consign_format::archive::head::{ArchiveError, OpenedBundle, UntrustedBundle, VerifiedBundle};
use consign_format::carriage::Place;
use consign_format::error::{Code, Coded, Failure, codes};
use consign_format::state::{self, StateError};
use consign_format::trust::Fingerprint;
use consign_format::trust::chain::Vouched;
use consign_format::trust::roots::RootChain;
use consign_format::{Digest, Limits};
use consign_registry::manifest::{Manifest, Pointers};
use consign_registry::volumes::VolumesError;
use consign_sealed::SiteKey;
use consign_terminal::progress::Progress;
use serde_json::Value;

use crate::medium::{Counted, Medium};

pub mod kept;

/// Whom to trust.
#[derive(Debug, Clone)]
pub enum Trust {
    /// These roots, byte for byte; the bundle's must be among them, or follow from them. The newest of all decides, so
    /// that a bundle which carries fewer cannot bring a revoked key back.
    Chain(Box<RootChain>),
    /// The bundle's first root, if its file has this digest.
    Fingerprint(Fingerprint),
    /// The bundle's own roots. Says that the bundle is whole, not who made it.
    Own,
}

/// Why a bundle's content cannot be told.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// The file cannot be opened.
    #[error("{} cannot be read", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The bundle has no root at all.
    #[error("the bundle carries no root")]
    NoRoot,
    /// A blob of the release is not carried.
    #[error("the bundle does not carry {digest} of the release")]
    Missing {
        /// The blob.
        digest: Digest,
    },
    /// The state artifact cannot be read.
    #[error("the desired state cannot be read")]
    State(#[source] StateError),
    /// What was signed is not whole.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// Its volumes cannot be put together.
    #[error(transparent)]
    Volumes(#[from] VolumesError),
}

impl Coded for BundleError {
    fn code(&self) -> Code {
        match self {
            BundleError::Io { .. } => codes::IO,
            BundleError::NoRoot => codes::ARCHIVE_MALFORMED,
            BundleError::Missing { .. } => codes::MEMBER_MISSING,
            BundleError::State(_) => codes::OBJECT_MALFORMED,
            BundleError::Archive(error) => error.code(),
            BundleError::Volumes(error) => error.code(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            BundleError::Archive(error) => error.hint(),
            BundleError::Volumes(error) => error.hint(),
            _ => None,
        }
    }
}

/// A bundle whose head is vouched for.
pub struct Open<R> {
    /// The head, and the payload behind it.
    pub verified: VerifiedBundle<R>,
    /// The roots that vouch.
    pub roots: RootChain,
}

/// A bundle whose roots are followed, and not one byte behind them believed.
pub struct Announced<R> {
    /// The roots that vouch.
    pub roots: RootChain,
    /// The digest of each root it carries, version 1 first.
    pub carried: Vec<Digest>,
    /// Its statements.
    pub statements: Vec<Vec<u8>>,
    /// The head of its release; a bundle of metadata alone, which ends here, has none.
    pub release: Option<UntrustedBundle<R>>,
}

/// Returns the length of a bundle; of one in volumes, of what they are the volumes of.
///
/// # Errors
/// [`BundleError::Io`]; what is wrong with its volumes.
pub fn length(path: &Path) -> Result<u64, BundleError> {
    Counted::open(path, &consign_terminal::Silent)?.length()
}

/// Opens a plain bundle and lets its head be vouched for, in the order of TRUST §3 as far as it needs no site.
///
/// # Errors
/// What a site would say.
pub fn open<'a>(path: &Path, trust: &Trust, progress: &'a dyn Progress) -> Result<Open<Medium<'a>>, Failure> {
    open_as(path, trust, None, progress)
}

/// Like [`open`], and an encrypted bundle as one of its recipients.
///
/// # Errors
/// What a site would say; that a key is needed, or another one.
pub fn open_as<'a>(
    path: &Path,
    trust: &Trust,
    key: Option<&SiteKey>,
    progress: &'a dyn Progress,
) -> Result<Open<Medium<'a>>, Failure> {
    vouch(Medium::open(path, key, progress)?, trust)
}

/// Lets the head of a bundle be vouched for, and its statements.
///
/// # Errors
/// What a site would say.
pub(crate) fn vouch<R: Read>(source: R, trust: &Trust) -> Result<Open<R>, Failure> {
    let Announced { roots, statements, release, .. } = announce(source, trust)?;
    statements.iter().try_for_each(|statement| roots.approved_statement(statement).map(drop))?;
    let verified = release.ok_or(ArchiveError::NoRelease)?.verify(&roots)?;
    Ok(Open { verified, roots })
}

/// Follows the roots of a bundle and reads on to the head of its release, or to its exact end.
///
/// # Errors
/// What a site would say.
pub(crate) fn announce<R: Read>(source: R, trust: &Trust) -> Result<Announced<R>, Failure> {
    let opened = OpenedBundle::open(source, Limits::DEFAULT)?;
    let first = opened.roots().first().ok_or(BundleError::NoRoot)?;
    let enrolled = match trust {
        Trust::Chain(roots) => roots.as_ref().clone(),
        Trust::Fingerprint(fingerprint) => RootChain::enrol_by(first, Some(fingerprint))?,
        Trust::Own => RootChain::enrol(first, None)?,
    };
    let roots = enrolled.follow(opened.roots())?;
    let carried = opened.roots().iter().map(|root| Digest::of(root)).collect();
    let announced = opened.read_statements()?;
    let statements = announced.statements().to_vec();
    Ok(Announced { roots, carried, statements, release: announced.read_head()? })
}

impl<R: Read + Seek> Open<R> {
    /// Reads every byte that is left, checks it, demands that the whole release is there, and returns how many
    /// members there are.
    ///
    /// # Errors
    /// What a site would say.
    pub fn read_all(self) -> Result<u64, BundleError> {
        self.read_all_keeping(&mut kept::Kept::default())
    }

    /// Demands that every blob of the release is carried.
    fn check_whole(&self) -> Result<(), BundleError> {
        let Vouched { release, carriage, .. } = &self.verified.vouched;
        let carried: BTreeSet<Digest> = carriage.members.iter().filter_map(|member| content_of(&member.name)).collect();
        match release.blobs.iter().find(|blob| !carried.contains(&blob.digest)) {
            Some(blob) => Err(BundleError::Missing { digest: blob.digest }),
            None => Ok(()),
        }
    }

    /// Visits every blob in the order of the archive; packed ones come unpacked. What is left unread is passed by.
    ///
    /// # Errors
    /// What a site would say of what is read, and the visitor's own.
    pub fn each_blob<E: From<ArchiveError>>(
        self,
        mut visit: impl FnMut(&Digest, u64, &mut dyn Read) -> Result<bool, E>,
    ) -> Result<(), E> {
        self.verified.payload.each(|member, place, content| {
            let size = member.packed.as_ref().map_or(member.length, |packed| packed.size);
            let taken = match place {
                Place::Blob(digest) | Place::Packed(digest) => visit(&digest, size, content)?,
                Place::Layout | Place::Index => true,
            };
            if !taken {
                content.skip()?;
            }
            Ok(())
        })
    }

    /// Reads one blob into memory.
    fn read_blob(self, wanted: &Digest, limit: u64) -> Result<Vec<u8>, BundleError> {
        let mut found = None;
        self.each_blob(|digest, size, content| {
            if digest != wanted {
                return Ok(false);
            }
            if size > limit {
                return Err(ArchiveError::OverLimit { what: digest.to_string(), limit }.into());
            }
            let mut bytes = Vec::new();
            // A failure of the reader is returned by the payload itself, in better words.
            let _ = content.read_to_end(&mut bytes);
            found = Some(bytes);
            Ok::<bool, BundleError>(true)
        })?;
        found.ok_or(BundleError::Missing { digest: *wanted })
    }
}

/// Reads the desired state of a plain bundle: its manifest first, then the one layer it names; all else is passed by.
///
/// # Errors
/// What a site would say.
pub fn objects(path: &Path, trust: &Trust) -> Result<Vec<Value>, Failure> {
    objects_as(path, trust, None)
}

/// Like [`objects`], and of an encrypted bundle as one of its recipients.
///
/// # Errors
/// What a site would say; that a key is needed, or another one.
pub fn objects_as(path: &Path, trust: &Trust, key: Option<&SiteKey>) -> Result<Vec<Value>, Failure> {
    let silent = consign_terminal::Silent;
    let limits = Limits::DEFAULT;
    let bundle = open_as(path, trust, key, &silent)?;
    let digest = bundle.verified.vouched.release.state;
    let manifest = bundle.read_blob(&digest, limits.manifest)?;
    let refused = |reason| BundleError::State(StateError::Malformed(reason));
    let manifest = Manifest::parse(&manifest, None).map_err(|_| refused("its manifest is none"))?;
    let layer = match &manifest.content {
        Pointers::Image { layers, .. } if layers.len() == 1 => layers[0].digest,
        _ => return Err(refused("it must have one layer").into()),
    };
    let layer = open_as(path, trust, key, &silent)?.read_blob(&layer, limits.state)?;
    Ok(state::read_layer(&layer, &limits).map_err(BundleError::State)?)
}

fn content_of(name: &str) -> Option<Digest> {
    match Place::parse(name)? {
        Place::Blob(digest) | Place::Packed(digest) => Some(digest),
        Place::Layout | Place::Index => None,
    }
}
