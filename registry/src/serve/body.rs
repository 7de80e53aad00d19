//! The body of an answer: a document made in memory, or a part of a file that is still to be read.

use std::fs::File;
use std::sync::Arc;

/// What follows the head of an answer.
#[derive(Debug)]
pub(super) enum AnswerBody {
    /// Nothing: the answer to a HEAD.
    Empty,
    /// A document made in memory.
    Bytes(Vec<u8>),
    /// A part of a file.
    File(FilePart),
}

/// The bytes of a file from `at` to before `end`.
#[derive(Debug)]
pub(super) struct FilePart {
    pub(super) file: Arc<File>,
    pub(super) at: u64,
    pub(super) end: u64,
}

impl AnswerBody {
    /// How many bytes follow the head.
    pub(super) fn length(&self) -> u64 {
        match self {
            AnswerBody::Empty => 0,
            AnswerBody::Bytes(bytes) => bytes.len() as u64,
            AnswerBody::File(part) => part.end.saturating_sub(part.at),
        }
    }
}
