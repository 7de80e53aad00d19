//! A site's age key: an X25519 identity, and the recipient that others encrypt to.

use std::fmt;
use std::str::FromStr;

use age::secrecy::ExposeSecret;
use age::x25519;
use consign_format::Digest;

use crate::SealedError;

/// The secret half: who has it reads what is encrypted to its [`Recipient`].
#[derive(Clone)]
pub struct SiteKey(pub(crate) x25519::Identity);

/// The public half, written `age1…`: 62 characters of Bech32 (age-encryption.org/v1, "The X25519 recipient type").
///
/// Ordered by its [`id`](Recipient::id), which is how an encrypted bundle lists its recipients.
#[derive(Clone)]
pub struct Recipient {
    pub(crate) key: x25519::Recipient,
    text: String,
    id: Digest,
}

impl SiteKey {
    /// Makes a key from the operating system's randomness.
    pub fn generate() -> Self {
        SiteKey(x25519::Identity::generate())
    }

    /// Reads an age identity file: one line `AGE-SECRET-KEY-1…`; empty lines and lines that begin with `#` are passed
    /// over.
    ///
    /// # Errors
    /// [`SealedError::Key`]: no such line, several, or another kind of key.
    pub fn from_text(text: &str) -> Result<Self, SealedError> {
        let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        let line = lines.next().ok_or(SealedError::Key { reason: "it is empty" })?;
        if lines.next().is_some() {
            return Err(SealedError::Key { reason: "it has more than one line" });
        }
        line.parse().map(SiteKey).map_err(|reason| SealedError::Key { reason })
    }

    /// Writes the key as an age identity file, the recipient in a comment, so that plain `age` can use it too.
    /// To be kept where only its owner can read it.
    pub fn to_text(&self) -> String {
        format!("# public key: {}\n{}\n", self.recipient(), self.secret())
    }

    /// The line `AGE-SECRET-KEY-1…` alone.
    pub(crate) fn secret(&self) -> String {
        self.0.to_string().expose_secret().to_owned()
    }

    /// The recipient that others encrypt to.
    pub fn recipient(&self) -> Recipient {
        Recipient::of(self.0.to_public())
    }
}

impl fmt::Debug for SiteKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SiteKey({})", self.recipient())
    }
}

impl Recipient {
    fn of(key: x25519::Recipient) -> Self {
        let text = key.to_string();
        let id = Digest::of(text.as_bytes());
        Recipient { key, text, id }
    }

    /// Its text, `age1…`.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The sha256 of its text: the name under which an encrypted bundle has its key.
    pub fn id(&self) -> &Digest {
        &self.id
    }
}

impl FromStr for Recipient {
    type Err = SealedError;

    fn from_str(text: &str) -> Result<Self, SealedError> {
        let refused = |reason| SealedError::Recipient { text: text.to_owned(), reason };
        let recipient = text.parse().map(Recipient::of).map_err(refused)?;
        // Bech32 may be written in capitals; a recipient has one text, because its id is made of it.
        if recipient.text == text { Ok(recipient) } else { Err(refused("it is not in lower case")) }
    }
}

impl fmt::Display for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Recipient({})", self.text)
    }
}

impl PartialEq for Recipient {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl Eq for Recipient {}

impl PartialOrd for Recipient {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Recipient {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.id.cmp(&other.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `age-keygen` printed, from the age specification's test vectors.
    const FOREIGN: &str = "# created: 2026-01-01T00:00:00Z\n# public key: age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj\nAGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX\n";

    #[test]
    fn a_key_survives_its_file() {
        let key = SiteKey::generate();
        let again = SiteKey::from_text(&key.to_text()).unwrap();
        assert_eq!(again.recipient(), key.recipient());
        assert_eq!(again.recipient().as_str().len(), 62);
        assert_ne!(SiteKey::generate().recipient(), key.recipient());
    }

    #[test]
    fn a_file_of_age_keygen_is_read() {
        let key = SiteKey::from_text(FOREIGN).unwrap();
        assert!(FOREIGN.contains(&format!("public key: {}\n", key.recipient())));
    }

    #[test]
    fn a_key_is_never_shown() {
        let key = SiteKey::generate();
        assert!(!format!("{key:?}").to_uppercase().contains("SECRET"));
        let error = SiteKey::from_text("AGE-SECRET-KEY-1NOTQUITE").unwrap_err();
        assert!(!format!("{error} {error:?}").contains("NOTQUITE"));
    }

    #[test]
    fn what_is_no_key_is_refused() {
        for text in ["", "# nothing\n", "age1xyz", "AGE-SECRET-KEY-1", &FOREIGN.repeat(2)] {
            assert!(matches!(SiteKey::from_text(text), Err(SealedError::Key { .. })), "{text}");
        }
    }

    #[test]
    fn a_recipient_has_one_text() {
        let text = SiteKey::generate().recipient().to_string();
        assert_eq!(text.parse::<Recipient>().unwrap().as_str(), text);
        let flipped = text.replace(text.chars().last().unwrap(), "b");
        for other in [text.to_uppercase(), format!(" {text}"), text[..61].to_owned(), flipped, String::new()] {
            assert!(matches!(other.parse::<Recipient>(), Err(SealedError::Recipient { .. })), "{other}");
        }
    }
}
