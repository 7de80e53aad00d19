//! How far a bundle can be read: wholly, or, of volumes, those that are here.
//!
//! Discs come one at a time. What is on one is loaded, and what is wanted from the others is named; the next run goes on
//! with what is in the store. Which volume is which says an unsigned hint, so it is asked where to read and where to
//! look again, and never what to trust.

use std::collections::BTreeSet;

use consign_format::Digest;
use consign_format::archive::head::ArchiveError;
use consign_format::archive::plan::place;
use consign_format::archive::volumes::{Map, MissingVolumes, VolumeError};
use consign_format::carriage::{Carriage, Place};
use consign_format::error::{Code, Coded, codes};

/// The volumes that a bundle is read from; none for one that is a single file.
#[derive(Debug, Clone, Default)]
pub struct Reach(Option<Map>);

/// What is still to be brought.
#[derive(Debug, thiserror::Error)]
#[error("{} of the release {} not here yet: bring {} of {of}", counted(*.blobs), if *.blobs == 1 { "is" } else { "are" }, list(.missing))]
pub struct ToBring {
    /// The volumes that hold them, those in a row together; at least one.
    pub missing: Vec<MissingVolumes>,
    /// Of how many.
    pub of: u64,
    /// How many blobs.
    pub blobs: usize,
    /// Whether one of them was cut, and begins or ends in a volume that was here.
    pub is_cut: bool,
}

fn counted(count: usize) -> String {
    if count == 1 { "a blob".to_owned() } else { format!("{count} blobs") }
}

fn list(missing: &[MissingVolumes]) -> String {
    missing.iter().map(MissingVolumes::numbers).collect::<Vec<_>>().join(", ")
}

impl Coded for ToBring {
    fn code(&self) -> Code {
        codes::VOLUME_MISSING
    }

    fn hint(&self) -> Option<String> {
        let next = self.missing.first().map_or(0, |missing| missing.first);
        Some(match self.is_cut {
            false => format!("bring volume {next} and run again with it; what was loaded from the others is kept"),
            true => format!(
                "a blob that is larger than a volume needs all of its volumes at once: put volume {next} and its \
                 neighbours into one folder, and run again with that; what was loaded is kept"
            ),
        })
    }
}

impl Reach {
    /// What these volumes reach.
    pub fn of(map: Option<&Map>) -> Self {
        Reach(map.cloned())
    }

    /// Whether a range of the bundle can be read.
    pub fn is_within(&self, from: u64, to: u64) -> bool {
        self.0.as_ref().is_none_or(|map| map.missing_in(from, to).is_empty())
    }

    /// The first volumes that are not here.
    pub fn missing(&self) -> Option<MissingVolumes> {
        self.0.as_ref()?.missing().into_iter().next()
    }

    /// Holds what the volumes say of the bundle's length against what is signed.
    ///
    /// # Errors
    /// [`VolumeError::Contradictory`].
    pub fn check(&self, carriage: &Carriage) -> Result<(), VolumeError> {
        let Some(map) = &self.0 else { return Ok(()) };
        let (said, signed) = (map.length(), carriage.boundary.saturating_add(carriage.payload));
        if said != signed || map.wanted().boundary != carriage.boundary {
            let reason = format!("they speak of a bundle of {said} bytes, and the signed one has {signed}");
            return Err(VolumeError::Contradictory(reason));
        }
        Ok(())
    }

    /// Says of an error in which volumes the bytes lie.
    pub fn explain(&self, error: ArchiveError, carriage: &Carriage) -> ArchiveError {
        match &self.0 {
            Some(map) => map.explain(error, carriage),
            None => error,
        }
    }

    /// Which volumes hold blobs that are wanted and cannot be reached.
    pub fn to_bring(&self, wanted: &BTreeSet<Digest>, carriage: &Carriage) -> Option<ToBring> {
        let map = self.0.as_ref()?;
        let plan = place(carriage.boundary, &carriage.members).ok()?;
        let mut to_bring = ToBring { missing: Vec::new(), of: map.of(), blobs: 0, is_cut: false };
        let ends = plan.places.iter().skip(1).map(|next| next.header).chain([plan.end]);
        for ((member, placed), end) in carriage.members.iter().zip(&plan.places).zip(ends) {
            let digest = match Place::parse(&member.name) {
                Some(Place::Blob(digest) | Place::Packed(digest)) => digest,
                _ => continue,
            };
            let missing = map.missing_in(placed.header, end);
            if missing.is_empty() || !wanted.contains(&digest) {
                continue;
            }
            to_bring.blobs += 1;
            to_bring.is_cut |= !map.places(placed.header, end).is_empty();
            to_bring.missing.extend(missing);
        }
        to_bring.missing.sort_by_key(|missing| missing.first);
        to_bring.missing.dedup();
        (to_bring.blobs > 0).then_some(to_bring)
    }
}
