//! Reading an encrypted bundle: one stream that is the plain bundle, decrypted while it is read.
//!
//! Nothing is written anywhere, and 64 KiB of each of the two parts are in memory. What decrypts is not thereby
//! trusted: anybody who knows a recipient can encrypt to it.

use std::cell::RefCell;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::iter;
use std::rc::Rc;

use age::Decryptor;
use age::stream::StreamReader;
use consign_format::archive::header::{self, BLOCK, END_LENGTH};

use crate::section::{Section, Shared};
use crate::{
    FORMAT_MEMBER, FORMAT_VERSION, HEAD_MEMBER, KEYS_MEMBER, PAYLOAD_MEMBER, SealedError, SiteKey, message, slots,
};

/// Plain bytes in one chunk of an age file, and what encryption adds to it.
const CHUNK: u64 = 64 * 1024;
const TAG: u64 = 16;
/// Between the header of an age file and its first chunk.
const NONCE: u64 = 16;

/// Says whether a medium holds an encrypted bundle, by the name of its first member, and goes back to its beginning.
///
/// # Errors
/// What the medium says.
pub fn is_sealed(medium: &mut (impl Read + Seek)) -> io::Result<bool> {
    let mut name = [0; FORMAT_MEMBER.len() + 1];
    medium.seek(SeekFrom::Start(0))?;
    let mut filled = 0;
    while filled < name.len() {
        match medium.read(&mut name[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    medium.seek(SeekFrom::Start(0))?;
    Ok(name.strip_suffix(&[0]) == Some(FORMAT_MEMBER.as_bytes()))
}

/// The plain bundle in an encrypted one.
///
/// What does not decrypt is an error that carries a [`consign_format::verify::Undecryptable`]; what the operating system says of the medium
/// is handed on as it is.
pub struct Unsealed<R: Read + Seek> {
    shared: Rc<RefCell<Shared<R>>>,
    head: Part<R>,
    payload: Part<R>,
    at: u64,
    ciphertext_end: u64,
    ended: bool,
}

/// An age file of which the plain length is known.
struct Part<R: Read + Seek> {
    stream: StreamReader<BufReader<Section<R>>>,
    length: u64,
}

impl<R: Read + Seek> Unsealed<R> {
    /// Opens an encrypted bundle with the key of one of its recipients. Of the slots of others nothing is read but ids.
    ///
    /// # Errors
    /// [`SealedError`]: no key, one it is not encrypted to, something that is not whole.
    pub fn open(medium: R, key: Option<&SiteKey>) -> Result<Self, SealedError> {
        let shared = Shared::new(medium)?;
        let length = shared.borrow_mut().length()?;
        let mut format = member(&shared, 0, FORMAT_MEMBER, length)?;
        let mut version = Vec::new();
        (&mut format).take(16).read_to_end(&mut version)?;
        if version != FORMAT_VERSION {
            return Err(SealedError::damaged("it is of a version that this program does not read"));
        }
        let keys = member(&shared, end_of(&format), KEYS_MEMBER, length)?;
        let (keys_end, recipients) = (end_of(&keys), keys.length() / slots::SIZE);
        if keys.length() % slots::SIZE != 0 {
            return Err(SealedError::damaged("its list of recipients is malformed"));
        }
        let Some(key) = key else { return Err(SealedError::NoKey { recipients }) };
        let recipient = || key.recipient().to_string();
        let bundle_key = slots::find(keys, recipients, key)?
            .ok_or_else(|| SealedError::NotForUs { recipients, recipient: recipient() })?;
        let head = member(&shared, keys_end, HEAD_MEMBER, length)?;
        let payload = member(&shared, end_of(&head), PAYLOAD_MEMBER, length)?;
        for section in [&format, &head] {
            let end = section.start() + section.length();
            zeros(Section::new(&shared, end, header::padding(section.length())))?;
        }
        let ciphertext_end = payload.start() + payload.length();
        if length < end_of(&payload) + END_LENGTH {
            return Err(SealedError::damaged("it ends early"));
        }
        let (head, payload) = (Part::open(head, &bundle_key)?, Part::open(payload, &bundle_key)?);
        Ok(Unsealed { shared, head, payload, at: 0, ciphertext_end, ended: false })
    }

    /// Where the encrypted bundle has to end on its medium.
    pub fn medium_length(&self) -> u64 {
        // Headers and padding fill whole blocks, so the offset has the padding of the member's length.
        self.ciphertext_end + header::padding(self.ciphertext_end) + END_LENGTH
    }

    /// How long the plain bundle is.
    pub fn length(&self) -> u64 {
        self.head.length + self.payload.length
    }

    /// The end of the plain bundle is reached: so must the end of the encrypted one be.
    fn end(&mut self) -> Result<(), SealedError> {
        let end = self.medium_length();
        zeros(Section::new(&self.shared, self.ciphertext_end, end - self.ciphertext_end))?;
        let mut more = Section::new(&self.shared, end, 1);
        match read_fully(&mut more, &mut [0; 1])? {
            true => Err(SealedError::damaged("bytes follow its end")),
            false => Ok(()),
        }
    }
}

impl<R: Read + Seek> Read for Unsealed<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        let boundary = self.head.length;
        let read = match self.at {
            at if at < boundary => self.head.read(buf, boundary - at)?,
            at if at < self.length() => self.payload.read(buf, self.length() - at)?,
            _ if self.ended => 0,
            _ => {
                self.end().map_err(into_io)?;
                self.ended = true;
                0
            }
        };
        self.at += read as u64;
        Ok(read)
    }
}

impl<R: Read + Seek> Seek for Unsealed<R> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let target = match to {
            SeekFrom::Start(target) => Some(target),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
            SeekFrom::End(by) => self.length().checked_add_signed(by),
        };
        // Beyond the end there is no chunk to begin in.
        let target = target.filter(|target| *target <= self.length()).ok_or(io::ErrorKind::InvalidInput)?;
        let boundary = self.head.length;
        if target < boundary {
            self.head.seek(target)?;
            self.payload.seek(0)?;
        } else {
            self.payload.seek(target - boundary)?;
        }
        self.at = target;
        Ok(target)
    }
}

