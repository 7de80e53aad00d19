//! The release and its archive, decided before a byte is fetched: every blob, every member, every size.
//!
//! `--dry-run` prints what this returns; the same plan is executed.

use std::collections::{BTreeMap, BTreeSet};

use consign_format::error::{Code, Coded, codes};
use consign_format::release::{self, Blob, File, Image, ReleaseError, ReleaseManifest, Role, Rollout};
use consign_format::state::{self, StateArtifact, StateError, StateLabels};
use consign_format::trust::document::Approval;
use consign_format::{Descriptor, Digest, Reference, layout, media_type};
use serde::Serialize;
use serde_json::Value;

use crate::collect::Collected;
use crate::config::Config;
use crate::desired::Desired;
use crate::files::Measured;
use crate::lock::{Lock, LockedImage};
use crate::pin::{PinError, pin};

/// The oldest installer that can take what this version builds.
const MINIMUM_INSTALLER: &str = "0.1.0";

/// What will be built.
#[derive(Debug)]
pub struct Plan {
    /// The release.
    pub release: ReleaseManifest,
    /// Its one form.
    pub release_bytes: Vec<u8>,
    /// What the approvers say of it.
    pub approval: Approval,
    /// `index.json`.
    pub index: Vec<u8>,
    /// Blobs that are carried as they are, in the order of the archive.
    pub stored: Vec<Stored>,
    /// Files that are carried packed, by digest, each content once.
    pub packed: Vec<Measured>,
}

/// One blob that is carried as it is.
#[derive(Debug)]
pub struct Stored {
    /// Media type, digest and size.
    pub descriptor: Descriptor,
    /// Where its bytes are.
    pub content: Content,
}

/// Where the bytes of a blob are.
#[derive(Debug)]
pub enum Content {
    /// In memory.
    Here(Vec<u8>),
    /// At the source of this image.
    Fetch(Reference),
}

