//! Where images come from, on the connected side: a registry, an OCI layout, an archive.
//!
//! One contract, held by one suite (`registry/tests/source.rs`) for every implementation:
//! - bytes are returned as they were published, and only after their digest held;
//! - what cannot be carried with its digest unchanged is refused by name ([`SourceError::Unsupported`]);
//! - memory is one buffer, however large the blob.

use std::io;
use std::path::PathBuf;

use consign_format::error::{Code, Coded, codes};
use consign_format::{Descriptor, Digest, Reference};
use futures_util::future::BoxFuture;

use crate::manifest::ManifestError;

mod archive;
mod docker_save;
mod local;

pub use local::LocalImages;

/// What a source promises for as long as a method runs.
pub type Answer<'a, T> = BoxFuture<'a, Result<T, SourceError>>;

/// A place that images can be pulled from.
pub trait ImageSource: Send + Sync {
    /// What a reference stands for now. A digest in the reference wins over its tag. The descriptor has the media
    /// type, digest and size of the manifest or index, and no more.
    fn resolve<'a>(&'a self, reference: &'a Reference) -> Answer<'a, Descriptor>;

    /// The bytes of a manifest or index of the reference's repository, verbatim, their digest checked, in a form that
    /// [`crate::manifest::Manifest::parse`] accepts. At most [`consign_format::Limits::manifest`] bytes.
    fn manifest<'a>(&'a self, reference: &'a Reference, digest: &'a Digest) -> Answer<'a, Vec<u8>>;

    /// Streams a blob of the reference's repository into a sink. On `Ok` the sink has got exactly the bytes of the
    /// digest. On `Err` it may have got some bytes, which are worth nothing.
    fn blob<'a>(
        &'a self,
        reference: &'a Reference,
        blob: &'a Descriptor,
        sink: &'a mut (dyn io::Write + Send),
    ) -> Answer<'a, ()>;

    /// The manifests that refer to a digest: by `subject` (OCI 1.1), with their `artifactType` and annotations, and by
    /// tag (`sha256-<hex>.sig`, `.att`, `.sbom`, as cosign has them). Those found by tag carry the tag in the
    /// annotation [`consign_format::layout::REF_NAME`]. None is no error.
    fn referrers<'a>(&'a self, reference: &'a Reference, digest: &'a Digest) -> Answer<'a, Vec<Descriptor>>;
}

/// How cosign's tags end: signatures, attestations, SBOMs.
pub const COSIGN_SUFFIXES: [&str; 3] = ["sig", "att", "sbom"];

/// The tag under which cosign keeps something about a digest.
pub fn cosign_tag(digest: &Digest, suffix: &str) -> String {
    format!("sha256-{}.{suffix}", digest.hex())
}

