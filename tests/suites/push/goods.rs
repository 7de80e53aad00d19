//! What is pushed: images of every form in a folder of blobs, and a client without patience.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use consign_format::{Descriptor, Digest, media_type};
use consign_registry::BlobFolder;
use consign_registry::push::{Address, Moved, Patience, Plan, PushError, PushOptions, PushTarget, Top};
use serde_json::json;

/// The path that everything lies under.
pub(crate) const PREFIX: &str = "project/site";
/// The layer that two repositories share.
const SHARED: usize = 3 << 20;

/// Images, and where they have to be.
pub(crate) struct Goods {
    _folder: tempfile::TempDir,
    pub(crate) blobs: BlobFolder,
    pub(crate) tops: Vec<Top>,
    carried: BTreeSet<Digest>,
}

impl Goods {
    fn put(&mut self, media_type: &str, bytes: &[u8]) -> Descriptor {
        let descriptor = Descriptor::of(media_type, bytes);
        self.blobs.put(&descriptor.digest, descriptor.size, bytes).unwrap();
        self.carried.insert(descriptor.digest);
        descriptor
    }

    fn image(&mut self, name: &str, shared: &[u8]) -> Descriptor {
        let layers = [
            self.put(media_type::OCI_LAYER_TAR, shared),
            self.put(media_type::OCI_LAYER_TAR, &noise(name.len() as u64, 70_000)),
            self.put(media_type::OCI_LAYER_TAR, name.as_bytes()),
        ];
        let config = json!({"architecture": "amd64", "os": "linux", "author": name, "config": {},
            "rootfs": {"type": "layers", "diff_ids": layers.iter().map(|layer| layer.digest).collect::<Vec<_>>()}});
        let config = self.put(media_type::OCI_CONFIG, config.to_string().as_bytes());
        // Odd spaces: whoever writes a manifest anew changes its digest.
        let manifest =
            json!({"schemaVersion": 2, "mediaType": media_type::OCI_MANIFEST, "config": config, "layers": layers});
        self.put(media_type::OCI_MANIFEST, format!(" {:#}\n\n", manifest).as_bytes())
    }

    fn index(&mut self, children: &[(Descriptor, &str)]) -> Descriptor {
        let entry = |(child, architecture): &(Descriptor, &str)| {
            json!({"mediaType": child.media_type, "digest": child.digest, "size": child.size,
                "platform": {"os": "linux", "architecture": architecture}})
        };
        let manifests: Vec<_> = children.iter().map(entry).collect();
        let index = json!({"schemaVersion": 2, "mediaType": media_type::OCI_INDEX, "manifests": manifests});
        self.put(media_type::OCI_INDEX, format!("{index:#}").as_bytes())
    }

    fn keep(&mut self, repository: &str, descriptor: &Descriptor, tag: &str) {
        let repository = format!("{PREFIX}/{repository}");
        self.tops.push(Top { repository, descriptor: descriptor.clone(), tags: vec![tag.to_owned()] });
    }

    /// An image, a second one in the same repository, an index with all it names, something that refers to an image.
    pub(crate) fn whole() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let blobs = BlobFolder::open(folder.path()).unwrap();
        let mut goods = Goods { _folder: folder, blobs, tops: Vec::new(), carried: BTreeSet::new() };
        let shared = noise(99, SHARED);
        let (one, two) = (goods.image("one", &shared), goods.image("number two", &shared));
        let (amd64, arm64) = (goods.image("amd64", &shared), goods.image("arm64 variant", b"nothing is shared"));
        let index = goods.index(&[(amd64, "amd64"), (arm64, "arm64")]);
        goods.keep("docker.io/library/app", &one, "consign-p-1-one");
        goods.keep("docker.io/library/app", &two, "consign-p-1-two");
        goods.keep("quay.io_443/team/multi", &index, "consign-p-1-multi");
        let config = goods.put(media_type::OCI_EMPTY, b"{}");
        let content = goods.put("application/vnd.example.sbom+json", b"{\"packages\":[]}");
        let sbom = json!({"schemaVersion": 2, "mediaType": media_type::OCI_MANIFEST, "config": config, "layers": [content],
            "artifactType": "application/vnd.example.sbom+json", "subject": one});
        let sbom = goods.put(media_type::OCI_MANIFEST, sbom.to_string().as_bytes());
        goods.keep("docker.io/library/app", &sbom, "consign-p-1-sbom");
        goods
    }

    /// One image with one large layer.
    pub(crate) fn large(size: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let blobs = BlobFolder::open(folder.path()).unwrap();
        let mut goods = Goods { _folder: folder, blobs, tops: Vec::new(), carried: BTreeSet::new() };
        let image = goods.image("large", &noise(5, size));
        goods.keep("quay.io/team/large", &image, "consign-p-1-large");
        goods
    }

    /// What [`Self::whole`] has, and an index of which one platform stayed behind.
    pub(crate) fn sparse() -> Self {
        let mut goods = Self::whole();
        let present = goods.image("present", b"a small one");
        let absent = Descriptor::new(media_type::OCI_MANIFEST, Digest::of(b"stayed behind"), 500);
        let index = goods.index(&[(absent, "s390x"), (present, "amd64")]);
        goods.keep("ghcr.io/team/sparse", &index, "consign-p-1-sparse");
        goods
    }

    pub(crate) fn plan(&self) -> Plan {
        Plan::of(&self.tops, &self.blobs, &self.carried).unwrap()
    }

    /// Pushes all of it.
    pub(crate) async fn push(&self, target: &PushTarget<'_>) -> Result<Moved, PushError> {
        self.push_counting(target, &AtomicU64::new(0)).await
    }

    /// The same, and counts the bytes that were told.
    pub(crate) async fn push_counting(&self, target: &PushTarget<'_>, told: &AtomicU64) -> Result<Moved, PushError> {
        let tell = |count| {
            told.fetch_add(count, Ordering::Relaxed);
        };
        let scratch = format!("{PREFIX}/consign.internal/probe");
        target.push(&self.plan(), &self.blobs, &scratch, &BTreeMap::new(), &tell).await
    }
}

/// Bytes that do not compress and differ by seed.
pub(crate) fn noise(seed: u64, size: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 24) as u8
    };
    (0..size).map(|_| next()).collect()
}

/// A clock that never waits and remembers how long it should have.
#[derive(Default)]
pub(crate) struct Hasty {
    pauses: Mutex<Vec<Duration>>,
}

impl Hasty {
    pub(crate) fn pauses(&self) -> Vec<Duration> {
        self.pauses.lock().unwrap().clone()
    }
}

impl Patience for Hasty {
    fn pause(&self, pause: Duration) -> futures_util::future::BoxFuture<'_, ()> {
        self.pauses.lock().unwrap().push(pause);
        Box::pin(async {})
    }

    fn now(&self) -> u64 {
        0
    }

    fn random(&self) -> u64 {
        7
    }
}

/// Options for what listens at `address`, spoken to plainly.
pub(crate) fn options<'a>(address: &str, patience: &'a dyn Patience) -> PushOptions<'a> {
    let address = Address::parse(&format!("http://{address}/{PREFIX}"), false).unwrap();
    PushOptions::new(address, patience)
}

/// A client of what listens at `address`.
pub(crate) fn target<'a>(address: &str, patience: &'a dyn Patience) -> PushTarget<'a> {
    PushTarget::new(options(address, patience)).unwrap()
}
