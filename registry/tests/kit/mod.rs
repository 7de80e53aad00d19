//! What the suites of this crate share: a shelf with known images on it, served on a port of its own.
#![expect(unreachable_pub, reason = "every suite compiles this module for itself")]
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "not every suite uses everything; tests may panic"
)]

pub mod flaky;

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex};

use consign_format::{Descriptor, Digest, Platform, media_type};
use consign_registry::BlobFolder;
use consign_registry::serve::{Content, Event, ServeOptions, Shelf, serve_with};
use serde_json::json;
use tokio::sync::oneshot;

/// An image made of a configuration and two layers.
#[derive(Clone)]
pub struct Image {
    pub manifest: Descriptor,
    pub config: Descriptor,
    pub layers: Vec<Descriptor>,
}

pub fn put(blobs: &BlobFolder, media_type: &str, bytes: &[u8]) -> Descriptor {
    let descriptor = Descriptor::of(media_type, bytes);
    blobs.put(&descriptor.digest, descriptor.size, bytes).unwrap();
    descriptor
}

pub fn put_json(blobs: &BlobFolder, media_type: &str, value: &serde_json::Value) -> Descriptor {
    put(blobs, media_type, value.to_string().as_bytes())
}

/// Bytes that do not compress and differ by seed.
pub fn noise(seed: u64, size: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 24) as u8
    };
    (0..size).map(|_| next()).collect()
}

pub fn image(blobs: &BlobFolder, seed: u64, platform: &Platform) -> Image {
    let layers = vec![
        put(blobs, media_type::OCI_LAYER_TAR, &noise(seed, 300_000)),
        put(blobs, media_type::OCI_LAYER_TAR, &noise(seed + 1, 10)),
    ];
    let config = put_json(
        blobs,
        media_type::OCI_CONFIG,
        &json!({
            "architecture": platform.architecture, "os": platform.os, "config": {},
            "rootfs": {"type": "layers", "diff_ids": layers.iter().map(|layer| layer.digest).collect::<Vec<_>>()}
        }),
    );
    let manifest = put_json(
        blobs,
        media_type::OCI_MANIFEST,
        &json!({"schemaVersion": 2, "mediaType": media_type::OCI_MANIFEST, "config": config, "layers": layers}),
    );
    Image { manifest, config, layers }
}

/// What every suite serves.
pub struct Known {
    pub dir: tempfile::TempDir,
    pub blobs: BlobFolder,
    /// `docker.io/library/app:1`, also tags `2`, `10`, `Beta`, `alpha`.
    pub app: Image,
    /// `ghcr.io/library/app:1`: the same name, other content.
    pub other: Image,
    /// `docker.io/library/multi:1`: an index of which only `linux/amd64` is there.
    pub index: Descriptor,
    pub amd64: Image,
    pub arm64: Digest,
    /// A signature of `app`, by digest only.
    pub signature: Descriptor,
}

pub const SIGNATURE: &str = "application/vnd.example.signature+json";

impl Known {
    pub fn new() -> (Self, Shelf) {
        let dir = tempfile::tempdir().unwrap();
        let blobs = BlobFolder::open(dir.path()).unwrap();
        let platform: Platform = "linux/amd64".parse().unwrap();
        let app = image(&blobs, 1, &platform);
        let other = image(&blobs, 100, &platform);
        let amd64 = image(&blobs, 200, &platform);
        let arm64 = Digest::of(b"not carried");
        let entry = |digest, size, platform: &str| {
            let platform: Platform = platform.parse().unwrap();
            Descriptor { platform: Some(platform), ..Descriptor::new(media_type::OCI_MANIFEST, digest, size) }
        };
        let entries =
            [entry(amd64.manifest.digest, amd64.manifest.size, "linux/amd64"), entry(arm64, 500, "linux/arm64/v8")];
        let index = put_json(
            &blobs,
            media_type::OCI_INDEX,
            &json!({"schemaVersion": 2, "mediaType": media_type::OCI_INDEX, "manifests": entries}),
        );
        let signature = put_json(
            &blobs,
            media_type::OCI_MANIFEST,
            &json!({
                "schemaVersion": 2, "mediaType": media_type::OCI_MANIFEST, "artifactType": SIGNATURE,
                "config": put(&blobs, media_type::OCI_EMPTY, b"{}"), "layers": [],
                "subject": app.manifest, "annotations": {"by": "somebody"}
            }),
        );
        let mut shelf = Shelf::new(blobs.clone());
        for tag in ["1", "2", "10", "Beta", "alpha"] {
            shelf.put("docker.io", "library/app", Some(tag), &app.manifest).unwrap();
        }
        shelf.put("docker.io", "library/app", None, &signature).unwrap();
        shelf.put("ghcr.io", "library/app", Some("1"), &other.manifest).unwrap();
        shelf.put("docker.io", "library/multi", Some("1"), &index).unwrap();
        (Known { dir, blobs, app, other, index, amd64, arm64, signature }, shelf)
    }
}

/// A running registry, with what it said.
pub struct Served {
    pub address: SocketAddr,
    pub events: Arc<Mutex<Vec<Event>>>,
    pub stop: Option<oneshot::Sender<()>>,
    pub thread: Option<std::thread::JoinHandle<()>>,
}

impl Served {
    pub fn new(content: impl Content, mut options: ServeOptions) -> Self {
        let events = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&events);
        options.on_event = Some(Arc::new(move |event: &Event| sink.lock().unwrap().push(event.clone())));
        let (stop, stopped) = oneshot::channel();
        let (tell, told) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
            runtime.block_on(async move {
                let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
                tell.send(listener.local_addr().unwrap()).unwrap();
                let stopped = async { drop(stopped.await) };
                serve_with(listener, Arc::new(content), options, stopped).await.unwrap();
            });
        });
        Served { address: told.recv().unwrap(), events, stop: Some(stop), thread: Some(thread) }
    }

    pub fn stop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }

    pub fn request(&self, method: &str, target: &str, headers: &[(&str, &str)]) -> Answer {
        let mut stream = TcpStream::connect(self.address).unwrap();
        let mut head = format!("{method} {target} HTTP/1.1\r\nConnection: close\r\n");
        if !headers.iter().any(|(name, _)| *name == "Host") {
            head += &format!("Host: {}\r\n", self.address);
        }
        for (name, value) in headers {
            head += &format!("{name}: {value}\r\n");
        }
        stream.write_all(format!("{head}\r\n").as_bytes()).unwrap();
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).unwrap();
        Answer::read(&bytes)
    }

    pub fn get(&self, target: &str) -> Answer {
        self.request("GET", target, &[])
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.stop();
    }
}

/// An answer, by hand: no client library stands between the suite and what was sent.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: BTreeMap<String, String>,
    pub body: Vec<u8>,
}

impl Answer {
    fn read(bytes: &[u8]) -> Self {
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").expect("a head");
        let head = std::str::from_utf8(&bytes[..end]).unwrap();
        let mut lines = head.split("\r\n");
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let header = |line: &str| line.split_once(": ").map(|(name, value)| (name.to_lowercase(), value.to_owned()));
        Answer { status, headers: lines.filter_map(header).collect(), body: bytes[end + 4..].to_vec() }
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// The code of the one error in the body.
    pub fn code(&self) -> String {
        self.json()["errors"][0]["code"].as_str().unwrap().to_owned()
    }
}