/// Why an image, or a part of one, cannot be had. Every variant names what was wanted and where it was looked for.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The place was reached and has no such thing.
    #[error("{wanted} is not in {place}")]
    NotFound {
        /// The reference, or the reference with a digest.
        wanted: String,
        /// The host that was asked, after mirrors, or the file.
        place: String,
    },
    /// More than one image answers to the name.
    #[error("{wanted} is in {place} more than once")]
    Ambiguous {
        /// The reference.
        wanted: String,
        /// The file.
        place: String,
    },
    /// No answer, or none but failures, after several tries.
    #[error("cannot get {wanted} from {place} ({tries} tries)")]
    Unreachable {
        /// What was wanted.
        wanted: String,
        /// The host that was asked.
        place: String,
        /// How often.
        tries: u32,
        /// The last failure.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The host wants credentials, or others.
    #[error("{place} does not let us pull {wanted}{}", if *.had_credentials { " with the credentials for it" } else { " without credentials" })]
    Unauthorized {
        /// What was wanted.
        wanted: String,
        /// The host that was asked.
        place: String,
        /// Whether credentials were sent.
        had_credentials: bool,
        /// What the host said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Other bytes than the digest promises.
    #[error("{place} gave other bytes for {wanted}: expected {expected}, got {actual}")]
    Mismatch {
        /// What was wanted.
        wanted: String,
        /// The host or file.
        place: String,
        /// The digest asked for.
        expected: Digest,
        /// The digest of what came.
        actual: String,
    },
    /// An image of a kind that cannot be carried.
    #[error("{wanted} from {place} cannot be carried")]
    Unsupported {
        /// What was wanted.
        wanted: String,
        /// The host or file.
        place: String,
        /// Why.
        source: ManifestError,
    },
    /// A manifest, layout or archive that is not well formed.
    #[error("{wanted} from {place} is malformed")]
    Malformed {
        /// What was wanted, or which part of a file.
        wanted: String,
        /// The host or file.
        place: String,
        /// What is wrong.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// An answer that the distribution specification does not allow.
    #[error("{place} answered a request for {wanted} in a way no registry may")]
    Protocol {
        /// What was wanted.
        wanted: String,
        /// The host that was asked.
        place: String,
        /// What it answered.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A local file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The sink did not take the bytes.
    #[error("cannot write {wanted}")]
    Sink {
        /// What was wanted.
        wanted: String,
        /// What the sink said.
        source: io::Error,
    },
}

impl Coded for SourceError {
    fn code(&self) -> Code {
        match self {
            SourceError::NotFound { .. } | SourceError::Ambiguous { .. } => codes::IMAGE_NOT_FOUND,
            SourceError::Unreachable { .. } => codes::REGISTRY_UNREACHABLE,
            SourceError::Unauthorized { .. } => codes::REGISTRY_UNAUTHORIZED,
            SourceError::Mismatch { .. } => codes::REGISTRY_DIGEST_MISMATCH,
            SourceError::Unsupported { .. } => codes::IMAGE_UNSUPPORTED,
            SourceError::Malformed { .. } => codes::IMAGE_MALFORMED,
            SourceError::Protocol { .. } => codes::REGISTRY_PROTOCOL,
            SourceError::Read { .. } | SourceError::Sink { .. } => codes::IO,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            SourceError::NotFound { place, .. } => {
                Some(format!("check the spelling and the tag, and whether {place} is the right place for it"))
            }
            SourceError::Unreachable { place, .. } => {
                Some(format!("check that {place} answers from here: name, network, proxy, certificate authority"))
            }
            SourceError::Unauthorized { place, had_credentials: false, .. } => Some(format!(
                "log in (`docker login {place}`); or the image does not exist, which some registries hide"
            )),
            SourceError::Unauthorized { place, .. } => Some(format!("check the login for {place} and its rights")),
            SourceError::Unsupported { .. } => Some("rebuild or push the image again in a current format".to_owned()),
            SourceError::Mismatch { .. } => Some("a proxy in between, or the registry, is damaged".to_owned()),
            SourceError::Ambiguous { .. } => Some("name the one you mean by its digest".to_owned()),
            SourceError::Malformed { .. } => {
                Some("what is there is damaged or no image; push it or save it again".to_owned())
            }
            SourceError::Protocol { place, .. } => {
                Some(format!("check that a registry answers at {place}, and not a proxy or a login page"))
            }
            SourceError::Read { .. } => Some("check the path and who may read it".to_owned()),
            SourceError::Sink { .. } => Some("check the room and the rights where the bundle is written".to_owned()),
        }
    }
}

/// Sorts what [`crate::manifest::Manifest::parse`] refuses into unsupported and malformed.
pub(crate) fn refused(wanted: String, place: String, source: ManifestError) -> SourceError {
    if source.is_unsupported() {
        SourceError::Unsupported { wanted, place, source }
    } else {
        SourceError::Malformed { wanted, place, source: Box::new(source) }
    }
}

/// How errors name a digest of a reference's repository.
pub(crate) fn wanted(reference: &Reference, digest: &Digest) -> String {
    format!("{}@{digest}", reference.name())
}
