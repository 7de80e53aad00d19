//! Who may talk to a test's cluster: one administrator, by a random token, over the API server's self-signed TLS.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::rand::{SecureRandom as _, SystemRandom};
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};

/// Folder that the API server writes its certificate to, relative to the cluster's.
pub(super) const CERTIFICATES: &str = "certificates";
/// File of the administrator's token, relative to the cluster's folder.
pub(super) const TOKENS: &str = "tokens.csv";
/// File of the key that signs service account tokens, relative to the cluster's folder.
pub(super) const ACCOUNT_KEY: &str = "accounts.pem";
/// File of its public half: upstream reads a public key out of SEC 1 private keys, not out of PKCS #8 ones.
pub(super) const ACCOUNT_PUBLIC_KEY: &str = "accounts.pub.pem";
/// File of the administrator's kubeconfig, relative to the cluster's folder.
pub(super) const KUBECONFIG: &str = "kubeconfig";

/// The DER of a P-256 `SubjectPublicKeyInfo` (RFC 5480) up to the 65 bytes of its uncompressed point.
const P256_PUBLIC_KEY: &[u8] = &[
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce,
    0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

/// What was written.
pub(super) struct Credentials {
    /// Absolute path of the kubeconfig. Its authority appears when the API server has started.
    pub(super) kubeconfig: PathBuf,
}

impl Credentials {
    /// Writes token, key and kubeconfig into `folder`, for an API server at `address`.
    pub(super) fn write(folder: &Path, address: SocketAddr) -> Self {
        let random = SystemRandom::new();
        let mut token = [0; 16];
        random.fill(&mut token).expect("the system's randomness");
        let token: String = token.iter().map(|byte| format!("{byte:02x}")).collect();
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let key = EcdsaKeyPair::generate_pkcs8(algorithm, &random).expect("a fresh key");
        let pair = EcdsaKeyPair::from_pkcs8(algorithm, key.as_ref(), &random).expect("the key just made");
        let public = [P256_PUBLIC_KEY, pair.public_key().as_ref()].concat();
        let authority = folder.join(CERTIFICATES).join("apiserver.crt");
        let kubeconfig = folder.join(KUBECONFIG);
        write(&folder.join(TOKENS), &format!("{token},admin,admin,\"system:masters\"\n"));
        write(&folder.join(ACCOUNT_KEY), &pem("PRIVATE KEY", key.as_ref()));
        write(&folder.join(ACCOUNT_PUBLIC_KEY), &pem("PUBLIC KEY", &public));
        write(&kubeconfig, &kubeconfig_text(address, &authority, &token));
        Self { kubeconfig }
    }
}

fn write(path: &Path, text: &str) {
    fs::write(path, text).unwrap_or_else(|error| panic!("cannot write {}: {error}", path.display()));
}

/// RFC 7468: lines of 64.
fn pem(label: &str, der: &[u8]) -> String {
    let encoded = STANDARD.encode(der);
    let lines: Vec<&str> =
        encoded.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).expect("base64 is ASCII")).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

fn kubeconfig_text(address: SocketAddr, authority: &Path, token: &str) -> String {
    // JSON is YAML, and quotes any path.
    let document = serde_json::json!({
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "test",
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "admin"}}],
        "clusters": [{"name": "test", "cluster": {
            "server": format!("https://{address}"),
            "certificate-authority": authority.to_string_lossy(),
        }}],
        "users": [{"name": "admin", "user": {"token": token}}],
    });
    format!("{document:#}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pem_lines_are_64_wide() {
        let text = pem("PRIVATE KEY", &[7; 100]);
        let widths: Vec<usize> = text.lines().map(str::len).collect();
        assert_eq!(widths, [27, 64, 64, 8, 25]);
    }
}
