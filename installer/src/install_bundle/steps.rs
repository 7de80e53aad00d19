//! The steps of one run: on the journal before and after each, and timed for the receipt.

use std::time::Duration;

use consign_format::error::{Coded, codes};
use consign_format::receipt::Phase;
use consign_format::{Digest, Name};

use crate::clock::Clocks;
use crate::store::journal::{Entry, Journal, Mark};
use crate::store::reserve::Reserve;
use crate::store::{Store, StoreError};

/// A phase under way.
pub(super) struct Timer {
    name: String,
    started: u64,
    from: Duration,
}

impl Timer {
    pub(super) fn start(name: &str, clocks: &Clocks) -> Self {
        Timer { name: name.to_owned(), started: clocks.now(), from: clocks.elapsed() }
    }

    pub(super) fn stop(self, clocks: &Clocks) -> Phase {
        let took = clocks.elapsed().saturating_sub(self.from).as_millis();
        Phase { name: self.name, started: self.started, milliseconds: u64::try_from(took).unwrap_or(u64::MAX) }
    }
}

/// The steps of one run, in order, one at a time.
pub(super) struct Steps<'a> {
    journal: Journal,
    reserve: Reserve,
    ran_full: bool,
    clocks: &'a Clocks,
    product: Name,
    release: Digest,
    open: Option<Timer>,
    phases: Vec<Phase>,
}

impl<'a> Steps<'a> {
    pub(super) fn new(store: &Store, product: Name, release: Digest, clocks: &'a Clocks) -> Result<Self, StoreError> {
        let (reserve, journal) = (Reserve::set_aside(store)?, Journal::open(store)?);
        let (ran_full, open, phases) = (false, None, Vec::new());
        Ok(Steps { journal, reserve, ran_full, clocks, product, release, open, phases })
    }

    /// Begins a step; it is on the disk before the step does anything. On a full disk nothing is begun.
    pub(super) fn begin(&mut self, step: &str) -> Result<(), StoreError> {
        self.write(step, Mark::Begin, None)?;
        self.open = Some(Timer::start(step, self.clocks));
        Ok(())
    }

    /// Begins a step that what was begun before is brought to its end with; on a full disk, with what was set aside.
    pub(super) fn begin_end(&mut self, step: &str) -> Result<(), StoreError> {
        self.write_in_any_case(step, Mark::Begin, None)?;
        self.open = Some(Timer::start(step, self.clocks));
        Ok(())
    }

    /// Gives back the room that was set aside, because the disk is full; whether there was any left.
    pub(super) fn make_room(&mut self) -> bool {
        self.ran_full = true;
        self.reserve.give_back()
    }

    /// Whether the disk ran full on the way.
    pub(super) fn ran_full(&self) -> bool {
        self.ran_full
    }

    /// Ends the step under way.
    pub(super) fn end(&mut self) -> Result<(), StoreError> {
        self.close(Mark::End, None)
    }

    /// The step under way failed.
    pub(super) fn failed(&mut self, why: &str) -> Result<(), StoreError> {
        self.close(Mark::Failed, Some(why.to_owned()))
    }

    /// The next step may not begin, for this reason.
    pub(super) fn waits(&mut self, why: &str) -> Result<(), StoreError> {
        self.write_in_any_case("gates", Mark::Failed, Some(why.to_owned()))
    }

    /// Adds a phase that was timed elsewhere.
    pub(super) fn phase(&mut self, phase: Phase) {
        self.phases.push(phase);
    }

    /// The phases so far, for the receipt.
    pub(super) fn phases(&self) -> Vec<Phase> {
        self.phases.clone()
    }

    fn close(&mut self, mark: Mark, note: Option<String>) -> Result<(), StoreError> {
        let Some(timer) = self.open.take() else { return Ok(()) };
        self.write_in_any_case(&timer.name.clone(), mark, note)?;
        self.phases.push(timer.stop(self.clocks));
        Ok(())
    }

    fn write_in_any_case(&mut self, step: &str, mark: Mark, note: Option<String>) -> Result<(), StoreError> {
        match self.write(step, mark, note.clone()) {
            Err(error) if error.code() == codes::NO_ROOM && self.make_room() => self.write(step, mark, note),
            done => done,
        }
    }

    fn write(&mut self, step: &str, mark: Mark, note: Option<String>) -> Result<(), StoreError> {
        let (product, release) = (self.product.clone(), self.release);
        self.journal.write(&Entry { at: self.clocks.now(), step: step.to_owned(), mark, product, release, note })
    }
}