impl<R: Read + Seek> Part<R> {
    fn open(mut file: Section<R>, key: &SiteKey) -> Result<Self, SealedError> {
        let start = crate::header::measure(&mut file)?? + NONCE;
        let ciphertext = file.length().saturating_sub(start);
        file.seek(SeekFrom::Start(0))?;
        // Chunks are larger than the buffer and pass it by; it is for the header.
        let decryptor = Decryptor::new_buffered(BufReader::with_capacity(4096, file)).map_err(message::refused)?;
        let stream = decryptor.decrypt(iter::once(&key.0 as &dyn age::Identity)).map_err(message::refused)?;
        let chunks = ciphertext.div_ceil(CHUNK + TAG);
        let length = ciphertext.checked_sub(chunks * TAG).filter(|_| chunks > 0);
        let length = length.ok_or_else(|| SealedError::damaged("a part of it ends early"))?;
        Ok(Part { stream, length })
    }

    /// Reads at most `left`, the bytes to the end of the part; who reads the last also finds the end to be authentic.
    fn read(&mut self, buf: &mut [u8], left: u64) -> io::Result<usize> {
        let room = buf.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let read = self.stream.read(&mut buf[..room]).map_err(tell)?;
        if read == 0 {
            return Err(tell(io::ErrorKind::UnexpectedEof.into()));
        }
        if read as u64 == left && self.stream.read(&mut [0; 1]).map_err(tell)? != 0 {
            return Err(into_io(SealedError::damaged("a part of it goes on behind its end")));
        }
        Ok(read)
    }

    fn seek(&mut self, target: u64) -> io::Result<()> {
        self.stream.seek(SeekFrom::Start(target)).map_err(tell).map(|_| ())
    }
}

/// The content of the member whose header lies at an offset.
fn member<R: Read + Seek>(
    shared: &Rc<RefCell<Shared<R>>>,
    offset: u64,
    expected: &str,
    length: u64,
) -> Result<Section<R>, SealedError> {
    let mut block = [0; BLOCK as usize];
    if !read_fully(&mut Section::new(shared, offset, BLOCK), &mut block)? {
        return Err(SealedError::damaged("it ends early"));
    }
    let (name, size) = header::parse(&block).map_err(|_| SealedError::damaged("a header is not the canonical one"))?;
    if name != expected {
        return Err(SealedError::damaged("its members are not the expected ones"));
    }
    let section = Section::new(shared, offset + BLOCK, size);
    if end_of(&section) > length {
        return Err(SealedError::damaged("it ends early"));
    }
    Ok(section)
}

/// Where the next member's header lies.
fn end_of<R>(section: &Section<R>) -> u64 {
    // Both are below 2^53 and 2^63: sizes by the header's form, offsets by the medium's length.
    section.start() + section.length() + header::padding(section.length())
}

/// Fills a buffer; `false` where the section ends before.
fn read_fully<R: Read + Seek>(section: &mut Section<R>, buf: &mut [u8]) -> io::Result<bool> {
    match section.read_exact(buf) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

/// Demands zeros, of a length below two kilobytes.
fn zeros<R: Read + Seek>(mut section: Section<R>) -> Result<(), SealedError> {
    let mut found = Vec::new();
    section.read_to_end(&mut found)?;
    match found.len() as u64 == section.length() && found.iter().all(|byte| *byte == 0) {
        true => Ok(()),
        false => Err(SealedError::damaged("its padding or its end is not zero")),
    }
}

/// What age says of a chunk. An error with a number is the operating system's, and about the medium.
fn tell(error: io::Error) -> io::Error {
    match (error.raw_os_error(), error.kind()) {
        (Some(_), _) | (None, io::ErrorKind::Interrupted) => error,
        (None, io::ErrorKind::UnexpectedEof) => into_io(SealedError::damaged("it ends early")),
        (None, _) => into_io(SealedError::damaged("a part of it does not hold")),
    }
}

fn into_io(error: SealedError) -> io::Error {
    match error {
        SealedError::Io(error) => error,
        SealedError::Damaged(reason) => io::Error::new(io::ErrorKind::InvalidData, reason),
        other => io::Error::other(other),
    }
}
