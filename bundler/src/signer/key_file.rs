//! Key files: PKCS#8 in PEM (RFC 5208, RFC 8410), plain or encrypted by a passphrase (PBES2, RFC 8018 §6.2), as
//! `openssl genpkey` and `openssl pkcs8 -topk8` write them.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use consign_format::trust::keys::SecretKey;
use pkcs8::der::{Decode, SecretDocument};
use pkcs8::pkcs5::pbes2::Parameters;
use pkcs8::{EncryptedPrivateKeyInfoOwned, LineEnding, PrivateKeyInfoRef};
use zeroize::Zeroizing;

use super::{AskSecret, SignerError};

/// The label of an encrypted key in PEM.
const ENCRYPTED: &str = "ENCRYPTED PRIVATE KEY";
/// Iterations of PBKDF2-HMAC-SHA256 for keys written here: what OWASP asked for in 2023.
const ITERATIONS: u32 = 600_000;
/// Key files are a few hundred bytes.
const LIMIT: u64 = 64 * 1024;

/// A signing key, and what is to be said about its file.
pub struct KeyFile {
    /// The key.
    pub key: SecretKey,
    /// A warning for the person who signs.
    pub warning: Option<String>,
}

/// Reads a key file; an encrypted one asks for its passphrase.
///
/// # Errors
/// [`SignerError`].
pub fn read(path: &Path, secret: AskSecret<'_>) -> Result<KeyFile, SignerError> {
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => SignerError::NoKey { path: path.to_owned() },
        _ => SignerError::Io { path: path.to_owned(), source },
    };
    let form = |reason: String| SignerError::Form { path: path.to_owned(), reason };
    let metadata = fs::metadata(path).map_err(failed)?;
    if metadata.len() > LIMIT {
        return Err(form(format!("it is longer than {LIMIT} bytes")));
    }
    let text = Zeroizing::new(fs::read_to_string(path).map_err(failed)?);
    let is_encrypted = text.contains(ENCRYPTED);
    let key = match is_encrypted {
        true => decrypt(&text, path, secret)?,
        false => SecretKey::from_pem(&text).map_err(form)?,
    };
    let mode = metadata.permissions().mode() & 0o777;
    let is_open = !is_encrypted && mode & 0o077 != 0;
    let warning =
        is_open.then(|| format!("{} can be read by others (mode {mode:04o}); `chmod 600` it", path.display()));
    Ok(KeyFile { key, warning })
}

fn decrypt(text: &str, path: &Path, secret: AskSecret<'_>) -> Result<SecretKey, SignerError> {
    let form = |reason: String| SignerError::Form { path: path.to_owned(), reason };
    let (_, document) = SecretDocument::from_pem(text).map_err(|e| form(e.to_string()))?;
    let info = EncryptedPrivateKeyInfoOwned::from_der(document.as_bytes()).map_err(|e| form(e.to_string()))?;
    let what = format!("the passphrase of {}", path.display());
    let passphrase = secret(&what)?.ok_or_else(|| SignerError::NoSecret { what: what.clone() })?;
    // A cipher's padding, or garbage where a key should be, is all that tells a wrong passphrase.
    let plain = info.decrypt(passphrase.as_bytes()).map_err(|error| match error {
        pkcs8::Error::EncryptedPrivateKey(pkcs8::pkcs5::Error::UnsupportedAlgorithm { .. }) => form(error.to_string()),
        _ => SignerError::WrongSecret { what },
    })?;
    let pem = plain.to_pem("PRIVATE KEY", LineEnding::LF).map_err(|e| form(e.to_string()))?;
    SecretKey::from_pem(&pem).map_err(form)
}

