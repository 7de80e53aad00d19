//! A command that signs: the bytes on its standard input, the signature on its standard output. The way to every key
//! service that has a command line.

use std::process::Command;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use consign_format::trust::keys::{SignError, Signer};

use crate::tool::{self, Bounds, Environment};

/// A signature is 64 bytes, 128 in digits; a program may add a line feed.
const BOUNDS: Bounds = Bounds { output: 4096, time: Duration::from_secs(120) };

/// A signer that is a command of the shell.
pub struct CommandSigner<'a> {
    /// The command, as `sh -c` takes it: it is the words of whoever runs the program.
    pub command: String,
    /// The public key that its signatures are held against.
    pub public: [u8; 32],
    /// The variables it sees.
    pub environment: &'a Environment,
}

impl Signer for CommandSigner<'_> {
    fn public(&self) -> [u8; 32] {
        self.public
    }

    fn sign(&self, bytes: &[u8]) -> Result<[u8; 64], SignError> {
        let mut command = Command::new("/bin/sh");
        command.arg("-c").arg(&self.command).env_clear().envs(self.environment.variables());
        let output = tool::run_with_input(&mut command, bytes.to_vec(), BOUNDS).map_err(|error| {
            let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
            SignError::Signer(format!("`{}`: {error}{cause}", self.command))
        })?;
        parse(&output.stdout).ok_or_else(|| {
            let length = output.stdout.len();
            SignError::Signer(format!("`{}` wrote {length} bytes that are no signature", self.command))
        })
    }
}

/// 64 bytes as they are, or in hexadecimal or base64 with white space around.
fn parse(output: &[u8]) -> Option<[u8; 64]> {
    if let Ok(raw) = output.try_into() {
        return Some(raw);
    }
    let text = std::str::from_utf8(output).ok()?.trim();
    let mut bytes = [0; 64];
    match hex::decode_to_slice(text, &mut bytes) {
        Ok(()) => Some(bytes),
        Err(_) => STANDARD.decode(text).ok()?.try_into().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use consign_format::trust::keys::{SecretKey, sign};

    #[test]
    fn a_signature_comes_in_three_forms() {
        let raw = [0xa5; 64];
        for text in [hex::encode(raw), format!("{}\n", hex::encode(raw)), STANDARD.encode(raw)] {
            assert_eq!(parse(text.as_bytes()), Some(raw), "{text}");
        }
        assert_eq!(parse(&raw), Some(raw));
        for other in [&raw[1..], b"", b"signature"] {
            assert_eq!(parse(other), None);
        }
    }

    #[test]
    fn what_comes_back_is_held_against_the_public_key() {
        let environment = Environment::new([("PATH".into(), "/usr/bin:/bin".into())]);
        let key = SecretKey::from_seed(&[4; 32]);
        let dir = tempfile::tempdir().unwrap();
        let pem = dir.path().join("k.pem");
        std::fs::write(&pem, key.to_pem().unwrap()).unwrap();
        let run = |command: String| {
            let signer = CommandSigner { command, public: key.public(), environment: &environment };
            sign(&"text", &[&signer])
        };
        let command =
            format!("t=$(mktemp); cat >$t; openssl pkeyutl -sign -rawin -inkey {} -in $t; rm $t", pem.display());
        assert_eq!(run(command).unwrap(), sign(&"text", &[&key]).unwrap());
        let wrong = run("head -c 64 /dev/zero".to_owned()).unwrap_err();
        assert!(matches!(wrong, SignError::Wrong(_)), "{wrong}");
        for command in ["exit 3", "yes", "echo no", "no-such-program-at-all"] {
            let error = run(command.to_owned()).unwrap_err();
            assert!(matches!(error, SignError::Signer(_)), "{command}: {error}");
        }
    }
}
