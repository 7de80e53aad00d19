//! Why something cannot be decrypted, or not be encrypted.

use std::io;

use consign_format::error::{Code, Coded, codes};

/// What can be wrong with keys and with what is encrypted to them.
///
/// A cipher does not tell a damaged medium from a forged one, so whatever does not decrypt has one code.
#[derive(Debug, thiserror::Error)]
pub enum SealedError {
    /// A text is no recipient.
    #[error("`{text}` is no age recipient: {reason}")]
    Recipient {
        /// What was given.
        text: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A file holds no usable key. Nothing of its content is repeated.
    #[error("this is no age key: {reason}")]
    Key {
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The operating system could not read or write.
    #[error("what is encrypted cannot be read or written")]
    Io(#[from] io::Error),
}

impl Coded for SealedError {
    fn code(&self) -> Code {
        match self {
            SealedError::Recipient { .. } => codes::RECIPIENT_INVALID,
            SealedError::Key { .. } => codes::KEY_MALFORMED,
            SealedError::Io(_) => codes::MEDIUM_UNREADABLE,
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            SealedError::Recipient { .. } => {
                "a recipient is one word that begins with age1; a site's stands in its site record, and `consign-site enrol` prints it"
            }
            SealedError::Key { .. } => {
                "the file of an age key has one line that begins with AGE-SECRET-KEY-1, as age-keygen and `consign-site enrol` write it"
            }
            SealedError::Io(_) => "the medium is damaged; copy the bundle again or use another medium, nothing was changed",
        };
        Some(hint.to_owned())
    }
}
