//! A site's registry with two small images that a runtime can unpack.

use std::path::Path;
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};

use consign_format::{Descriptor, Digest, media_type};
use consign_registry::BlobFolder;
use consign_registry::manifest::Manifest;
use consign_registry::serve::{Event, ServeOptions, Shelf, serve_with};
use serde_json::json;
use tokio::sync::oneshot;

/// A registry that serves `docker.io/library/x:1`, and `quay.io/team/multi`, an index of three platforms of which only
/// this machine's is there. Dropping it stops it.
pub(crate) struct Site {
    pub(crate) address: String,
    pub(crate) image: Descriptor,
    pub(crate) index: Descriptor,
    /// An artifact whose subject is `image`.
    pub(crate) referrer: Descriptor,
    folder: tempfile::TempDir,
    events: Arc<Mutex<Vec<Event>>>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Site {
    pub(crate) fn start() -> Self {
        Self::with(ServeOptions::default())
    }

    pub(crate) fn with(mut options: ServeOptions) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let blobs = BlobFolder::open(folder.path()).unwrap();
        let single = image(&blobs, "x");
        let index = sparse_index(&blobs, &image(&blobs, "multi"));
        let referrer = referrer(&blobs, &single);
        let mut shelf = Shelf::new(blobs);
        shelf.put("docker.io", "library/x", Some("1"), &single).unwrap();
        shelf.put("docker.io", "library/x", None, &referrer).unwrap();
        shelf.put("quay.io", "team/multi", Some("1"), &index).unwrap();
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
                serve_with(listener, Arc::new(shelf), options, async { drop(stopped.await) }).await.unwrap();
            });
        });
        let address = told.recv().unwrap().to_string();
        Site { address, image: single, index, referrer, folder, events, stop: Some(stop), thread: Some(thread) }
    }

    /// The blobs behind `image`: its configuration and its layer.
    pub(crate) fn blobs_of_image(&self) -> Vec<Digest> {
        let path = self.folder.path().join("blobs/sha256").join(self.image.digest.hex());
        let manifest = Manifest::parse(&std::fs::read(path).unwrap(), None).unwrap();
        manifest.pointers().into_iter().map(|pointer| pointer.digest).collect()
    }

    /// The requests so far: method, path and query, status.
    pub(crate) fn asked(&self) -> Vec<(String, String, u16)> {
        let of = |event: &Event| match event {
            Event::Answered(asked) => Some((asked.method.clone(), asked.target.clone(), asked.status)),
            _ => None,
        };
        self.events.lock().unwrap().iter().filter_map(of).collect()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn put(blobs: &BlobFolder, media_type: &str, bytes: &[u8]) -> Descriptor {
    let descriptor = Descriptor::of(media_type, bytes);
    blobs.put(&descriptor.digest, descriptor.size, bytes).unwrap();
    descriptor
}

/// A layer with one file in it, as a tar of our own: 512 bytes of header, the content, two blocks of zeros.
fn layer(name: &str, content: &str) -> Vec<u8> {
    let mut header = [0_u8; 512];
    let mut field = |at: usize, bytes: &[u8]| header[at..at + bytes.len()].copy_from_slice(bytes);
    field(0, name.as_bytes());
    field(100, b"0000644\0");
    field(108, b"0000000\0");
    field(116, b"0000000\0");
    field(124, format!("{:011o}\0", content.len()).as_bytes());
    field(136, b"00000000000\0");
    field(148, b"        ");
    field(156, b"0");
    field(257, b"ustar\x0000");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let mut tar = header.to_vec();
    tar.extend(content.as_bytes());
    tar.resize(tar.len().next_multiple_of(512) + 1024, 0);
    tar
}

fn image(blobs: &BlobFolder, name: &str) -> Descriptor {
    let layer = put(blobs, media_type::OCI_LAYER_TAR, &layer("hello", &format!("hello from {name}\n")));
    let config = json!({
        "architecture": architecture(), "os": "linux", "config": {"Cmd": ["/hello"]},
        "rootfs": {"type": "layers", "diff_ids": [layer.digest]}
    });
    let config = put(blobs, media_type::OCI_CONFIG, config.to_string().as_bytes());
    let manifest =
        json!({"schemaVersion": 2, "mediaType": media_type::OCI_MANIFEST, "config": config, "layers": [layer]});
    put(blobs, media_type::OCI_MANIFEST, manifest.to_string().as_bytes())
}

fn referrer(blobs: &BlobFolder, subject: &Descriptor) -> Descriptor {
    let config = put(blobs, media_type::OCI_EMPTY, b"{}");
    let content = put(blobs, "application/vnd.example.sbom+json", b"{\"packages\":[]}");
    let manifest = json!({"schemaVersion": 2, "mediaType": media_type::OCI_MANIFEST,
        "artifactType": "application/vnd.example.sbom+json", "config": config, "layers": [content], "subject": subject});
    put(blobs, media_type::OCI_MANIFEST, manifest.to_string().as_bytes())
}

fn sparse_index(blobs: &BlobFolder, present: &Descriptor) -> Descriptor {
    let entry = |digest: &Digest, size: u64, architecture: &str| {
        json!({"mediaType": media_type::OCI_MANIFEST, "digest": digest, "size": size,
            "platform": {"os": "linux", "architecture": architecture}})
    };
    let index = json!({"schemaVersion": 2, "mediaType": media_type::OCI_INDEX, "manifests": [
        entry(&Digest::of(b"s390x"), 500, "s390x"),
        entry(&present.digest, present.size, architecture()),
        entry(&Digest::of(b"riscv64"), 500, "riscv64"),
    ]});
    put(blobs, media_type::OCI_INDEX, index.to_string().as_bytes())
}

/// This machine's architecture, by Go's name.
pub(crate) fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// Whether a program answers to `--version`.
pub(crate) fn is_installed(program: &str) -> bool {
    Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success())
}

/// Runs a command that has to succeed, and returns what it printed.
#[track_caller]
pub(crate) fn run(command: &mut Command) -> Vec<u8> {
    let Output { status, stdout, stderr } = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(
        status.success(),
        "{command:?}\n{}\n{}",
        String::from_utf8_lossy(&stdout),
        String::from_utf8_lossy(&stderr)
    );
    stdout
}

/// Writes a file into a folder, making the folders above it.
pub(crate) fn write(path: &Path, text: &str) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}
