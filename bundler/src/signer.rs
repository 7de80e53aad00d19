//! Who signs: a key file, an ssh-agent, a PKCS#11 token, or a command, behind the one trait of `format`.
//!
//! One word chooses among them wherever something is signed: `FILE`, `ssh-agent:SELECTOR`, `pkcs11:URI`. What any of
//! them returns is verified before it is used ([`consign_format::trust::keys::sign`]).

use std::io;
use std::path::{Path, PathBuf};

use consign_format::error::{Code, Coded, codes};
use consign_format::trust::keys::Signer;
use zeroize::Zeroizing;

use crate::tool::{Environment, ToolError};

pub mod command;
pub mod key_file;
pub mod pkcs11;
pub mod public;
mod ssh_agent;
mod uri;

/// A passphrase or PIN; wiped when it is dropped.
pub type Secret = Zeroizing<String>;

/// Where a passphrase comes from: it is told what the secret is for.
pub type AskSecret<'a> = &'a dyn Fn(&str) -> Result<Option<Secret>, SignerError>;

/// What signers may use of the world.
#[derive(Clone, Copy)]
pub struct Access<'a> {
    /// The environment: where the agent listens, and what a command sees.
    pub environment: &'a Environment,
    /// Where passphrases and PINs come from; nothing where there is neither a file nor a person.
    pub secret: AskSecret<'a>,
}

/// A signer that is ready.
pub struct Opened {
    /// It.
    pub signer: Box<dyn Signer>,
    /// What the person who signs should know.
    pub warning: Option<String>,
}

/// Why a signer cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SignerError {
    /// There is no key file.
    #[error("there is no signing key: {} is not there", path.display())]
    NoKey {
        /// The file that was looked for.
        path: PathBuf,
    },
    /// A file cannot be read.
    #[error("{} cannot be read", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// A key file is no Ed25519 private key.
    #[error("{} is no Ed25519 private key in PKCS#8 PEM: {reason}", path.display())]
    Form {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A text or file is no Ed25519 public key.
    #[error("`{text}` is no Ed25519 public key")]
    Public {
        /// What was given.
        text: String,
    },
    /// A passphrase or PIN is needed, and there is none.
    #[error("{what} is needed, and there is neither a file with it nor a terminal to ask at")]
    NoSecret {
        /// Such as `the passphrase of k.pem`.
        what: String,
    },
    /// A passphrase or PIN does not open the key.
    #[error("{what} is not the right one")]
    WrongSecret {
        /// Such as `the passphrase of k.pem`.
        what: String,
    },
    /// A selector cannot be meant.
    #[error("`{selector}` chooses no key: {reason}")]
    Selector {
        /// What was given.
        selector: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The agent or the token has no such key, or several.
    #[error("{place} has {found} Ed25519 keys that `{selector}` means; it has to be one")]
    Which {
        /// The agent or the token.
        place: String,
        /// What was given.
        selector: String,
        /// How many there are.
        found: usize,
    },
    /// The agent cannot be reached, or answers nonsense.
    #[error("the ssh-agent does not answer as it should: {reason}")]
    Agent {
        /// What is wrong.
        reason: String,
    },
    /// The token cannot be used.
    #[error("the PKCS#11 token cannot be used: {reason}")]
    Token {
        /// What is wrong.
        reason: String,
    },
    /// The machine gave no randomness.
    #[error("the machine gives no random bytes: {0}")]
    Random(String),
    /// A command that signs failed.
    #[error(transparent)]
    Command(#[from] ToolError),
}

impl Coded for SignerError {
    fn code(&self) -> Code {
        match self {
            SignerError::NoKey { .. } => codes::KEY_MISSING,
            SignerError::Io { .. } | SignerError::Random(_) => codes::IO,
            SignerError::Form { .. } | SignerError::Public { .. } => codes::KEY_MALFORMED,
            SignerError::NoSecret { .. } | SignerError::WrongSecret { .. } => codes::KEY_LOCKED,
            SignerError::Selector { .. } | SignerError::Which { .. } => codes::USAGE,
            SignerError::Agent { .. } | SignerError::Token { .. } | SignerError::Command(_) => codes::SIGNER_FAILED,
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            SignerError::NoKey { .. } => "set CONSIGN_KEY_FILE, or make a development key with `consign keys new`",
            SignerError::Form { .. } => "`openssl genpkey -algorithm ed25519` makes one",
            SignerError::Public { .. } => {
                "give 64 hexadecimal digits, or a file with them, with a PEM public key or with an `ssh-ed25519` line"
            }
            SignerError::NoSecret { .. } => "name a file that holds it with --passphrase-file",
            SignerError::WrongSecret { .. } => "look for a trailing space; a token locks itself after a few wrong PINs",
            SignerError::Selector { .. } => "a key is a FILE, ssh-agent:COMMENT-OR-FINGERPRINT or pkcs11:URI",
            SignerError::Which { .. } => "`ssh-add -l` or `pkcs11-tool -O` lists what is there",
            SignerError::Agent { .. } => "start an agent, `ssh-add` the key, and see that SSH_AUTH_SOCK is set",
            SignerError::Token { .. } => {
                "check module-path, token and object of the URI; where modules cannot be loaded, sign with --sign-command"
            }
            SignerError::Io { .. } | SignerError::Random(_) | SignerError::Command(_) => return None,
        };
        Some(hint.to_owned())
    }
}

const AGENT: &str = "ssh-agent:";
const TOKEN: &str = "pkcs11:";

/// Opens the signer that a selector means: `FILE`, `ssh-agent:SELECTOR` or `pkcs11:URI`.
///
/// # Errors
/// [`SignerError`].
pub fn open(selector: &str, access: Access<'_>) -> Result<Opened, SignerError> {
    if let Some(wanted) = selector.strip_prefix(AGENT) {
        return Ok(Opened { signer: Box::new(ssh_agent::open(wanted, access)?), warning: None });
    }
    if selector.starts_with(TOKEN) {
        return Ok(Opened { signer: Box::new(pkcs11::open(selector, access)?), warning: None });
    }
    let opened = key_file::read(Path::new(selector), access.secret)?;
    Ok(Opened { signer: Box::new(opened.key), warning: opened.warning })
}

/// Tells whether a selector names a key in an agent or on a token, which has a public part to be asked for.
fn is_elsewhere(selector: &str) -> bool {
    selector.starts_with(AGENT) || selector.starts_with(TOKEN)
}
