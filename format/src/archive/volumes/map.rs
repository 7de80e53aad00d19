//! Which volumes of a bundle are here, and where each of its bytes lies in them.

use std::collections::BTreeMap;

use super::error::{MissingVolumes, VolumeError, VolumePlace};
use super::hint::{Hint, Segment};

/// The volumes of one bundle, by number. The hints in it agree with each other; that is all that is known of them.
#[derive(Debug, Clone)]
pub struct Map {
    hints: BTreeMap<u64, Hint>,
    /// Every stretch that is here, in the order of the bundle; the head once.
    segments: Vec<(u64, Segment)>,
    wanted: Hint,
}

/// What lies at an offset of the bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    /// In which volume.
    pub number: u64,
    /// Where in it.
    pub at: u64,
    /// How many bytes follow one another there.
    pub left: u64,
}

impl Map {
    /// A map with one volume; the bundle it is of is the wanted one.
    pub fn new(first: Hint) -> Self {
        let mut map = Map { hints: BTreeMap::new(), segments: Vec::new(), wanted: first.clone() };
        map.insert(first);
        map
    }

    /// Whether a volume is of the same bundle.
    pub fn is_of(&self, hint: &Hint) -> bool {
        self.wanted.head == hint.head
    }

    /// Adds a volume of the same bundle; `false` if it is here already.
    ///
    /// # Errors
    /// [`VolumeError::Contradictory`].
    pub fn add(&mut self, hint: Hint) -> Result<bool, VolumeError> {
        let Hint { number, of, .. } = hint;
        let contradiction = |what: &str| Err(VolumeError::Contradictory(format!("volume {number} of {of} {what}")));
        let wanted = &self.wanted;
        if (wanted.head, wanted.boundary, wanted.bundle, wanted.of) != (hint.head, hint.boundary, hint.bundle, of) {
            return contradiction("was cut another way");
        }
        match self.hints.get(&number) {
            Some(known) if *known == hint => return Ok(false),
            Some(_) => return contradiction("is here twice, each time another part"),
            None => {}
        }
        let before = self.hints.range(..number).next_back();
        let after = self.hints.range(number..).next();
        let fits = |left: &Hint, right: &Hint| match right.number - left.number {
            1 => left.to == right.from,
            _ => left.to < right.from,
        };
        if before.is_some_and(|(_, before)| !fits(before, &hint)) || after.is_some_and(|(_, after)| !fits(&hint, after))
        {
            return contradiction("overlaps another, or leaves a gap");
        }
        self.insert(hint);
        Ok(true)
    }

    fn insert(&mut self, hint: Hint) {
        let has_head = !self.hints.is_empty();
        let segments = hint.segments().into_iter().filter(|segment| !has_head || segment.from >= hint.boundary);
        self.segments.extend(segments.map(|segment| (hint.number, segment)));
        self.segments.sort_by_key(|(_, segment)| segment.from);
        self.hints.insert(hint.number, hint);
    }

    /// The first volume that was looked at: the bundle it is of is the wanted one.
    pub fn wanted(&self) -> &Hint {
        &self.wanted
    }

    /// Of how many volumes the bundle is.
    pub fn of(&self) -> u64 {
        self.wanted.of
    }

    /// The length of the bundle.
    pub fn length(&self) -> u64 {
        self.wanted.bundle
    }

    /// Whether what was cut is encrypted.
    pub fn is_sealed(&self) -> bool {
        self.wanted.is_sealed()
    }

    /// The volumes that are not here, those in a row together.
    pub fn missing(&self) -> Vec<MissingVolumes> {
        let (mut missing, mut next, mut from) = (Vec::new(), 1, self.wanted.boundary);
        let run = |first, last, from, to| MissingVolumes { first, last, of: self.wanted.of, from, to };
        for hint in self.hints.values() {
            if hint.number > next {
                missing.push(run(next, hint.number - 1, from, hint.from));
            }
            (next, from) = (hint.number + 1, hint.to);
        }
        if next <= self.wanted.of {
            missing.push(run(next, self.wanted.of, from, self.wanted.bundle));
        }
        missing
    }

    /// The missing volumes that a range of the bundle lies in; none if all of it is here.
    pub fn missing_in(&self, from: u64, to: u64) -> Vec<MissingVolumes> {
        self.missing().into_iter().filter(|missing| missing.from < to && from < missing.to).collect()
    }

    /// What is at an offset, or which volumes are missing there; `None` behind the end.
    pub fn find(&self, offset: u64) -> Option<Result<Found, MissingVolumes>> {
        if offset >= self.wanted.bundle {
            return None;
        }
        let next = self.segments.partition_point(|(_, segment)| segment.from <= offset);
        let here = next.checked_sub(1).map(|at| self.segments[at]).filter(|(_, segment)| offset < segment.to);
        let found = here.map(|(number, segment)| {
            Ok(Found { number, at: segment.at + (offset - segment.from), left: segment.to - offset })
        });
        found.or_else(|| self.missing_in(offset, offset + 1).into_iter().next().map(Err))
    }

    /// Where a range of the bundle lies: one place for each volume that has some of it.
    pub fn places(&self, from: u64, to: u64) -> Vec<VolumePlace> {
        let mut places: Vec<VolumePlace> = Vec::new();
        let here = self.segments.iter().filter(|(_, segment)| segment.from < to && from < segment.to);
        for (number, segment) in here {
            let at = |offset: u64| segment.at + (offset.clamp(segment.from, segment.to) - segment.from);
            let place = VolumePlace { number: *number, of: self.wanted.of, from: at(from), to: at(to) };
            match places.last_mut().filter(|last| last.number == *number) {
                Some(last) => last.to = place.to,
                None => places.push(place),
            }
        }
        places
    }
}