/// Why there is no plan.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// An image field cannot be pinned.
    #[error(transparent)]
    Pin(#[from] PinError),
    /// The state artifact cannot be made.
    #[error("the desired state cannot be packed")]
    State(#[from] StateError),
    /// The release manifest cannot be made.
    #[error("the release manifest cannot be made")]
    Release(#[from] ReleaseError),
    /// Two sources give one digest different sizes.
    #[error("{digest} is {first} bytes in one manifest and {second} in another")]
    Sizes {
        /// The blob.
        digest: Digest,
        /// The one size.
        first: u64,
        /// The other.
        second: u64,
    },
}

impl Coded for PlanError {
    fn code(&self) -> Code {
        match self {
            PlanError::Pin(error) => error.code(),
            PlanError::State(_) => codes::OBJECT_MALFORMED,
            PlanError::Release(_) => codes::CONFIG_MALFORMED,
            PlanError::Sizes { .. } => codes::IMAGE_MALFORMED,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            PlanError::Pin(error) => error.hint(),
            PlanError::Sizes { .. } => Some("one of the two images is damaged; push it again".to_owned()),
            _ => None,
        }
    }
}

/// Plans a release. Pins the images of the desired state on the way.
///
/// # Errors
/// [`PlanError`], naming the object and field, or the blob.
pub fn plan(
    config: &Config,
    desired: &mut Desired,
    lock: &Lock,
    collected: Collected,
    files: Vec<Measured>,
) -> Result<Plan, PlanError> {
    pin(&mut desired.objects, &desired.found, &lock.digests())?;
    let objects: Vec<Value> = desired.objects.iter().map(|object| object.value.clone()).collect();
    let state = StateArtifact::build(&objects, &labels(lock))?;
    let images = images(&lock.images);
    let index = layout::index_json(&entries(lock, &images, &state));
    let mut blobs = blobs(&collected, &state)?;
    let packed = packed(files.clone(), &mut blobs)?;
    let release = release(config, desired, lock, &state, images, &files, &blobs);
    let release_bytes = release.to_bytes()?;
    let approval = Approval {
        product: release.product.clone(),
        version: release.version.clone(),
        line: release.line.clone(),
        sequence: release.sequence,
        issued: release.issued,
        audience: config.audience.clone(),
        minimum_installer: MINIMUM_INSTALLER.to_owned(),
    };
    Ok(Plan { release, release_bytes, approval, index, stored: stored(collected, state), packed })
}

/// Flux shows the revision as `REF@sha1:COMMIT` (field notes: one artifact for both controllers).
fn labels(lock: &Lock) -> StateLabels {
    let algorithm = if lock.source.commit.len() == 64 { "sha256" } else { "sha1" };
    StateLabels {
        title: lock.product.to_string(),
        version: lock.version.clone(),
        revision: format!("{}@{algorithm}:{}", lock.source.reference, lock.source.commit),
        source: lock.source.url.clone(),
    }
}

/// The images of the release. Where two pinned references share a tag, only the first keeps it: the tag can mean
/// one thing at a site.
fn images(locked: &[LockedImage]) -> Vec<Image> {
    let mut tags: BTreeMap<(String, String), Digest> = BTreeMap::new();
    let mut images: BTreeMap<String, Image> = BTreeMap::new();
    for image in locked {
        let Ok(reference) = image.reference.parse::<Reference>() else { continue };
        let mut reference = reference.with_digest(image.digest);
        if let Some(tag) = reference.tag.clone() {
            let first = tags.entry((reference.name(), tag)).or_insert(image.digest);
            if *first != image.digest {
                reference.tag = None;
            }
        }
        let platforms: BTreeSet<String> =
            image.manifests.iter().filter_map(|m| m.platform.clone()).filter(|p| !p.starts_with("unknown/")).collect();
        let referrer = |r: &crate::lock::LockedReferrer| release::Referrer {
            digest: r.digest,
            subject: r.subject,
            tag: r.tag.clone(),
            artifact_type: r.artifact_type.clone(),
        };
        let made = images.entry(reference.to_string()).or_insert_with(|| Image {
            reference: reference.to_string(),
            digest: image.digest,
            platforms: platforms.into_iter().collect(),
            referrers: image.referrers.iter().map(referrer).collect(),
            found_in: Vec::new(),
        });
        // `name:tag` and `name:tag@digest` of the same image come together here.
        let places: BTreeSet<String> = made.found_in.drain(..).chain(image.found_in.iter().cloned()).collect();
        made.found_in = places.into_iter().collect();
    }
    images.into_values().collect()
}

/// The entries of `index.json`: every image by its name, every cosign tag, and the state artifact.
fn entries(lock: &Lock, images: &[Image], state: &StateArtifact) -> BTreeMap<String, Descriptor> {
    let mut entries = BTreeMap::new();
    let known: BTreeMap<Digest, &LockedImage> = lock.images.iter().map(|image| (image.digest, image)).collect();
    for image in images {
        let (Ok(reference), Some(locked)) = (image.reference.parse::<Reference>(), known.get(&image.digest)) else {
            continue;
        };
        let named = match &reference.tag {
            Some(_) => Reference { digest: None, ..reference.clone() },
            None => reference.clone(),
        };
        entries.insert(named.to_string(), Descriptor::new(&locked.media_type, locked.digest, locked.size));
        for referrer in &locked.referrers {
            if let Some(tag) = &referrer.tag {
                let descriptor = Descriptor::new(&referrer.media_type, referrer.digest, referrer.size);
                entries.insert(format!("{}:{tag}", reference.name()), descriptor);
            }
        }
    }
    let name = format!("{}/{}:{}", state::HOST, state::repository(&lock.product), lock.version);
    entries.insert(name, state.manifest.0.clone());
    entries
}

/// Every blob of the release by digest. What one image calls a configuration and another a layer is one blob with
/// the first of its roles.
fn blobs(collected: &Collected, state: &StateArtifact) -> Result<BTreeMap<Digest, Blob>, PlanError> {
    let mut blobs = BTreeMap::new();
    for blob in collected.blobs.values() {
        add(&mut blobs, &blob.descriptor, blob.role)?;
    }
    add(&mut blobs, &state.manifest.0, Role::Manifest)?;
    add(&mut blobs, &state.config.0, Role::Config)?;
    add(&mut blobs, &state.layer.0, Role::Layer)?;
    Ok(blobs)
}

fn add(blobs: &mut BTreeMap<Digest, Blob>, descriptor: &Descriptor, role: Role) -> Result<(), PlanError> {
    let Descriptor { digest, size, media_type, .. } = descriptor;
    let blob = Blob { digest: *digest, size: *size, media_type: media_type.clone(), role };
    let known = blobs.entry(*digest).or_insert(blob);
    match known.size == *size {
        true => Ok(()),
        false => Err(PlanError::Sizes { digest: *digest, first: known.size, second: *size }),
    }
}

/// The files that are not there as a blob of an image already, each content once.
fn packed(files: Vec<Measured>, blobs: &mut BTreeMap<Digest, Blob>) -> Result<Vec<Measured>, PlanError> {
    let mut packed: BTreeMap<Digest, Measured> = BTreeMap::new();
    for file in files {
        let is_new = !blobs.contains_key(&file.digest);
        add(blobs, &Descriptor::new(media_type::FILE, file.digest, file.size), Role::File)?;
        if is_new {
            packed.insert(file.digest, file);
        }
    }
    Ok(packed.into_values().collect())
}

fn release(
    config: &Config,
    desired: &Desired,
    lock: &Lock,
    state: &StateArtifact,
    images: Vec<Image>,
    files: &[Measured],
    blobs: &BTreeMap<Digest, Blob>,
) -> ReleaseManifest {
    let file = |file: &Measured| File {
        to: file.to.clone(),
        mode: file.mode.clone(),
        owner: file.owner.clone(),
        digest: file.digest,
        installer: file.installer.clone(),
    };
    ReleaseManifest {
        schema: release::SCHEMA.to_owned(),
        product: lock.product.clone(),
        version: lock.version.clone(),
        line: config.file.line.clone(),
        sequence: lock.sequence,
        issued: lock.issued,
        source: lock.source.clone(),
        kubernetes: config.file.kubernetes.clone(),
        namespace: config.file.namespace.clone(),
        state: state.manifest.0.digest,
        images,
        files: files.iter().map(file).collect(),
        services: config.file.services.clone(),
        secrets: desired.secrets.clone(),
        requires: config.file.requires.clone(),
        upgrade_from: config.file.upgrade_from.clone(),
        rollout: Rollout {
            on_failure: desired.on_failure,
            health_timeout: config.health_timeout,
            allow_prune: config.file.rollout.allow_prune.clone(),
            irreversible: config.file.rollout.irreversible,
        },
        tools: lock.tools.clone(),
        blobs: blobs.values().cloned().collect(),
    }
}

/// The stored members in order: what is small and needed first (indexes, manifests, configurations, the state),
/// then layers; each by digest.
fn stored(collected: Collected, state: StateArtifact) -> Vec<Stored> {
    let mut small: BTreeMap<Digest, Stored> = BTreeMap::new();
    let mut large: BTreeMap<Digest, Stored> = BTreeMap::new();
    for (digest, blob) in collected.blobs {
        let is_large = blob.role == Role::Layer;
        let content = blob.bytes.map_or(Content::Fetch(blob.reference), Content::Here);
        let into = if is_large { &mut large } else { &mut small };
        into.insert(digest, Stored { descriptor: blob.descriptor, content });
    }
    for (descriptor, bytes) in [state.manifest, state.config, state.layer] {
        large.remove(&descriptor.digest);
        small.insert(descriptor.digest, Stored { descriptor, content: Content::Here(bytes) });
    }
    small.into_values().chain(large.into_values()).collect()
}

/// What `--dry-run` and `--json` show of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// The product.
    pub product: String,
    /// The version.
    pub version: String,
    /// The sequence.
    pub sequence: u64,
    /// The commit.
    pub commit: String,
    /// Kubernetes objects.
    pub objects: u64,
    /// Images.
    pub images: Vec<String>,
    /// Files.
    pub files: Vec<String>,
    /// Blobs of the release.
    pub blobs: u64,
    /// Bytes of all blobs.
    pub payload: u64,
    /// Bytes that come over the network.
    pub fetch: u64,
    /// The digest of the release.
    pub release: Digest,
}

impl Plan {
    /// Sums the plan up.
    pub fn summary(&self, lock: &Lock) -> Summary {
        let fetched = self.stored.iter().filter(|stored| matches!(stored.content, Content::Fetch(_)));
        Summary {
            product: self.release.product.to_string(),
            version: self.release.version.clone(),
            sequence: self.release.sequence,
            commit: self.release.source.commit.clone(),
            objects: lock.objects.len() as u64,
            images: self.release.images.iter().map(|image| image.reference.clone()).collect(),
            files: self.release.files.iter().map(|file| file.to.clone()).collect(),
            blobs: self.release.blobs.len() as u64,
            payload: self.release.blobs.iter().map(|blob| blob.size).sum(),
            fetch: fetched.map(|stored| stored.descriptor.size).sum(),
            release: Digest::of(&self.release_bytes),
        }
    }
}
