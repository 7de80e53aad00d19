//! Small messages to one recipient, each an age file of its own.

use std::io::{BufWriter, IntoInnerError, Read, Write};
use std::iter;

use age::{Decryptor, Encryptor};

use crate::{Recipient, SealedError, SiteKey, header};

/// Encrypts a message. The result is some 200 to 400 bytes longer: age adds grease of a random length.
///
/// # Errors
/// [`SealedError::Io`], which memory never gives.
pub fn encrypt(recipient: &Recipient, plain: &[u8]) -> Result<Vec<u8>, SealedError> {
    let mut writer = encrypting(recipient, Vec::new())?;
    writer.write_all(plain)?;
    Ok(writer.finish()?)
}

/// A message that is encrypted while it is written. Without [`Encrypting::finish`] it is none.
pub struct Encrypting<W: Write>(age::stream::StreamWriter<BufWriter<W>>);

/// Begins a message of any length.
///
/// # Errors
/// None that the output gives: the head waits for the first of the message, because age hides in words of its own what
/// the operating system said of a head, such as that the disk is full.
pub fn encrypting<W: Write>(recipient: &Recipient, out: W) -> Result<Encrypting<W>, SealedError> {
    Ok(Encrypting(encryptor(recipient)?.wrap_output(BufWriter::new(out))?))
}

impl<W: Write> Encrypting<W> {
    /// Writes the end, and gives back what it was written to.
    ///
    /// # Errors
    /// What that says.
    pub fn finish(self) -> std::io::Result<W> {
        self.0.finish()?.into_inner().map_err(IntoInnerError::into_error)
    }
}

impl<W: Write> Write for Encrypting<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0.flush()
    }
}

/// Decrypts a message. `limit` bounds the plain bytes.
///
/// # Errors
/// [`SealedError::Damaged`]: it is not encrypted to this key, not whole, or longer than the limit.
pub fn decrypt(key: &SiteKey, message: &[u8], limit: u64) -> Result<Vec<u8>, SealedError> {
    header::measure(message)??;
    let decryptor = Decryptor::new_buffered(message).map_err(refused)?;
    let stream = decryptor.decrypt(iter::once(&key.0 as &dyn age::Identity)).map_err(refused)?;
    let mut plain = Vec::new();
    stream
        .take(limit.saturating_add(1))
        .read_to_end(&mut plain)
        .map_err(|_| SealedError::damaged("a part of it does not hold"))?;
    if plain.len() as u64 > limit {
        return Err(SealedError::damaged("it is longer than it may be"));
    }
    Ok(plain)
}

fn encryptor(recipient: &Recipient) -> Result<Encryptor, SealedError> {
    let one = iter::once(&recipient.key as &dyn age::Recipient);
    // There is one recipient and it is no passphrase: the cases that age could refuse.
    Encryptor::with_recipients(one).map_err(|error| SealedError::Io(std::io::Error::other(error.to_string())))
}

/// What age says of a header, without the languages it says it in.
pub(crate) fn refused(error: age::DecryptError) -> SealedError {
    match error {
        age::DecryptError::Io(source) if source.raw_os_error().is_some() => SealedError::Io(source),
        age::DecryptError::NoMatchingKeys => SealedError::damaged("it is encrypted to another key"),
        age::DecryptError::InvalidMac => SealedError::damaged("its header was changed"),
        _ => SealedError::damaged("its header is none"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_recipient_reads_a_message() {
        let (key, other) = (SiteKey::generate(), SiteKey::generate());
        let message = encrypt(&key.recipient(), b"hunter2").unwrap();
        assert_eq!(decrypt(&key, &message, 7).unwrap(), b"hunter2");
        assert!(decrypt(&key, &message, 6).is_err());
        assert!(decrypt(&other, &message, 7).is_err());
    }

    #[test]
    fn what_the_operating_system_says_of_the_output_is_passed_on() {
        struct Full;
        impl Write for Full {
            fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
                Err(std::io::ErrorKind::StorageFull.into())
            }

            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        for length in [0, 1, 1 << 20] {
            let mut message = encrypting(&SiteKey::generate().recipient(), Full).unwrap();
            let said = message.write_all(&vec![0; length]).and_then(|()| message.finish().map(drop)).unwrap_err();
            assert_eq!(said.kind(), std::io::ErrorKind::StorageFull, "{length}: {said}");
        }
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_refused() {
        let key = SiteKey::generate();
        let message = encrypt(&key.recipient(), b"hunter2").unwrap();
        for at in 0..message.len() {
            let mut flipped = message.clone();
            flipped[at] ^= 1 << (at % 8);
            assert!(decrypt(&key, &flipped, 100).is_err(), "byte {at}");
            assert!(decrypt(&key, &message[..at], 100).is_err(), "the first {at} bytes");
        }
        assert!(decrypt(&key, &[&message[..], b"x"].concat(), 100).is_err());
    }

    #[test]
    fn four_thousand_recipients_are_refused_before_age_reads_them() {
        let stanza =
            "-> X25519 TEiF0ypqr+bpvcqXNyCVJpL7OuwPdVwPL7KQEbFDOCc\nEmECAEcKN+n/Vs9SbWiV+Hu0r+E8R77DdWYyd83nw7U\n";
        let message = format!("age-encryption.org/v1\n{}--- mac\n", stanza.repeat(4000));
        let error = decrypt(&SiteKey::generate(), message.as_bytes(), 100).unwrap_err();
        assert!(matches!(error, SealedError::Damaged(reason) if reason.0 == "its header names too many recipients"));
    }
}
