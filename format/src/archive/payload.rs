//! The payload: every member in the order of the carriage, checked while it flows.

use std::io::{self, Read, Seek, SeekFrom};

use super::head::ArchiveError;
use super::header;
use super::source::Source;
use crate::Digest;
use crate::carriage::{Frame, Member, Packed, Place};
use crate::frames::{self, FrameError};
use crate::verify::{Mismatch, VerifyingReader};

/// The members behind the boundary, not yet read.
#[derive(Debug)]
pub struct Payload<R> {
    source: Source<R>,
    members: Vec<Member>,
}

/// The content of one member, as a checked stream of what it stands for: stored bytes as they are, packed
/// ones decoded frame by frame, each frame hashed before it is decoded.
///
/// What a visitor leaves unread is read and checked all the same; only [`Content::skip`] leaves it out.
pub struct Content<'a, R> {
    member: &'a Member,
    stream: Stream<'a, R>,
    failure: Option<ArchiveError>,
}

enum Stream<'a, R> {
    Stored(VerifyingReader<&'a mut Source<R>>),
    Packed(VerifyingReader<Frames<'a, R>>),
    /// The bytes were taken another way, or are not wanted.
    Done,
}

impl<R> Payload<R> {
    pub(super) fn new(source: Source<R>, members: Vec<Member>) -> Self {
        Payload { source, members }
    }
}

impl<R: Read + Seek> Payload<R> {
    /// Visits every member in order, then demands the exact end.
    ///
    /// What is wrong with the bundle is returned in preference to the error the visitor made of it.
    pub fn each<E: From<ArchiveError>>(
        self,
        visit: impl FnMut(&Member, Place, &mut Content<'_, R>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.each_within(|_, _| true, visit)
    }

    /// Like [`Payload::each`], for who cannot reach the whole bundle: `within` tells of a range of it whether it can be
    /// read, and what lies in any other is passed by, the end too.
    pub fn each_within<E: From<ArchiveError>>(
        self,
        within: impl Fn(u64, u64) -> bool,
        mut visit: impl FnMut(&Member, Place, &mut Content<'_, R>) -> Result<(), E>,
    ) -> Result<(), E> {
        let Payload { mut source, members } = self;
        for (n, member) in members.iter().enumerate() {
            // The sum of all lengths was checked with the carriage.
            let stored = header::stored(member.length).unwrap_or(u64::MAX);
            if !within(source.offset, source.offset.saturating_add(stored)) {
                source.go(source.offset.saturating_add(stored), &member.name)?;
                continue;
            }
            let place = expect_header(&mut source, member, &members[n + 1..])?;
            let mut content = Content::new(&mut source, member);
            let visited = visit(member, place, &mut content);
            if let Some(failure) = content.failure.take() {
                return Err(failure.into());
            }
            visited?;
            content.drain()?;
            source.zeros(header::padding(member.length), &member.name)?;
        }
        if within(source.offset, source.offset.saturating_add(header::END_LENGTH)) {
            source.zeros(header::END_LENGTH, "the end")?;
            source.end()?;
        }
        Ok(())
    }
}

/// Makes the header anew and compares: the one check that covers every trick a tar can play. Only when it fails is it
/// asked why: a member that is `later` in the list, or the end, says that this one was left out.
fn expect_header<R: Read>(source: &mut Source<R>, member: &Member, later: &[Member]) -> Result<Place, ArchiveError> {
    let offset = source.offset;
    let malformed = |reason: String| ArchiveError::Malformed { offset, reason };
    let expected = header::canonical(&member.name, member.length).map_err(|e| malformed(e.to_string()))?;
    let mut block = [0; 512];
    source.fill(&mut block, &member.name)?;
    if block != expected {
        let missing = || ArchiveError::Missing { offset, member: member.name.clone() };
        return Err(match header::parse(&block) {
            _ if block == [0; 512] => missing(),
            Ok((found, _)) if later.iter().any(|member| member.name == found) => missing(),
            Ok((found, _)) if found != member.name => malformed(format!("expected {}, found {found}", member.name)),
            _ => malformed(format!("the header of {} is not the canonical one", member.name)),
        });
    }
    Place::parse(&member.name).ok_or_else(|| malformed(format!("{} is no member", member.name)))
}

impl<'a, R: Read + Seek> Content<'a, R> {
    fn new(source: &'a mut Source<R>, member: &'a Member) -> Self {
        let stream = match &member.packed {
            None => Stream::Stored(VerifyingReader::new(source, member.sha256, member.length)),
            Some(packed) => {
                Stream::Packed(VerifyingReader::new(Frames::new(source, packed), packed.digest, packed.size))
            }
        };
        Content { member, stream, failure: None }
    }

    /// Leaves the content out, unread. For a blob the site already has.
    pub fn skip(&mut self) -> Result<(), ArchiveError> {
        let source = match std::mem::replace(&mut self.stream, Stream::Done) {
            Stream::Stored(reader) => reader.into_inner(),
            Stream::Packed(reader) => reader.into_inner().source,
            Stream::Done => return Ok(()),
        };
        source.pass(self.member)
    }

    /// Lets the caller copy stored content by its own, faster means. `copy` gets the source, positioned at the
    /// content, and the length; it returns the digest of **its copy**, which is held against the promised one.
    ///
    /// Returns `None`, without calling `copy`, where the content is packed or partly read: read it instead.
    pub fn copy_with<T, E: From<ArchiveError>>(
        &mut self,
        copy: impl FnOnce(&mut R, u64) -> Result<(Digest, T), E>,
    ) -> Result<Option<T>, E> {
        let Stream::Stored(reader) = &self.stream else { return Ok(None) };
        if reader.left() != self.member.length {
            return Ok(None);
        }
        let Stream::Stored(reader) = std::mem::replace(&mut self.stream, Stream::Done) else { return Ok(None) };
        let source = reader.into_inner();
        let (found, value) = copy(&mut source.inner, self.member.length)?;
        if found != self.member.sha256 {
            let source = Mismatch { expected: self.member.sha256, found };
            return Err(ArchiveError::Digest { member: self.member.name.clone(), source }.into());
        }
        source.pass(self.member)?;
        Ok(Some(value))
    }

    fn drain(&mut self) -> Result<(), ArchiveError> {
        let mut buf = vec![0; 64 * 1024];
        loop {
            match self.read(&mut buf) {
                Ok(0) => return Ok(()),
                Ok(_) => {}
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(self.failure.take().unwrap_or_else(|| self.explain(e))),
            }
        }
    }

    fn offset(&self) -> u64 {
        match &self.stream {
            Stream::Stored(reader) => reader.get_ref().offset,
            Stream::Packed(reader) => reader.get_ref().source.offset,
            Stream::Done => 0,
        }
    }

    fn explain(&self, error: io::Error) -> ArchiveError {
        let (offset, member) = (self.offset(), self.member.name.clone());
        if error.kind() == io::ErrorKind::UnexpectedEof {
            return ArchiveError::Truncated { offset, member };
        }
        let inner = error.get_ref();
        if let Some(mismatch) = inner.and_then(|e| e.downcast_ref::<Mismatch>()) {
            return ArchiveError::Digest { member, source: *mismatch };
        }
        if let Some(FrameError(reason)) = inner.and_then(|e| e.downcast_ref::<FrameError>()) {
            return ArchiveError::Frame { member, reason };
        }
        ArchiveError::unreadable(offset, member, error)
    }
}

impl<R: Read + Seek> Read for Content<'_, R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let read = match &mut self.stream {
            Stream::Stored(reader) => reader.read(buf),
            Stream::Packed(reader) => reader.read(buf),
            Stream::Done => Ok(0),
        };
        match read {
            Err(e) if e.kind() != io::ErrorKind::Interrupted => {
                let kind = e.kind();
                let failure = self.explain(e);
                let text = failure.to_string();
                self.failure = Some(failure);
                Err(io::Error::new(kind, text))
            }
            other => other,
        }
    }
}

