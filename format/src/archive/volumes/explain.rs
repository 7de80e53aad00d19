//! Which volume is to be brought again: errors that speak of the bundle, told in places on the media.

use super::map::Map;
use crate::archive::error::ArchiveError;
use crate::archive::header::BLOCK;
use crate::archive::plan::place;
use crate::carriage::Carriage;

impl Map {
    /// Adds to an error in which volumes the bytes lie that it speaks of, as far as it speaks of any.
    pub fn explain(&self, error: ArchiveError, carriage: &Carriage) -> ArchiveError {
        let range = match &error {
            ArchiveError::Digest { member, .. } | ArchiveError::Frame { member, .. } => content(carriage, member),
            ArchiveError::Unreadable { offset, .. }
            | ArchiveError::Truncated { offset, .. }
            | ArchiveError::Missing { offset, .. }
            | ArchiveError::Malformed { offset, .. } => Some((*offset, offset.saturating_add(BLOCK))),
            _ => None,
        };
        let places = range.map(|(from, to)| self.places(from, to)).unwrap_or_default();
        if places.is_empty() {
            return error;
        }
        ArchiveError::InVolume { places, source: Box::new(error) }
    }
}

/// Where the content of a member lies in the bundle.
fn content(carriage: &Carriage, name: &str) -> Option<(u64, u64)> {
    let plan = place(carriage.boundary, &carriage.members).ok()?;
    let found = carriage.members.iter().zip(&plan.places).find(|(member, _)| member.name == name);
    found.map(|(member, placed)| (placed.content, placed.content.saturating_add(member.length)))
}
