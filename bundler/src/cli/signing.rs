//! Which keys sign: the same options for every command that signs.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use consign_format::error::Failure;
use consign_format::trust::keys::Signer;
use zeroize::Zeroizing;

use super::World;
use crate::signer::command::CommandSigner;
use crate::signer::{self, Access, Secret, SignerError, public};

/// Who signs.
#[derive(Debug, Default, clap::Args)]
#[command(next_help_heading = "Keys")]
pub(super) struct KeyArgs {
    /// A key that signs: a FILE (PKCS#8 PEM, Ed25519), ssh-agent:COMMENT, ssh-agent:SHA256:FINGERPRINT, or a token as
    /// pkcs11:token=LABEL;object=LABEL?module-path=FILE. May be given several times
    #[arg(long, env = "CONSIGN_KEY_FILE", value_name = "KEY")]
    pub(super) key: Vec<String>,
    #[command(flatten)]
    pub(super) passphrase: PassphraseArgs,
    /// A command that signs: it gets the bytes on standard input and writes the signature, 64 bytes as they are, in
    /// hexadecimal or base64
    #[arg(long, value_name = "COMMAND", requires = "public_key")]
    sign_command: Option<String>,
    /// The public key of --sign-command: 64 hexadecimal digits, or a file with them, a PEM or an OpenSSH public key
    #[arg(long, value_name = "KEY", requires = "sign_command")]
    public_key: Option<String>,
}

/// Where passphrases come from.
#[derive(Debug, Default, clap::Args)]
pub(super) struct PassphraseArgs {
    /// A file whose first line is the passphrase of encrypted keys, or the PIN of a token; without it a person is asked
    #[arg(long, env = "CONSIGN_KEY_PASSPHRASE_FILE", value_name = "FILE")]
    pub(super) passphrase_file: Option<PathBuf>,
}

impl PassphraseArgs {
    /// The passphrase, from the file or from the person at the terminal; nothing where there is neither.
    pub(super) fn ask(&self, what: &str) -> Result<Option<Secret>, SignerError> {
        if let Some(path) = &self.passphrase_file {
            let text = std::fs::read_to_string(path);
            let text = Zeroizing::new(text.map_err(|source| SignerError::Io { path: path.clone(), source })?);
            return Ok(Some(Zeroizing::new(text.lines().next().unwrap_or_default().to_owned())));
        }
        if !std::io::stdin().is_terminal() {
            return Ok(None);
        }
        let typed = rpassword::prompt_password(format!("{what}: "));
        let typed = typed.map_err(|source| SignerError::Io { path: "the terminal".into(), source })?;
        Ok(Some(Zeroizing::new(typed)))
    }
}

impl KeyArgs {
    /// Whether a key was named at all.
    pub(super) fn are_given(&self) -> bool {
        !self.key.is_empty() || self.sign_command.is_some()
    }

    /// Opens every signer that was named, or the one in `default` where none was.
    pub(super) fn open<'a>(
        &self,
        world: &'a World<'_>,
        default: Option<&Path>,
    ) -> Result<Vec<Box<dyn Signer + 'a>>, Failure> {
        let ask = |what: &str| self.passphrase.ask(what);
        let access = Access { environment: &world.environment, secret: &ask };
        let mut signers: Vec<Box<dyn Signer + 'a>> = Vec::new();
        let none = self.key.is_empty() && self.sign_command.is_none();
        let default = default.filter(|_| none).map(|path| path.display().to_string());
        for selector in self.key.iter().chain(&default) {
            let opened = signer::open(selector, access)?;
            opened.warning.iter().for_each(|warning| world.terminal.warn(warning));
            signers.push(opened.signer);
        }
        if let (Some(command), Some(public)) = (&self.sign_command, &self.public_key) {
            let public = public::read(public, access)?;
            let command = command.clone();
            signers.push(Box::new(CommandSigner { command, public, environment: &world.environment }));
        }
        Ok(signers)
    }

    /// Reads a public key, wherever it is.
    pub(super) fn public(&self, text: &str, world: &World<'_>) -> Result<[u8; 32], Failure> {
        let ask = |what: &str| self.passphrase.ask(what);
        Ok(public::read(text, Access { environment: &world.environment, secret: &ask })?)
    }
}
