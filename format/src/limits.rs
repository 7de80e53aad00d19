//! Bounds on everything read from outside, each with its reason. Every reader takes them.

/// What a reader is willing to read. [`Limits::DEFAULT`] is generous for real releases and small
/// enough that a hostile medium costs a site neither memory nor hours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// One metadata document (root, timestamp, snapshot, targets): bytes. Ours are a few KB.
    pub metadata: u64,
    /// How many roots travel in one bundle. At one rotation a month, eighty years.
    pub roots: u64,
    /// All roots of one bundle together: bytes. They are held in memory before any signature is looked at.
    pub all_roots: u64,
    /// All statements of one bundle together: bytes. Records of 20 000 sites, a KB each, are 20 MB.
    pub statements: u64,
    /// The carriage: bytes. 100 000 members of about 180 bytes each are 18 MB.
    pub carriage: u64,
    /// The release manifest: bytes. 100 000 blobs of about 200 bytes each are 20 MB.
    pub release: u64,
    /// `index.json` and `oci-layout`: bytes.
    pub layout: u64,
    /// The filler between head and payload: bytes.
    pub filler: u64,
    /// Members in one bundle.
    pub members: u64,
    /// An image manifest or index: bytes. Registries cap at 4 MiB (distribution-spec, §pushing manifests).
    pub manifest: u64,
    /// The unpacked state artifact: bytes. Argo CD's own install is 2 MB.
    pub state: u64,
    /// Plain bytes in one frame of a packed member.
    pub frame: u64,
}

impl Limits {
    /// The bounds used everywhere outside tests.
    pub const DEFAULT: Limits = Limits {
        metadata: 1 << 20,
        roots: 1024,
        all_roots: 16 << 20,
        statements: 64 << 20,
        carriage: 64 << 20,
        release: 64 << 20,
        layout: 16 << 20,
        filler: 64 << 20,
        members: 500_000,
        manifest: 4 << 20,
        state: 256 << 20,
        frame: 4 << 20,
    };
}

impl Default for Limits {
    fn default() -> Self {
        Limits::DEFAULT
    }
}
