//! Public keys as people hand them over: 64 hexadecimal digits, or a file with those digits, with a PEM public key
//! (RFC 8410) or with the line of an OpenSSH key (RFC 8709).

use std::fs::File;
use std::io::Read;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use pkcs8::der::Document;

use super::{Access, SignerError};

/// Everything before the 32 bytes in the DER of an Ed25519 public key (RFC 8410 §4).
const SPKI: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
/// Everything before the 32 bytes in the blob of an OpenSSH key.
const SSH: &[u8] = b"\0\0\0\x0bssh-ed25519\0\0\0\x20";
/// Longer files are no public keys.
const LIMIT: u64 = 16 * 1024;

/// Reads a public key: digits, a file, or what an agent or token says of the key that a selector means.
///
/// # Errors
/// [`SignerError`].
pub fn read(text: &str, access: Access<'_>) -> Result<[u8; 32], SignerError> {
    if super::is_elsewhere(text) {
        return Ok(super::open(text, access)?.signer.public());
    }
    read_plain(text).ok_or_else(|| SignerError::Public { text: text.to_owned() })
}

/// The same, without asking an agent or token.
pub(super) fn read_plain(text: &str) -> Option<[u8; 32]> {
    parse(text).or_else(|| {
        let mut content = String::new();
        File::open(Path::new(text)).ok()?.take(LIMIT).read_to_string(&mut content).ok()?;
        parse(&content)
    })
}

fn parse(text: &str) -> Option<[u8; 32]> {
    let text = text.trim();
    if let Some(rest) = text.strip_prefix("ssh-ed25519 ") {
        let blob = STANDARD.decode(rest.split(' ').next()?).ok()?;
        return blob.strip_prefix(SSH)?.try_into().ok();
    }
    if text.starts_with("-----BEGIN PUBLIC KEY-----") {
        let (_, document) = Document::from_pem(text).ok()?;
        return document.as_bytes().strip_prefix(&SPKI)?.try_into().ok();
    }
    let mut bytes = [0; 32];
    hex::decode_to_slice(text, &mut bytes).ok().map(|()| bytes)
}

/// The line of an OpenSSH public key, for an agent's users.
pub fn ssh_line(public: &[u8; 32]) -> String {
    format!("ssh-ed25519 {}", STANDARD.encode([SSH, public].concat()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use consign_format::trust::keys::{SecretKey, Signer};
    use std::process::Command;

    #[test]
    fn every_form_of_a_public_key_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let key = SecretKey::from_seed(&[5; 32]);
        let at = |name: &str| dir.path().join(name).display().to_string();
        std::fs::write(at("k.pem"), key.to_pem().unwrap()).unwrap();
        let said =
            Command::new("openssl").args(["pkey", "-in", &at("k.pem"), "-pubout", "-out", &at("p.pem")]).output();
        assert!(said.unwrap().status.success());
        let digits = hex::encode(key.public());
        std::fs::write(at("hex"), format!("{digits}\n")).unwrap();
        std::fs::write(at("ssh"), format!("{} ada@desk\n", ssh_line(&key.public()))).unwrap();
        for text in [digits, at("hex"), at("ssh"), at("p.pem"), ssh_line(&key.public())] {
            assert_eq!(read_plain(&text), Some(key.public()), "{text}");
        }
        for text in ["12", "", &at("k.pem"), &at("absent"), "ssh-ed25519 AAAA"] {
            assert_eq!(read_plain(text), None, "{text}");
        }
    }
}
