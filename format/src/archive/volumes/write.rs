//! Writing volumes: the bytes of a bundle flow in, in order, and go to the volume they belong to.

use std::collections::VecDeque;
use std::io::{self, Write};

use super::hint::{Hint, Segment};
use crate::archive::header::END_LENGTH;

/// Takes what lies behind a bundle's head (of an encrypted bundle, everything) and fills one volume after the other.
pub struct Cutting<W, F> {
    head: Vec<u8>,
    waiting: VecDeque<Hint>,
    open: Option<Open<W>>,
    make: F,
    done: Vec<(Hint, W)>,
}

/// The volume that is being filled.
struct Open<W> {
    hint: Hint,
    segments: VecDeque<Segment>,
    /// What is still to come of the stretch under way.
    left: u64,
    volume: W,
}

impl<W: Write, F: FnMut(&Hint) -> io::Result<W>> Cutting<W, F> {
    /// Begins; `make` makes each volume when its turn has come.
    pub fn begin(hints: Vec<Hint>, head: Vec<u8>, make: F) -> Self {
        Cutting { head, waiting: hints.into(), open: None, make, done: Vec::new() }
    }

    /// The volumes, each whole.
    ///
    /// # Errors
    /// If fewer bytes came than were to be cut.
    pub fn finish(self) -> io::Result<Vec<(Hint, W)>> {
        match self.open.is_none() && self.waiting.is_empty() {
            true => Ok(self.done),
            false => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    fn next_volume(&mut self) -> io::Result<Open<W>> {
        let ended = || io::Error::new(io::ErrorKind::InvalidData, "more bytes came than were to be cut");
        let hint = self.waiting.pop_front().ok_or_else(ended)?;
        let mut volume = (self.make)(&hint)?;
        volume.write_all(&hint.front()?)?;
        volume.write_all(&self.head)?;
        let segments = hint.segments().into_iter().filter(|segment| segment.from >= hint.from).collect();
        Ok(Open { hint, segments, left: 0, volume })
    }
}

impl<W: Write, F: FnMut(&Hint) -> io::Result<W>> Write for Cutting<W, F> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        let mut open = match self.open.take() {
            Some(open) => open,
            None => self.next_volume()?,
        };
        if open.left == 0
            && let Some(segment) = open.segments.pop_front()
        {
            if segment.is_piece {
                open.volume.write_all(&segment.header()?)?;
            }
            open.left = segment.to - segment.from;
        }
        let taken = buf.len().min(usize::try_from(open.left).unwrap_or(usize::MAX));
        open.volume.write_all(&buf[..taken])?;
        open.left -= taken as u64;
        if open.left > 0 || !open.segments.is_empty() {
            self.open = Some(open);
            return Ok(taken);
        }
        if open.hint.end().is_some() {
            open.volume.write_all(&[0; END_LENGTH as usize])?;
        }
        self.done.push((open.hint, open.volume));
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.open.as_mut().map_or(Ok(()), |open| open.volume.flush())
    }
}
