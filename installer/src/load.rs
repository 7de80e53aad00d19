//! Loading: every member of the payload straight into its place in the store, hashed on the way (TRUST §3.5 to §3.7).
//!
//! One read of the medium, one write to the disk, no temporary copy. What the store has already is skipped, unread.
//! Nothing is visible under its name before its digest holds; what was loaded before a failure may stay, unreferenced.

use std::io::Read;

use consign_format::Digest;
use consign_format::archive::head::ArchiveError;
use consign_format::archive::payload::{Content, Payload};
use consign_format::archive::volumes::VolumeError;
use consign_format::carriage::{Carriage, Member, Place};
use consign_format::error::{Code, Coded, codes};
use consign_format::receipt::ByteCounts;
use consign_registry::blobs::Bulk;
use consign_registry::{BlobError, BlobFolder};
use consign_terminal::Progress;

use crate::medium::Medium;
use crate::reach::{Reach, ToBring};
use crate::supply::Supply;

/// Why loading stopped.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The bundle is not what was signed.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The store cannot take it.
    #[error(transparent)]
    Blob(#[from] BlobError),
    /// Its volumes are not as the signed head has it.
    #[error("the volumes are not of this bundle")]
    Volumes(#[from] VolumeError),
    /// What could be reached is loaded; the rest is on volumes that are not here.
    #[error(transparent)]
    ToBring(ToBring),
}

impl Coded for LoadError {
    fn code(&self) -> Code {
        match self {
            LoadError::Archive(error) => error.code(),
            LoadError::Blob(error) => error.code(),
            LoadError::Volumes(error) => error.code(),
            LoadError::ToBring(error) => error.code(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            LoadError::Archive(error) => error.hint(),
            LoadError::Blob(error) => error.hint(),
            LoadError::Volumes(error) => error.hint(),
            LoadError::ToBring(error) => error.hint(),
        }
    }
}

/// Loads what is wanted and returns when it is on the disk and the end of the bundle was the exact one.
///
/// Of an encrypted bundle that does not decrypt to its end nothing is kept. Of volumes those that are here are loaded,
/// and then it is said which others are wanted.
pub fn load(
    payload: Payload<Medium>,
    (supply, carriage, reach): (&Supply, &Carriage, &Reach),
    blobs: &BlobFolder,
    progress: &dyn Progress,
) -> Result<ByteCounts, LoadError> {
    reach.check(carriage)?;
    let loaded = load_wanted(payload, supply, reach, blobs, progress).map_err(|error| match error {
        LoadError::Archive(error) => LoadError::Archive(reach.explain(error, carriage)),
        other => other,
    });
    if loaded.as_ref().is_err_and(|error| error.code() == codes::CANNOT_DECRYPT) {
        for digest in &supply.wanted {
            blobs.remove(digest)?;
        }
        blobs.sync()?;
    }
    match reach.to_bring(&supply.wanted, carriage) {
        Some(to_bring) if loaded.is_ok() => Err(LoadError::ToBring(to_bring)),
        _ => loaded,
    }
}

fn load_wanted(
    payload: Payload<Medium>,
    supply: &Supply,
    reach: &Reach,
    blobs: &BlobFolder,
    progress: &dyn Progress,
) -> Result<ByteCounts, LoadError> {
    // What a power cut left half written is nobody's; this run holds the lock.
    blobs.remove_drafts()?;
    let mut bulk = blobs.bulk();
    let mut loaded = ByteCounts::default();
    let within = |from, to| reach.is_within(from, to);
    payload.each_within(within, |member, place, content| {
        let digest = match place {
            Place::Blob(digest) | Place::Packed(digest) if supply.wanted.contains(&digest) => digest,
            Place::Blob(_) | Place::Packed(_) => return content.skip().map_err(LoadError::from),
            // What makes the file an image layout for others says nothing to a site; it is read through, checked.
            Place::Layout | Place::Index => {
                loaded.read += member.length;
                return Ok(());
            }
        };
        let size = member.packed.as_ref().map_or(member.length, |packed| packed.size);
        if copied(member, &digest, content, &mut bulk)?.is_none() {
            bulk.put(&digest, size, content)?;
        }
        loaded.read += member.length;
        loaded.written += size;
        progress.advance(size);
        Ok(())
    })?;
    bulk.finish()?;
    Ok(loaded)
}

/// Copies a stored member, inside the kernel unless it is decrypted on the way; `None` where it is packed.
fn copied(
    member: &Member,
    digest: &Digest,
    content: &mut Content<'_, Medium>,
    bulk: &mut Bulk,
) -> Result<Option<()>, LoadError> {
    content.copy_with(|medium, length| {
        let (name, offset) = (|| member.name.clone(), medium.position());
        let put = match medium.in_file(length) {
            Some((file, at)) => bulk.put_from_file(digest, length, file, at),
            None => bulk.put(digest, length, medium.by_ref().take(length)),
        };
        match put {
            Ok(()) => Ok((*digest, ())),
            // What is wrong with the bundle is said in the bundle's words.
            Err(BlobError::Mismatch { actual, .. }) => Ok((actual, ())),
            Err(BlobError::Short { actual, .. }) => {
                Err(ArchiveError::Truncated { offset: offset + actual, member: name() }.into())
            }
            Err(BlobError::Source { source, .. }) => Err(ArchiveError::unreadable(offset, name(), source).into()),
            Err(other) => Err(other.into()),
        }
    })
}
