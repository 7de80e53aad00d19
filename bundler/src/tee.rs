//! Writing a bundle while it is checked: every byte that is read is handed on, and only what was found to be the signed
//! bytes gets a name.

use std::cell::RefCell;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::rc::Rc;

/// Where the bytes go that were read.
pub(crate) enum Sink<W> {
    /// The head, until it is vouched for.
    Holding(Vec<u8>),
    /// What is made of the bundle.
    Writing(W),
    /// Writing has failed.
    Failed(io::Error),
}

/// What a read fails with when it is the writing that has failed.
const UNWRITTEN: &str = "what is made of the bundle cannot be written";

impl<W: Write> Sink<W> {
    /// A sink that holds, and a reader that fills it.
    pub(crate) fn behind<R: Read>(source: R) -> (Tee<R, W>, Rc<RefCell<Self>>) {
        let sink = Rc::new(RefCell::new(Sink::Holding(Vec::new())));
        (Tee { source, sink: Rc::clone(&sink) }, sink)
    }

    /// What was held is the head; from now on what follows is written to what is made of it.
    pub(crate) fn begin<E>(&mut self, make: impl FnOnce(Vec<u8>) -> Result<W, E>) -> Result<(), E> {
        if let Sink::Holding(head) = self {
            *self = Sink::Writing(make(std::mem::take(head))?);
        }
        Ok(())
    }

    /// Takes the sink out of the hands of its reader.
    pub(crate) fn take(shared: &RefCell<Self>) -> Self {
        shared.replace(Sink::Holding(Vec::new()))
    }

    /// Whether it was the writing that failed, and not the reading.
    pub(crate) fn has_failed(&self) -> bool {
        matches!(self, Sink::Failed(_))
    }

    /// What was written to.
    pub(crate) fn end(self) -> io::Result<W> {
        match self {
            Sink::Writing(written) => Ok(written),
            Sink::Failed(source) => Err(source),
            Sink::Holding(_) => Err(io::Error::other("it was not begun")),
        }
    }

    fn hand_on(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Sink::Holding(head) => head.extend_from_slice(bytes),
            Sink::Writing(out) => {
                if let Err(error) = out.write_all(bytes) {
                    *self = Sink::Failed(error);
                    return Err(io::Error::other(UNWRITTEN));
                }
            }
            Sink::Failed(_) => return Err(io::Error::other(UNWRITTEN)),
        }
        Ok(())
    }
}

/// Reads a bundle and hands on every byte. It cannot seek: what is passed by would be missing.
pub(crate) struct Tee<R, W> {
    source: R,
    sink: Rc<RefCell<Sink<W>>>,
}

impl<R: Read, W: Write> Read for Tee<R, W> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let read = self.source.read(buf)?;
        self.sink.borrow_mut().hand_on(&buf[..read])?;
        Ok(read)
    }
}

impl<R, W> Seek for Tee<R, W> {
    fn seek(&mut self, _: SeekFrom) -> io::Result<u64> {
        Err(io::ErrorKind::Unsupported.into())
    }
}
