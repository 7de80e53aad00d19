//! An ssh-agent: two messages of its protocol (draft-ietf-sshm-ssh-agent §3.5 and §3.6), Ed25519 keys only (RFC 8709).
//!
//! Written out here because it is this little: the crates there are bring an async runtime or every key type of SSH.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use consign_format::Digest;
use consign_format::trust::keys::{SignError, Signer};

use super::{Access, SignerError, public};

const REQUEST_IDENTITIES: u8 = 11;
const IDENTITIES: u8 = 12;
const SIGN_REQUEST: u8 = 13;
const SIGN_RESPONSE: u8 = 14;
/// The key type, and the signature's.
const ED25519: &[u8] = b"ssh-ed25519";
/// OpenSSH's own bound on a message.
const MESSAGE_LIMIT: u32 = 256 * 1024;
/// A key that was added with `ssh-add -c` waits for a person to confirm.
const PATIENCE: Duration = Duration::from_secs(120);

/// One key of an agent.
pub(super) struct AgentKey {
    socket: std::path::PathBuf,
    public: [u8; 32],
}

/// Finds the key that a selector means: a comment, a `SHA256:` fingerprint, or a public key as [`public::read`] takes
/// it.
pub(super) fn open(selector: &str, access: Access<'_>) -> Result<AgentKey, SignerError> {
    let socket = access.environment.get("SSH_AUTH_SOCK").filter(|socket| !socket.is_empty());
    let socket = socket.ok_or_else(|| agent("SSH_AUTH_SOCK is not set"))?;
    let socket = Path::new(socket).to_owned();
    let answer = ask(&socket, &[REQUEST_IDENTITIES]).map_err(agent)?;
    let identities = identities(&answer).ok_or_else(|| agent("it lists its keys in another form"))?;
    let wanted = public::read_plain(selector);
    let mut found: Vec<[u8; 32]> = identities
        .into_iter()
        .filter(|(key, comment)| match wanted {
            Some(public) => *key == public,
            None => comment == selector || fingerprint(key) == selector,
        })
        .map(|(key, _)| key)
        .collect();
    found.sort_unstable();
    found.dedup();
    match found.as_slice() {
        [public] => Ok(AgentKey { socket, public: *public }),
        _ => Err(SignerError::Which {
            place: "the ssh-agent".to_owned(),
            selector: selector.to_owned(),
            found: found.len(),
        }),
    }
}

fn agent(reason: impl ToString) -> SignerError {
    SignerError::Agent { reason: reason.to_string() }
}

impl Signer for AgentKey {
    fn public(&self) -> [u8; 32] {
        self.public
    }

    fn sign(&self, bytes: &[u8]) -> Result<[u8; 64], SignError> {
        let failed = |reason: String| SignError::Signer(format!("ssh-agent: {reason}"));
        let mut request = vec![SIGN_REQUEST];
        put(&mut request, &blob(&self.public));
        put(&mut request, bytes);
        request.extend([0; 4]);
        let answer = ask(&self.socket, &request).map_err(|error| failed(error.to_string()))?;
        signature(&answer).ok_or_else(|| failed("it does not sign with this key".to_owned()))
    }
}

/// The public key in SSH's form (RFC 8709 §4).
fn blob(public: &[u8; 32]) -> Vec<u8> {
    let mut blob = Vec::new();
    put(&mut blob, ED25519);
    put(&mut blob, public);
    blob
}

/// As `ssh-add -l` prints it.
fn fingerprint(public: &[u8; 32]) -> String {
    format!("SHA256:{}", STANDARD_NO_PAD.encode(Digest::of(&blob(public)).as_bytes()))
}

fn put(into: &mut Vec<u8>, bytes: &[u8]) {
    // Nothing longer than a few KB is ever signed; the agent refuses what the length cannot say.
    into.extend(u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
    into.extend(bytes);
}

fn ask(socket: &Path, message: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut framed = Vec::with_capacity(message.len() + 4);
    put(&mut framed, message);
    stream.write_all(&framed)?;
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let length = u32::from_be_bytes(length);
    if length > MESSAGE_LIMIT {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "its answer is too long"));
    }
    let mut answer = vec![0; length as usize];
    stream.read_exact(&mut answer)?;
    Ok(answer)
}

/// Takes one length-prefixed string off the front.
fn take<'a>(from: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, rest) = from.split_first_chunk::<4>()?;
    let (string, rest) = rest.split_at_checked(u32::from_be_bytes(*length) as usize)?;
    *from = rest;
    Some(string)
}

/// The Ed25519 keys and their comments; other keys are passed by.
fn identities(answer: &[u8]) -> Option<Vec<([u8; 32], String)>> {
    let mut rest = answer.strip_prefix(&[IDENTITIES])?;
    let (count, after) = rest.split_first_chunk::<4>()?;
    rest = after;
    let mut found = Vec::new();
    // No room is made for the count: the message's own length bounds it.
    for _ in 0..u32::from_be_bytes(*count) {
        let (mut key, comment) = (take(&mut rest)?, take(&mut rest)?);
        if take(&mut key)? == ED25519 {
            let public = take(&mut key)?.try_into().ok()?;
            found.push((public, String::from_utf8_lossy(comment).into_owned()));
        }
    }
    Some(found)
}

fn signature(answer: &[u8]) -> Option<[u8; 64]> {
    let mut rest = answer.strip_prefix(&[SIGN_RESPONSE])?;
    let mut signature = take(&mut rest)?;
    let is_ours = take(&mut signature)? == ED25519 && rest.is_empty();
    let bytes = take(&mut signature)?;
    (is_ours && signature.is_empty()).then(|| bytes.try_into().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_within_bounds() {
        let mut answer = vec![IDENTITIES, 0, 0, 0, 2];
        let mut rsa = Vec::new();
        put(&mut rsa, b"ssh-rsa");
        put(&mut answer, &rsa);
        put(&mut answer, b"old");
        put(&mut answer, &blob(&[3; 32]));
        put(&mut answer, b"ada@desk");
        assert_eq!(identities(&answer), Some(vec![([3; 32], "ada@desk".to_owned())]));
        for cut in 0..answer.len() {
            assert_eq!(identities(&answer[..cut]), None, "{cut}");
        }
        assert_eq!(identities(&[IDENTITIES, 0xff, 0xff, 0xff, 0xff]), None);

        let mut inner = Vec::new();
        put(&mut inner, ED25519);
        put(&mut inner, &[9; 64]);
        let mut signed = vec![SIGN_RESPONSE];
        put(&mut signed, &inner);
        assert_eq!(signature(&signed), Some([9; 64]));
        for cut in 0..signed.len() {
            assert_eq!(signature(&signed[..cut]), None, "{cut}");
        }
        signed.push(0);
        assert_eq!(signature(&signed), None);
    }

    #[test]
    fn the_fingerprint_is_the_one_that_ssh_prints() {
        let dir = tempfile::tempdir().unwrap();
        let line = public::ssh_line(&[1; 32]);
        std::fs::write(dir.path().join("k.pub"), &line).unwrap();
        let said = std::process::Command::new("ssh-keygen").args(["-l", "-f", "k.pub"]).current_dir(&dir).output();
        let said = String::from_utf8(said.unwrap().stdout).unwrap();
        assert_eq!(said.split(' ').nth(1), Some(fingerprint(&[1; 32]).as_str()), "{said}");
    }
}
