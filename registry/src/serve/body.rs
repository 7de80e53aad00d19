//! The body of an answer: bytes in memory, or a file streamed with one buffer.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use hyper::body::{Body, Bytes, Frame, SizeHint};
use tokio::task::JoinHandle;

/// How much of a file is in memory per connection.
const CHUNK: u64 = 128 * 1024;

/// What follows the head of an answer.
pub(super) enum AnswerBody {
    /// Nothing, or nothing more.
    Empty,
    /// A document made in memory.
    Bytes(Bytes),
    /// A part of a file.
    File(FilePart),
}

/// A part of a file, read on a thread that may block, one buffer at a time.
pub(super) struct FilePart {
    file: Arc<File>,
    at: u64,
    end: u64,
    reading: Option<JoinHandle<io::Result<Bytes>>>,
}

impl FilePart {
    /// The bytes from `at` to before `end`.
    pub(super) fn new(file: File, at: u64, end: u64) -> Self {
        FilePart { file: Arc::new(file), at, end, reading: None }
    }

    fn poll_chunk(&mut self, context: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        if self.at >= self.end {
            return Poll::Ready(None);
        }
        let (file, at, end) = (&self.file, self.at, self.end);
        let reading = self.reading.get_or_insert_with(|| {
            let file = Arc::clone(file);
            tokio::task::spawn_blocking(move || read_chunk(&file, at, end))
        });
        let read = ready!(Pin::new(reading).poll(context));
        self.reading = None;
        let read = read.unwrap_or_else(|stopped| Err(io::Error::other(stopped)));
        if let Ok(bytes) = &read {
            self.at += bytes.len() as u64;
        }
        Poll::Ready(Some(read))
    }
}

fn read_chunk(file: &File, at: u64, end: u64) -> io::Result<Bytes> {
    let mut buffer = vec![0; usize::try_from((end - at).min(CHUNK)).unwrap_or(0)];
    // A file that is shorter than it was ends the connection: the client must not take the part for the whole.
    file.read_exact_at(&mut buffer, at)?;
    Ok(Bytes::from(buffer))
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        match &mut *self {
            AnswerBody::Empty => Poll::Ready(None),
            AnswerBody::Bytes(bytes) => {
                let bytes = std::mem::take(bytes);
                *self = AnswerBody::Empty;
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            AnswerBody::File(part) => part.poll_chunk(context).map(|read| read.map(|read| read.map(Frame::data))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.size_hint().exact() == Some(0)
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(match self {
            AnswerBody::Empty => 0,
            AnswerBody::Bytes(bytes) => bytes.len() as u64,
            AnswerBody::File(part) => part.end.saturating_sub(part.at),
        })
    }
}