/// Writes a key as PEM, encrypted where there is a passphrase: PBES2 with PBKDF2-HMAC-SHA256 and AES-256-CBC, which
/// every openssl since 1.1 reads.
///
/// # Errors
/// [`SignerError::Random`], or a key that cannot be encoded.
pub fn to_pem(key: &SecretKey, passphrase: Option<&str>) -> Result<Zeroizing<String>, SignerError> {
    let form = |reason: String| SignerError::Form { path: "the new key".into(), reason };
    let plain = Zeroizing::new(key.to_pem().map_err(form)?);
    let Some(passphrase) = passphrase else { return Ok(plain) };
    let (mut salt, mut iv) = ([0; 16], [0; 16]);
    for bytes in [&mut salt, &mut iv] {
        getrandom::fill(bytes).map_err(|error| SignerError::Random(error.to_string()))?;
    }
    let encrypt = || -> pkcs8::Result<Zeroizing<String>> {
        let (_, document) = SecretDocument::from_pem(&plain)?;
        let parameters = Parameters::generate_pbkdf2_sha256_aes256cbc(ITERATIONS, &salt, iv)?;
        let info = PrivateKeyInfoRef::from_der(document.as_bytes())?;
        let encrypted = info.encrypt_with_params(parameters, passphrase)?;
        Ok(encrypted.to_pem(ENCRYPTED, LineEnding::LF)?)
    };
    encrypt().map_err(|error| form(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signer::Secret;
    use consign_format::error::{Coded, codes};
    use consign_format::trust::keys::Signer;
    use std::process::Command;

    fn secret(text: &'static str) -> impl Fn(&str) -> Result<Option<Secret>, SignerError> {
        move |_| Ok(Some(Zeroizing::new(text.to_owned())))
    }

    fn openssl(arguments: &[&str], folder: &Path) {
        let said = Command::new("openssl").args(arguments).current_dir(folder).output().unwrap();
        assert!(said.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&said.stderr));
    }

    #[test]
    fn keys_are_written_encrypted_and_read_again_by_us_and_by_openssl() {
        let dir = tempfile::tempdir().unwrap();
        let key = SecretKey::from_seed(&[7; 32]);
        let path = dir.path().join("k.pem");
        fs::write(&path, to_pem(&key, Some("correct horse")).unwrap().as_bytes()).unwrap();
        let read_with = |text| read(&path, &secret(text));
        assert_eq!(read_with("correct horse").unwrap().key.public(), key.public());
        assert_eq!(read_with("battery staple").err().unwrap().code(), codes::KEY_LOCKED);
        assert_eq!(read(&path, &|_| Ok(None)).err().unwrap().code(), codes::KEY_LOCKED);
        openssl(&["pkey", "-in", "k.pem", "-passin", "pass:correct horse", "-out", "plain.pem"], dir.path());
        let plain = read(&dir.path().join("plain.pem"), &|_| panic!("nothing to ask")).unwrap();
        assert_eq!(plain.key.public(), key.public());
    }

    #[test]
    fn what_openssl_encrypts_is_read() {
        let dir = tempfile::tempdir().unwrap();
        openssl(&["genpkey", "-algorithm", "ed25519", "-out", "plain.pem"], dir.path());
        let plain = read(&dir.path().join("plain.pem"), &|_| panic!("nothing to ask")).unwrap();
        for (name, kind) in [("a.pem", &["-v2", "aes-256-cbc"][..]), ("b.pem", &["-scrypt"]), ("c.pem", &[])] {
            let convert = ["pkcs8", "-topk8", "-in", "plain.pem", "-out", name, "-passout", "pass:x"];
            openssl(&[&convert, kind].concat(), dir.path());
            let read = read(&dir.path().join(name), &secret("x")).unwrap();
            assert_eq!(read.key.public(), plain.key.public(), "{name}");
        }
    }

    #[test]
    fn a_key_of_another_kind_is_told() {
        let dir = tempfile::tempdir().unwrap();
        openssl(&["genpkey", "-algorithm", "x25519", "-out", "k.pem"], dir.path());
        let error = read(&dir.path().join("k.pem"), &|_| Ok(None)).err().unwrap();
        assert_eq!(error.code(), codes::KEY_MALFORMED);
    }
}
