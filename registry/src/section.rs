//! A part of a file as a reader: positioned reads, so that many readers share one open file.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;

use rustix::fs::Advice;

/// How far ahead the kernel is asked to read: a slow medium works while we hash.
const AHEAD: u64 = 8 * 1024 * 1024;

/// The bytes of a file from an offset on, at most so many. It ends early where the file does.
#[derive(Debug)]
pub(crate) struct Section<'a> {
    file: &'a File,
    at: u64,
    end: u64,
    asked: u64,
}

impl<'a> Section<'a> {
    pub(crate) fn new(file: &'a File, offset: u64, size: u64) -> Self {
        Section { file, at: offset, end: offset.saturating_add(size), asked: offset }
    }

    /// Asks for the next stretch, once per stretch. Advice only: a device that takes none reads as before.
    fn ask_ahead(&mut self) {
        let until = self.at.saturating_add(AHEAD).min(self.end);
        if until >= self.asked.saturating_add(AHEAD / 2) || (until == self.end && until > self.asked) {
            let length = std::num::NonZeroU64::new(until - self.asked);
            let _ = rustix::fs::fadvise(self.file, self.asked, length, Advice::WillNeed);
            self.asked = until;
        }
    }
}

impl Read for Section<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.end.saturating_sub(self.at)).unwrap_or(usize::MAX);
        let want = left.min(buf.len());
        if want == 0 {
            return Ok(0);
        }
        self.ask_ahead();
        let n = self.file.read_at(&mut buf[..want], self.at)?;
        self.at += n as u64;
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_is_a_part_and_nothing_else() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), b"0123456789").unwrap();
        let file = File::open(file.path()).unwrap();
        for (offset, size, expected) in
            [(0, 10, "0123456789"), (3, 4, "3456"), (3, 0, ""), (8, 9, "89"), (20, 5, ""), (1, u64::MAX, "123456789")]
        {
            let mut text = String::new();
            Section::new(&file, offset, size).read_to_string(&mut text).unwrap();
            assert_eq!(text, expected, "{offset} {size}");
        }
    }
}
