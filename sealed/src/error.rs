//! Why something cannot be decrypted, or not be encrypted.

use std::io;

use consign_format::error::{Code, Coded, codes};
use consign_format::verify::Undecryptable;

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
    /// There is nobody to encrypt to.
    #[error("there is no recipient to encrypt to")]
    NoRecipient,
    /// More is to be encrypted than fits one message.
    #[error("the values are more than {limit} bytes")]
    TooLong {
        /// The bound.
        limit: u64,
    },
    /// What was decrypted is not all that it was said to be.
    #[error("what is encrypted does not hold every Secret that is said to be in it")]
    Incomplete,
    /// A file holds no usable key. Nothing of its content is repeated.
    #[error("this is no age key: {reason}")]
    Key {
        /// What is wrong with it.
        reason: &'static str,
    },
    /// It is encrypted, and no key was named.
    #[error("the bundle is encrypted, and no key was named (recipients: {recipients})")]
    NoKey {
        /// How many recipients it has.
        recipients: u64,
    },
    /// It is encrypted to others.
    #[error("the bundle is encrypted to others (recipients: {recipients}), and not to {recipient}")]
    NotForUs {
        /// How many recipients it has.
        recipients: u64,
        /// Whose key was tried.
        recipient: String,
    },
    /// It does not decrypt.
    #[error("what is encrypted was damaged or changed")]
    Damaged(#[from] Undecryptable),
    /// The operating system could not read or write.
    #[error("what is encrypted cannot be read or written")]
    Io(#[from] io::Error),
}

impl SealedError {
    pub(crate) fn damaged(reason: &'static str) -> Self {
        SealedError::Damaged(Undecryptable(reason))
    }
}

impl Coded for SealedError {
    fn code(&self) -> Code {
        match self {
            SealedError::Recipient { .. } | SealedError::NoRecipient => codes::RECIPIENT_INVALID,
            SealedError::Key { .. } => codes::KEY_MALFORMED,
            SealedError::TooLong { .. } => codes::OVER_LIMIT,
            SealedError::Incomplete => codes::CANNOT_DECRYPT,
            SealedError::NoKey { .. } | SealedError::NotForUs { .. } | SealedError::Damaged(_) => codes::CANNOT_DECRYPT,
            SealedError::Io(_) => codes::MEDIUM_UNREADABLE,
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            SealedError::Recipient { .. } | SealedError::NoRecipient => {
                "a recipient is one word that begins with age1; a site's stands in its site record, and `consign-site enrol` prints it"
            }
            SealedError::Key { .. } => {
                "the file of an age key has one line that begins with AGE-SECRET-KEY-1, as age-keygen and `consign-site enrol` write it"
            }
            SealedError::TooLong { .. } => "keep large files out of Secrets, or encrypt to fewer of them at once",
            SealedError::Incomplete => "have headquarters write the statement again with `consign secret`",
            SealedError::NoKey { .. } => "name the file of an age key it is encrypted to with --identity FILE",
            SealedError::NotForUs { .. } => {
                "bring a bundle that is encrypted to this recipient, or use the key of one it is encrypted to"
            }
            SealedError::Damaged(_) => Undecryptable::HINT,
            SealedError::Io(_) => "check the medium; copy the bundle again or use another one, nothing was changed",
        };
        Some(hint.to_owned())
    }
}
