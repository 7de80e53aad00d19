//! Small documents that are kept in memory while a bundle is read from end to end: the desired state, signatures.
//!
//! Memory stays bounded whatever a bundle holds: only what was asked for is kept, each up to its own limit.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Seek};

use consign_format::archive::head::ArchiveError;
use consign_format::{Digest, Limits};
use consign_registry::manifest::{Manifest, Pointers};

use super::{BundleError, Open};

/// What is asked for, and what was found of it.
#[derive(Debug, Default)]
pub struct Kept {
    wanted: BTreeMap<Digest, Wanted>,
    found: BTreeMap<Digest, Vec<u8>>,
    too_large: BTreeSet<Digest>,
}

#[derive(Debug, Clone, Copy)]
struct Wanted {
    limit: u64,
    /// For manifests: the limit of each layer, which is wanted too.
    layers: Option<u64>,
}

impl Kept {
    /// Asks for a blob up to a limit in bytes.
    pub fn want(&mut self, digest: Digest, limit: u64) {
        self.wanted.entry(digest).or_insert(Wanted { limit, layers: None });
    }

    /// Asks for a manifest and its layers; the limit is that of each layer, in bytes.
    pub fn want_manifest(&mut self, digest: Digest, layers: u64) {
        self.wanted.insert(digest, Wanted { limit: Limits::DEFAULT.manifest, layers: Some(layers) });
    }

    /// Whether a blob was asked for, found or not.
    pub fn is_wanted(&self, digest: &Digest) -> bool {
        self.wanted.contains_key(digest)
    }

    /// What was found, or in words why there is nothing.
    ///
    /// # Errors
    /// The reason.
    pub fn read(&self, digest: &Digest) -> Result<&[u8], String> {
        if self.too_large.contains(digest) {
            let limit = self.wanted.get(digest).map_or(0, |wanted| wanted.limit);
            return Err(format!("{digest} is over the limit of {limit} bytes"));
        }
        self.found.get(digest).map(Vec::as_slice).ok_or_else(|| format!("{digest} is not in the bundle"))
    }

    /// Whether something that was asked for has not been met yet.
    pub fn is_incomplete(&self) -> bool {
        self.wanted.keys().any(|digest| self.is_open(digest))
    }

    fn is_open(&self, digest: &Digest) -> bool {
        self.wanted.contains_key(digest) && !self.found.contains_key(digest) && !self.too_large.contains(digest)
    }

    /// Takes a blob that passes by, if it was asked for; tells whether it was read.
    pub(crate) fn take(&mut self, digest: &Digest, size: u64, content: &mut dyn Read) -> bool {
        let Some(wanted) = self.wanted.get(digest).copied().filter(|_| self.is_open(digest)) else { return false };
        if size > wanted.limit {
            self.too_large.insert(*digest);
            return false;
        }
        let mut bytes = Vec::new();
        // A failure of the reader is returned by the payload itself, in better words.
        if content.read_to_end(&mut bytes).is_err() {
            return true;
        }
        if let Some(limit) = wanted.layers
            && let Ok(Manifest { content: Pointers::Image { layers, .. }, .. }) = Manifest::parse(&bytes, None)
        {
            layers.iter().for_each(|layer| self.want(layer.digest, limit));
        }
        self.found.insert(*digest, bytes);
        true
    }
}

/// Why reading ends before the bundle does.
enum Stop {
    /// Everything that was asked for was met.
    Met,
    Failed(BundleError),
}

impl From<ArchiveError> for Stop {
    fn from(error: ArchiveError) -> Self {
        Stop::Failed(error.into())
    }
}

impl<R: Read + Seek> Open<R> {
    /// Reads every byte as [`Open::read_all`] does, and keeps what is asked for where it is met.
    ///
    /// # Errors
    /// As [`Open::read_all`].
    pub fn read_all_keeping(self, kept: &mut Kept) -> Result<u64, BundleError> {
        self.check_whole()?;
        let members = self.verified.vouched.carriage.members.len() as u64;
        self.each_blob(|digest, size, content| {
            kept.take(digest, size, content);
            // What is left unread is read and checked all the same.
            Ok::<bool, BundleError>(true)
        })?;
        Ok(members)
    }

    /// Reads what is asked for and was not met before: a layer may lie before the manifest that names it. All else is
    /// passed by, and nothing is looked at once everything was met.
    ///
    /// # Errors
    /// What a site would say.
    pub fn read_only(self, kept: &mut Kept) -> Result<(), BundleError> {
        let read = self.each_blob(|digest, size, content| match kept.is_incomplete() {
            true => Ok(kept.take(digest, size, content)),
            false => Err(Stop::Met),
        });
        match read {
            Ok(()) | Err(Stop::Met) => Ok(()),
            Err(Stop::Failed(error)) => Err(error),
        }
    }
}
