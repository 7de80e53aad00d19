//! A TUF repository on a port of this machine, whose every document a test can make wrong before it is signed.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use consign_format::Digest;
use consign_format::trust::document::Key;
use consign_format::trust::keys::{SecretKey, Signer, key_id, sign};
use serde_json::{Value, json};

const EXPIRES: &str = "2099-01-01T00:00:00Z";

/// The roles besides root, in the order in which one names the next, backwards.
pub(crate) const ROLES: [&str; 3] = ["targets", "snapshot", "timestamp"];

/// The repository. Dropping it stops its server.
pub(crate) struct Repository {
    /// What will be signed, by role.
    pub(crate) signed: BTreeMap<&'static str, Value>,
    /// Who signs, by role.
    pub(crate) signers: BTreeMap<&'static str, Vec<SecretKey>>,
    /// Whether snapshot and timestamp say length and hashes of what they name.
    pub(crate) hashes: bool,
    shared: Arc<Shared>,
    address: SocketAddr,
    server: Option<JoinHandle<()>>,
    seed: u8,
}

#[derive(Default)]
struct Shared {
    files: Mutex<BTreeMap<String, Vec<u8>>>,
    asked: Mutex<Vec<String>>,
    stop: AtomicBool,
}

impl Repository {
    /// A good repository: version 1 of everything, a key for each role.
    pub(crate) fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared::default());
        let server = std::thread::spawn({
            let shared = Arc::clone(&shared);
            move || serve(&listener, &shared)
        });
        let document = |role: &str| json!({"_type": role, "spec_version": "1.0.31", "version": 0, "expires": EXPIRES});
        let mut repository = Repository {
            signed: ["root", "timestamp", "snapshot", "targets"].map(|role| (role, document(role))).into(),
            signers: BTreeMap::new(),
            hashes: false,
            shared,
            address,
            server: Some(server),
            seed: 0,
        };
        repository.signed.get_mut("root").unwrap()["consistent_snapshot"] = json!(true);
        repository.signed.get_mut("targets").unwrap()["targets"] = json!({});
        for role in ["root", "timestamp", "snapshot", "targets"] {
            repository.rotate(role);
        }
        repository.publish(&["root", "targets", "snapshot", "timestamp"]);
        repository
    }

    /// The document of a role, open to change.
    pub(crate) fn of(&mut self, role: &str) -> &mut Value {
        self.signed.get_mut(role).unwrap()
    }

    /// A new key, known to nobody yet.
    pub(crate) fn key(&mut self) -> SecretKey {
        self.seed += 1;
        SecretKey::from_seed(&[self.seed; 32])
    }

    /// Lets these keys and no others speak for a role, and sign for it.
    pub(crate) fn appoint(&mut self, role: &'static str, keys: Vec<SecretKey>, threshold: usize) {
        let ids: Vec<String> = keys.iter().map(id).collect();
        let root = self.of("root");
        root["roles"][role] = json!({"keyids": ids, "threshold": threshold});
        for key in &keys {
            root["keys"][id(key)] = serde_json::to_value(Key::ed25519(&key.public())).unwrap();
        }
        self.signers.insert(role, keys);
    }

    /// One new key for a role.
    pub(crate) fn rotate(&mut self, role: &'static str) {
        let key = self.key();
        self.appoint(role, vec![key], 1);
    }

    /// Raises the version of each of these, lets the documents before it name it, signs and serves it.
    pub(crate) fn publish(&mut self, roles: &[&'static str]) {
        for role in roles {
            let version = self.of(role)["version"].as_u64().unwrap() + 1;
            self.of(role)["version"] = json!(version);
            self.put(role);
        }
    }

    /// Signs and serves a document as it is.
    pub(crate) fn put(&mut self, role: &'static str) {
        let signers: Vec<&dyn Signer> = self.signers[role].iter().map(|key| key as &dyn Signer).collect();
        let bytes = sign(&self.signed[role], &signers).unwrap();
        // As repositories do: with white space, which is no part of what was signed.
        let bytes = serde_json::to_vec_pretty(&serde_json::from_slice::<Value>(&bytes).unwrap()).unwrap();
        let version = self.signed[role]["version"].clone();
        if let Some(by) = match role {
            "targets" => Some("snapshot"),
            "snapshot" => Some("timestamp"),
            _ => None,
        } {
            let mut meta = json!({"version": version});
            if self.hashes {
                meta["length"] = json!(bytes.len());
                meta["hashes"] = json!({"sha256": Digest::of(&bytes).hex()});
            }
            self.of(by)["meta"][format!("{role}.json")] = meta;
        }
        let name = if role == "timestamp" { "timestamp.json".to_owned() } else { format!("{version}.{role}.json") };
        self.serve(&format!("metadata/{name}"), bytes);
    }

    /// Adds a target and publishes it.
    pub(crate) fn add_target(&mut self, name: &str, bytes: &[u8]) {
        let sha256 = Digest::of(bytes).hex();
        self.of("targets")["targets"][name] = json!({"length": bytes.len(), "hashes": {"sha256": sha256}});
        let (folder, file) = name.split_at(name.rfind('/').map_or(0, |slash| slash + 1));
        self.serve(&format!("targets/{folder}{sha256}.{file}"), bytes.to_vec());
        self.publish(&ROLES);
    }

    /// Serves bytes under a path.
    pub(crate) fn serve(&self, path: &str, bytes: Vec<u8>) {
        self.shared.files.lock().unwrap().insert(path.to_owned(), bytes);
    }

    /// What is served under a path.
    pub(crate) fn served(&self, path: &str) -> Vec<u8> {
        self.shared.files.lock().unwrap()[path].clone()
    }

    /// What was asked for since the last call, the folder `metadata/` left out.
    pub(crate) fn asked(&self) -> Vec<String> {
        let asked = std::mem::take(&mut *self.shared.asked.lock().unwrap());
        asked.into_iter().map(|path| path.trim_start_matches("metadata/").to_owned()).collect()
    }

    /// The address of a folder, `metadata` or `targets`.
    pub(crate) fn url(&self, folder: &str) -> String {
        format!("http://{}/{folder}", self.address)
    }
}

impl Drop for Repository {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        // The server waits for somebody to come.
        let _ = TcpStream::connect(self.address);
        let _ = self.server.take().map(JoinHandle::join);
    }
}

pub(crate) fn id(key: &SecretKey) -> String {
    key_id(&key.public()).unwrap()
}

fn serve(listener: &TcpListener, shared: &Shared) {
    for stream in listener.incoming() {
        if shared.stop.load(Ordering::SeqCst) {
            return;
        }
        let _ = stream.and_then(|stream| answer(stream, shared));
    }
}

fn answer(mut stream: TcpStream, shared: &Shared) -> std::io::Result<()> {
    let mut request = Vec::new();
    let mut byte = [0];
    while !request.ends_with(b"\r\n\r\n") && stream.read(&mut byte)? == 1 {
        request.push(byte[0]);
    }
    let line = String::from_utf8_lossy(&request).into_owned();
    let path = line.split(' ').nth(1).unwrap_or_default().trim_start_matches('/').replace("%20", " ");
    shared.asked.lock().unwrap().push(path.clone());
    match shared.files.lock().unwrap().get(&path) {
        Some(bytes) => {
            write!(stream, "HTTP/1.0 200 OK\r\nContent-Length: {}\r\n\r\n", bytes.len())?;
            stream.write_all(bytes)
        }
        None => write!(stream, "HTTP/1.0 404 Not Found\r\n\r\n"),
    }
}
