//! A token service, as Harbor and GitLab have one: it looks at a password and signs what its owner may do where.
//!
//! The registry that trusts it checks every token by its own rules; nothing of that is ours.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use serde_json::{Value, json};

use crate::images::run;
use crate::registry::{PASSWORD, USER};

const SERVICE: &str = "site registry";
const ISSUER: &str = "consign tests";

/// May this be done? By repository and action.
type May = Box<dyn Fn(&str, &str) -> bool + Send + Sync>;

struct Shared {
    key: EcdsaKeyPair,
    certificate: String,
    may: May,
    asked: Mutex<Vec<String>>,
}

/// The service. It lives as long as the test's process.
pub struct TokenService {
    address: SocketAddr,
    certificate: PathBuf,
    shared: Arc<Shared>,
}

impl TokenService {
    /// One that keeps its key in `folder` and lets [`USER`] do what `may` says.
    ///
    /// # Panics
    /// If `openssl` fails.
    pub fn start(folder: &Path, may: impl Fn(&str, &str) -> bool + Send + Sync + 'static) -> Self {
        run(Command::new("openssl").current_dir(folder).args(["req", "-x509", "-newkey", "ec", "-pkeyopt"]).args([
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=tokens",
            "-keyout",
            "token.key",
            "-out",
            "token.crt",
        ]));
        let pem = |name: &str| {
            let text = fs::read_to_string(folder.join(name)).expect("just made");
            text.lines().filter(|line| !line.starts_with("---")).collect::<String>()
        };
        let key = STANDARD.decode(pem("token.key")).expect("PEM");
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &key, &SystemRandom::new());
        let (key, certificate) = (key.expect("a key of P-256"), pem("token.crt"));
        let shared = Arc::new(Shared { key, certificate, may: Box::new(may), asked: Mutex::default() });
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("the address just bound");
        let ours = Arc::clone(&shared);
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let _ = answer(client, &ours);
            }
        });
        Self { address, certificate: folder.join("token.crt"), shared }
    }

    /// What a registry's configuration says of it.
    pub fn configuration(&self) -> String {
        let (address, certificate) = (self.address, self.certificate.display());
        format!(
            "auth: {{token: {{realm: 'http://{address}/token', service: '{SERVICE}', issuer: '{ISSUER}', \
             rootcertbundle: '{certificate}'}}}}\n"
        )
    }

    /// What was asked for: the scopes of each request, in one line.
    pub fn asked(&self) -> Vec<String> {
        self.shared.asked.lock().expect("nobody panicked").clone()
    }
}

fn answer(mut client: TcpStream, shared: &Shared) -> std::io::Result<()> {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        client.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head);
    let login = format!("authorization: basic {}", STANDARD.encode(format!("{USER}:{PASSWORD}")));
    let is_known = head.lines().any(|line| line.eq_ignore_ascii_case(&login));
    let query = head.split([' ', '?']).nth(2).unwrap_or("").replace("%3A", ":").replace("%2F", "/").replace("%2C", ",");
    let scopes: Vec<&str> = query.split('&').filter_map(|pair| pair.strip_prefix("scope=")).collect();
    shared.asked.lock().expect("nobody panicked").push(scopes.join(" "));
    let (status, body) = if is_known { ("200 OK", token(shared, &scopes)) } else { ("401 Unauthorized", json!({})) };
    let body = body.to_string();
    write!(client, "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
}

/// A token for as much of the scopes as is allowed.
fn token(shared: &Shared, scopes: &[&str]) -> Value {
    let access: Vec<Value> = scopes
        .iter()
        .filter_map(|scope| {
            let mut parts = scope.split(':');
            let (kind, name, actions) = (parts.next()?, parts.next()?, parts.next()?);
            let actions: Vec<&str> = actions.split(',').filter(|action| (shared.may)(name, action)).collect();
            Some(json!({"type": kind, "name": name, "actions": actions}))
        })
        .collect();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let header = part(json!({"typ": "JWT", "alg": "ES256", "x5c": [shared.certificate]}));
    let claims =
        part(json!({"iss": ISSUER, "sub": USER, "aud": SERVICE, "exp": now + 300, "nbf": now - 30, "iat": now,
        "jti": "1", "access": access}));
    let signed = format!("{header}.{claims}");
    let signature = shared.key.sign(&SystemRandom::new(), signed.as_bytes()).expect("a signature");
    json!({"token": format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))})
}