impl<R: Read> Read for Source<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buf)?;
        self.offset += read as u64;
        Ok(read)
    }
}

impl<R: Read + Seek> Source<R> {
    /// Goes on behind a member's content, of which `self` stands at the beginning.
    fn pass(&mut self, member: &Member) -> Result<(), ArchiveError> {
        self.go(self.offset.saturating_add(member.length), &member.name)
    }

    fn go(&mut self, target: u64, member: &str) -> Result<(), ArchiveError> {
        let reached = self.inner.seek(SeekFrom::Start(target));
        let failed = |source| ArchiveError::unreadable(self.offset, member.to_owned(), source);
        let reached = reached.map_err(failed)?;
        self.offset = reached;
        Ok(())
    }
}

/// Decodes a run of frames; holds one frame at a time.
struct Frames<'a, R> {
    source: &'a mut Source<R>,
    frames: std::slice::Iter<'a, Frame>,
    left: u64,
    plain: io::Cursor<Vec<u8>>,
}

impl<'a, R> Frames<'a, R> {
    fn new(source: &'a mut Source<R>, packed: &'a Packed) -> Self {
        Frames { source, frames: packed.frames.iter(), left: packed.size, plain: io::Cursor::new(Vec::new()) }
    }
}

impl<R: Read> Read for Frames<'_, R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let read = self.plain.read(buf)?;
        if read > 0 || buf.is_empty() {
            return Ok(read);
        }
        let Some(frame) = self.frames.next() else { return Ok(0) };
        let mut stored = Vec::new();
        // The length is bounded by the carriage's check of every frame.
        VerifyingReader::new(&mut *self.source, frame.sha256, frame.length).read_to_end(&mut stored)?;
        let plain = frames::decode(&stored, self.left).map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))?;
        self.left -= plain.len() as u64;
        self.plain = io::Cursor::new(plain);
        self.plain.read(buf)
    }
}
