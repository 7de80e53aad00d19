//! A registry that lies. No honest one can be made to answer other bytes than a digest names, so this is a double.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use consign_format::{Descriptor, Digest, media_type};
use consign_tests::forge::content::manifest;
use serde_json::{Value, json};

type Answers = Arc<Mutex<BTreeMap<String, (String, Vec<u8>)>>>;

/// What it answers, by path. It ends with the test's process.
pub(crate) struct Liar {
    address: String,
    answers: Answers,
}

/// An index, its one manifest, the configuration and the layer of an image, as an honest registry has them.
pub(crate) struct Honest {
    pub(crate) index: Vec<u8>,
    pub(crate) manifest: Vec<u8>,
    pub(crate) config: Vec<u8>,
    pub(crate) layer: Vec<u8>,
}

impl Honest {
    pub(crate) fn new(layer: &str) -> Self {
        let config =
            json!({"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": []}}).to_string();
        let pointers = (
            Descriptor::of(media_type::OCI_CONFIG, config.as_bytes()),
            Descriptor::of(media_type::OCI_LAYER_TAR, layer.as_bytes()),
        );
        let manifest = manifest(&pointers.0, &[pointers.1]).to_string().into_bytes();
        let pointer = json!({
            "mediaType": media_type::OCI_MANIFEST, "digest": Digest::of(&manifest), "size": manifest.len(),
            "platform": {"architecture": "amd64", "os": "linux"},
        });
        let index = json!({"schemaVersion": 2, "mediaType": media_type::OCI_INDEX, "manifests": [pointer]});
        let index = index.to_string().into_bytes();
        Honest { index, manifest, config: config.into_bytes(), layer: layer.as_bytes().to_vec() }
    }
}

impl Liar {
    /// Listens, and knows nothing yet.
    pub(crate) fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let answers: Answers = Arc::default();
        answers.lock().unwrap().insert("/v2/".to_owned(), ("application/json".to_owned(), b"{}".to_vec()));
        let shared = Arc::clone(&answers);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || answer(stream.unwrap(), &shared));
            }
        });
        Liar { address, answers }
    }

    /// `127.0.0.1:PORT`
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Answers a manifest under a tag or digest.
    pub(crate) fn manifest(&self, name: &str, media_type: &str, bytes: &[u8]) {
        self.put(format!("/v2/app/manifests/{name}"), media_type, bytes);
    }

    /// Answers a blob under a digest.
    pub(crate) fn blob(&self, digest: &Digest, bytes: &[u8]) {
        self.put(format!("/v2/app/blobs/{digest}"), "application/octet-stream", bytes);
    }

    fn put(&self, path: String, media_type: &str, bytes: &[u8]) {
        self.answers.lock().unwrap().insert(path, (media_type.to_owned(), bytes.to_vec()));
    }

    /// Answers everything of an image truthfully, with the index under the tag `1`.
    pub(crate) fn tell(&self, image: &Honest) {
        for name in ["1".to_owned(), Digest::of(&image.index).to_string()] {
            self.manifest(&name, media_type::OCI_INDEX, &image.index);
        }
        self.manifest(&Digest::of(&image.manifest).to_string(), media_type::OCI_MANIFEST, &image.manifest);
        for blob in [&image.config, &image.layer] {
            self.blob(&Digest::of(blob), blob);
        }
    }

    /// Answers a manifest of its own making, truthfully, under the tag `1`.
    pub(crate) fn tell_manifest(&self, media_type: &str, manifest: &Value) {
        let bytes = manifest.to_string().into_bytes();
        for name in ["1".to_owned(), Digest::of(&bytes).to_string()] {
            self.manifest(&name, media_type, &bytes);
        }
    }

    /// The image's reference.
    pub(crate) fn reference(&self) -> String {
        format!("{}/app:1", self.address)
    }
}

fn answer(mut client: TcpStream, answers: &Mutex<BTreeMap<String, (String, Vec<u8>)>>) {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        if client.read(&mut byte).unwrap_or(0) == 0 {
            return;
        }
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let mut words = head.split_whitespace();
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let path = path.split('?').next().unwrap_or_default();
    let found = answers.lock().unwrap().get(path).cloned();
    let (status, (media_type, body)) = found.map_or((404, ("text/plain".to_owned(), Vec::new())), |found| (200, found));
    let head = format!(
        "HTTP/1.1 {status} X\r\nContent-Type: {media_type}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    let _ = client.write_all(head.as_bytes());
    if method != "HEAD" {
        let _ = client.write_all(&body);
    }
}
