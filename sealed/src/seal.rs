//! Encrypting a finished bundle: written once, from front to back, but for the headers of two members, whose lengths
//! are known when they end.

use std::collections::BTreeSet;
use std::io::{self, BufWriter, Seek, SeekFrom, Write};

use consign_format::archive::header::{self, BLOCK, END_LENGTH};

use crate::message::{self, Encrypting};
use crate::{
    FORMAT_MEMBER, FORMAT_VERSION, HEAD_MEMBER, KEYS_MEMBER, PAYLOAD_MEMBER, Recipient, SealedError, SiteKey, slots,
};

/// An encrypted bundle under way: what is written to it is its payload.
pub struct Sealing<W: Write> {
    stream: Encrypting<W>,
    header_at: u64,
}

/// Begins an encrypted bundle: everything up to the payload. `head` is the plain bundle up to its boundary; the rest of
/// it is to be written to what is returned.
///
/// The bundle gets a key of its own, and head and payload each a file key of their own, all fresh: two encryptions of
/// one bundle share no key stream.
///
/// # Errors
/// [`SealedError::NoRecipient`], or what the writer says.
pub fn seal<W: Write + Seek>(
    mut out: W,
    recipients: &BTreeSet<Recipient>,
    head: &[u8],
) -> Result<Sealing<W>, SealedError> {
    if recipients.is_empty() {
        return Err(SealedError::NoRecipient);
    }
    let bundle_key = SiteKey::generate();
    let at = begin(&mut out)?;
    out.write_all(FORMAT_VERSION)?;
    end(&mut out, FORMAT_MEMBER, at)?;
    let at = begin(&mut out)?;
    let mut keys = BufWriter::with_capacity(64 * 1024, &mut out);
    slots::write(&mut keys, recipients, &bundle_key)?;
    keys.flush()?;
    drop(keys);
    end(&mut out, KEYS_MEMBER, at)?;
    let to = bundle_key.recipient();
    let at = begin(&mut out)?;
    let mut stream = message::encrypting(&to, &mut out)?;
    stream.write_all(head)?;
    stream.finish()?;
    end(&mut out, HEAD_MEMBER, at)?;
    let header_at = begin(&mut out)?;
    Ok(Sealing { stream: message::encrypting(&to, out)?, header_at })
}

impl<W: Write> Write for Sealing<W> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.stream.write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

impl<W: Write + Seek> Sealing<W> {
    /// Ends the bundle. Without this it is none: its last header is missing.
    ///
    /// # Errors
    /// What the writer says.
    pub fn finish(self) -> io::Result<W> {
        let mut out = self.stream.finish()?;
        end(&mut out, PAYLOAD_MEMBER, self.header_at)?;
        zeros(&mut out, END_LENGTH)?;
        Ok(out)
    }
}

/// Leaves room for a member's header and returns where.
fn begin(out: &mut (impl Write + Seek)) -> io::Result<u64> {
    let at = out.stream_position()?;
    zeros(out, BLOCK)?;
    Ok(at)
}

/// Pads a member and writes its header.
fn end(out: &mut (impl Write + Seek), name: &str, header_at: u64) -> io::Result<()> {
    let length = out.stream_position()? - header_at - BLOCK;
    zeros(out, header::padding(length))?;
    let end = out.stream_position()?;
    out.seek(SeekFrom::Start(header_at))?;
    out.write_all(&header::canonical(name, length).map_err(io::Error::other)?)?;
    out.seek(SeekFrom::Start(end))?;
    Ok(())
}

fn zeros(out: &mut impl Write, length: u64) -> io::Result<()> {
    io::copy(&mut io::Read::take(io::repeat(0), length), out).map(|_| ())
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    /// A disk with so much room.
    struct Disk {
        bytes: Cursor<Vec<u8>>,
        room: u64,
    }

    impl Write for Disk {
        fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
            let left = self.room.saturating_sub(self.bytes.position()).min(buf.len() as u64) as usize;
            if left == 0 && !buf.is_empty() {
                Err(io::ErrorKind::StorageFull.into())
            } else {
                self.bytes.write(&buf[..left])
            }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Seek for Disk {
        fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
            self.bytes.seek(to)
        }
    }

    fn sealed_in(room: u64) -> Result<u64, io::Error> {
        let disk = Disk { bytes: Cursor::new(Vec::new()), room };
        let recipients = BTreeSet::from([SiteKey::generate().recipient()]);
        let mut sealing = seal(disk, &recipients, &[7; 3000]).map_err(|error| match error {
            SealedError::Io(error) => error,
            other => panic!("{other}"),
        })?;
        sealing.write_all(&[7; 5000])?;
        Ok(sealing.finish()?.bytes.into_inner().len() as u64)
    }

    #[test]
    fn a_disk_that_is_full_is_called_that_wherever_it_ends() {
        let whole = sealed_in(u64::MAX).unwrap();
        // The lengths of age's headers vary a little.
        for room in (0..whole - 1024).step_by(61) {
            assert_eq!(sealed_in(room).unwrap_err().kind(), io::ErrorKind::StorageFull, "{room} of {whole} bytes");
        }
    }
}
