//! From the roots to the release: timestamp, snapshot, targets, carriage, release manifest, in this order.
//!
//! What is decided here needs only the bundle and the roots. What needs a site's memory (sequence, floor,
//! audience, room) is decided by the site over a [`Vouched`] head.

use std::collections::BTreeSet;

use super::TrustError;
use super::document::{Approval, Snapshot, Targets, Timestamp, pointed};
use super::envelope::Envelope;
use super::roots::RootChain;
use crate::archive::header;
use crate::canonical;
use crate::carriage::{BOUNDARY_UNIT, Carriage, FRAME_SIZE, Member, Place, TYPE};
use crate::release::{self, ReleaseManifest};
use crate::{Digest, layout};

mod awaiting;

pub use awaiting::{Asked, Awaiting};

/// Room for what zstd adds to bytes it cannot compress (RFC 8878; `ZSTD_compressBound`).
const FRAME_OVERHEAD: u64 = 64 * 1024;

/// The timestamp's signature holds.
#[derive(Debug)]
pub struct TimestampTrusted<'r> {
    roots: &'r RootChain,
    timestamp: Timestamp,
}

/// The snapshot is the one the timestamp names.
#[derive(Debug)]
pub struct SnapshotTrusted<'r> {
    roots: &'r RootChain,
    timestamp: Timestamp,
    snapshot: Snapshot,
    bundle_id: Digest,
}

/// The targets are the ones the snapshot names, and the approvers have signed them.
#[derive(Debug)]
pub struct TargetsTrusted {
    timestamp: Timestamp,
    snapshot: Snapshot,
    bundle_id: Digest,
    targets: Targets,
    release: Digest,
    release_length: u64,
}

/// The carriage is the one the snapshot names.
#[derive(Debug)]
pub struct CarriageTrusted {
    targets: TargetsTrusted,
    carriage: Carriage,
}

/// A head that the roots vouch for, all of it. The only way to one is through the chain.
#[derive(Debug)]
pub struct Vouched {
    /// The bundle's id: the digest of snapshot's signed bytes.
    pub bundle_id: Digest,
    /// The release's digest.
    pub release_digest: Digest,
    /// What the approvers say.
    pub approval: Approval,
    /// What this file carries.
    pub carriage: Carriage,
    /// What the release is.
    pub release: ReleaseManifest,
    /// Versions of timestamp, snapshot and targets.
    pub versions: [u64; 3],
    /// The earliest expiry of the documents and the document it stands in (RFC 3339 sorts as text).
    pub expires: (String, &'static str),
}

fn form(document: &str, reason: impl Into<String>) -> TrustError {
    TrustError::Form { document: document.to_owned(), reason: reason.into() }
}

impl RootChain {
    /// TUF §5.4: the timestamp.
    pub fn timestamp(&self, bytes: &[u8]) -> Result<TimestampTrusted<'_>, TrustError> {
        const DOCUMENT: &str = "timestamp.json";
        let envelope = Envelope::parse(DOCUMENT, bytes)?;
        // §5.4.2: signed by the timestamp role.
        self.check_role(&envelope, "timestamp")?;
        let timestamp: Timestamp = envelope.interpret()?;
        check_meta(DOCUMENT, &timestamp.kind, "timestamp", &timestamp.meta, "snapshot.json")?;
        // §5.4.3, off-spec: versions do not decide what is older; the approvers' sequence does (TRUST §1).
        // §5.4.4, off-spec: a site's clock does not decide; expiry is judged by who has a clock to trust.
        Ok(TimestampTrusted { roots: self, timestamp })
    }
}

impl<'r> TimestampTrusted<'r> {
    /// TUF §5.5: the snapshot.
    pub fn snapshot(self, bytes: &[u8]) -> Result<SnapshotTrusted<'r>, TrustError> {
        const DOCUMENT: &str = "snapshot.json";
        let envelope = Envelope::parse(DOCUMENT, bytes)?;
        // §5.5.3: signed by the snapshot role.
        self.roots.check_role(&envelope, "snapshot")?;
        let snapshot: Snapshot = envelope.interpret()?;
        check_meta(DOCUMENT, &snapshot.kind, "snapshot", &snapshot.meta, "targets.json")?;
        // §5.5.2 and §5.5.4: the digest and version that the timestamp names.
        let named = &self.timestamp.meta[DOCUMENT];
        check_named(&envelope, &named.signed_sha256, named.version == snapshot.version, "timestamp.json")?;
        let bundle_id = envelope.signed_digest();
        Ok(SnapshotTrusted { roots: self.roots, timestamp: self.timestamp, snapshot, bundle_id })
    }
}

impl SnapshotTrusted<'_> {
    /// TUF §5.6: the targets.
    pub fn targets(self, bytes: &[u8]) -> Result<TargetsTrusted, TrustError> {
        const DOCUMENT: &str = "targets.json";
        let envelope = Envelope::parse(DOCUMENT, bytes)?;
        // §5.6.3: signed by the targets role: the approvers.
        self.roots.check_role(&envelope, "targets")?;
        self.named(&envelope)
    }

    /// Holds targets, whose signatures have been looked at, against snapshot.
    fn named(self, envelope: &Envelope<'_>) -> Result<TargetsTrusted, TrustError> {
        const DOCUMENT: &str = "targets.json";
        let targets: Targets = envelope.interpret()?;
        // §5.6.2 and §5.6.4: the digest and version that the snapshot names.
        let named = &self.snapshot.meta[DOCUMENT];
        check_named(envelope, &named.signed_sha256, named.version == targets.version, "snapshot.json")?;
        let (release, release_length) = the_target(&targets)?;
        // Approvers may have a say in several domains; they speak for one at a time.
        if targets.domain != *self.roots.domain() {
            let expected = self.roots.domain().clone();
            return Err(TrustError::OtherDomain { expected, found: targets.domain });
        }
        Ok(TargetsTrusted {
            timestamp: self.timestamp,
            snapshot: self.snapshot,
            bundle_id: self.bundle_id,
            targets,
            release,
            release_length,
        })
    }
}

impl TargetsTrusted {
    /// The carriage: vouched for by snapshot, by length and digest of the whole file.
    pub fn carriage(self, bytes: &[u8]) -> Result<CarriageTrusted, TrustError> {
        const DOCUMENT: &str = "carriage.json";
        let named = &self.snapshot.carriage;
        if bytes.len() as u64 != named.length || pointed(&named.sha256) != Some(Digest::of(bytes)) {
            return Err(TrustError::NotVouched { document: DOCUMENT.to_owned(), vouching: "snapshot.json" });
        }
        let envelope = Envelope::parse(DOCUMENT, bytes)?;
        if let Some(idle) = envelope.signatures().first() {
            let (document, key) = (DOCUMENT.to_owned(), idle.keyid.clone());
            return Err(TrustError::IdleSignature { document, key, reason: "snapshot vouches for the carriage" });
        }
        let carriage: Carriage = envelope.interpret()?;
        if carriage.kind != TYPE {
            return Err(form(DOCUMENT, "its `_type` is another"));
        }
        if carriage.release != self.release {
            return Err(TrustError::Contradiction { what: "the release manifest's digest" });
        }
        let wider = &self.targets.bundle.audience;
        if let Some(who) = carriage.audience.as_ref().and_then(|audience| audience.beyond(wider)) {
            return Err(TrustError::AudienceWidened { who });
        }
        Ok(CarriageTrusted { targets: self, carriage })
    }
}

impl CarriageTrusted {
    /// TUF §5.7: the target itself, and the carriage held against it.
    pub fn release(self, bytes: &[u8]) -> Result<Vouched, TrustError> {
        let CarriageTrusted { targets, carriage } = self;
        let approval = targets.targets.bundle;
        let release = the_release(bytes, (targets.release, targets.release_length), &approval)?;
        check_members(&carriage, &release)?;
        let expiries = [
            (targets.timestamp.expires, "timestamp.json"),
            (targets.snapshot.expires, "snapshot.json"),
            (targets.targets.expires, "targets.json"),
        ];
        let expires = expiries.into_iter().min().ok_or_else(|| form("timestamp.json", "it has no expiry"))?;
        Ok(Vouched {
            bundle_id: targets.bundle_id,
            release_digest: targets.release,
            approval,
            carriage,
            release,
            versions: [targets.timestamp.version, targets.snapshot.version, targets.targets.version],
            expires,
        })
    }
}

/// §5.6.7, off-spec: there are no delegations in version 1, and one target: the release manifest, by digest and length.
fn the_target(targets: &Targets) -> Result<(Digest, u64), TrustError> {
    const DOCUMENT: &str = "targets.json";
    if targets.kind != "targets" {
        return Err(form(DOCUMENT, "its `_type` is another"));
    }
    let one = (targets.targets.len() == 1).then(|| targets.targets.get(release::MEMBER)).flatten();
    let target = one.ok_or_else(|| form(DOCUMENT, "its one target must be the release manifest"))?;
    let hash = target.hashes.get("sha256").and_then(|hex| pointed(hex));
    Ok((hash.ok_or_else(|| form(DOCUMENT, "its target has no sha256"))?, target.length))
}

/// The release manifest that targets names, held against what the approvers say of it.
fn the_release(
    bytes: &[u8],
    (digest, length): (Digest, u64),
    approval: &Approval,
) -> Result<ReleaseManifest, TrustError> {
    // §5.7.2: length and hash that the targets document names.
    if bytes.len() as u64 != length || Digest::of(bytes) != digest {
        let document = release::MEMBER.to_owned();
        return Err(TrustError::NotVouched { document, vouching: "targets.json" });
    }
    let release = ReleaseManifest::parse(bytes)?;
    for (same, what) in [
        (approval.product == release.product, "the product"),
        (approval.version == release.version, "the version"),
        (approval.line == release.line, "the line"),
        (approval.sequence == release.sequence, "the sequence"),
        (approval.issued == release.issued, "the time of issue"),
    ] {
        if !same {
            return Err(TrustError::Contradiction { what });
        }
    }
    Ok(release)
}

fn check_meta(
    document: &str,
    kind: &str,
    expected: &str,
    meta: &std::collections::BTreeMap<String, super::document::MetaFile>,
    only: &str,
) -> Result<(), TrustError> {
    if kind != expected {
        return Err(form(document, "its `_type` is another"));
    }
    if !meta.keys().map(String::as_str).eq([only]) {
        return Err(form(document, format!("its `meta` must name {only} and nothing else")));
    }
    Ok(())
}

fn check_named(
    envelope: &Envelope<'_>,
    sha256: &str,
    same_version: bool,
    vouching: &'static str,
) -> Result<(), TrustError> {
    if pointed(sha256) == Some(envelope.signed_digest()) && same_version {
        return Ok(());
    }
    Err(TrustError::NotVouched { document: envelope.document().to_owned(), vouching })
}

/// Holds every member against the release: a carriage can leave out, never add, and no size is believed.
fn check_members(carriage: &Carriage, release: &ReleaseManifest) -> Result<(), TrustError> {
    let document = "carriage.json";
    if carriage.boundary == 0 || !carriage.boundary.is_multiple_of(BOUNDARY_UNIT) {
        return Err(form(document, format!("the boundary is not a multiple of {BOUNDARY_UNIT}")));
    }
    let mut total = header::END_LENGTH;
    let mut seen = BTreeSet::new();
    for (n, member) in carriage.members.iter().enumerate() {
        let refuse = |reason: &str| form(document, format!("member `{}` {reason}", member.name));
        let place = Place::parse(&member.name).ok_or_else(|| refuse("has a name no member has"))?;
        let content = match place {
            Place::Blob(digest) | Place::Packed(digest) => Some(digest),
            Place::Layout | Place::Index => None,
        };
        if (n == 0) != (place == Place::Layout) || (n == 1) != (place == Place::Index) {
            return Err(refuse("is out of place: `oci-layout` and `index.json` come first"));
        }
        if content.is_some_and(|digest| !seen.insert(digest)) {
            return Err(refuse("stands twice"));
        }
        check_member(member, place, release).map_err(|problem| match problem {
            Some(reason) => refuse(reason),
            None => TrustError::NotInRelease { member: member.name.clone() },
        })?;
        let stored = header::stored(member.length).and_then(|stored| total.checked_add(stored));
        total = stored.filter(|t| *t <= canonical::MAX_INTEGER).ok_or_else(|| refuse("is too long"))?;
    }
    if carriage.members.len() < 2 {
        return Err(form(document, "`oci-layout` or `index.json` is missing"));
    }
    if total != carriage.payload {
        return Err(form(document, "its members do not add up to its payload"));
    }
    Ok(())
}

/// `Err(None)` says that the release does not list the content, or lists it with another size.
fn check_member(member: &Member, place: Place, release: &ReleaseManifest) -> Result<(), Option<&'static str>> {
    let listed = |digest: &Digest, size: u64| match release.blob(digest) {
        Some(blob) if blob.size == size => Ok(()),
        _ => Err(None),
    };
    match (place, &member.packed) {
        (Place::Layout, None) if member.sha256 == Digest::of(layout::OCI_LAYOUT) => Ok(()),
        (Place::Layout, _) => Err(Some("is not the layout file of this format")),
        (Place::Index, None) => Ok(()),
        (Place::Blob(digest), None) if digest == member.sha256 => listed(&digest, member.length),
        (Place::Blob(_), None) => Err(Some("is not named by its digest")),
        (Place::Packed(digest), Some(packed)) => {
            if packed.digest != digest {
                return Err(Some("is not named by the digest of its content"));
            }
            let stored = packed.frames.iter().try_fold(0u64, |sum, frame| sum.checked_add(frame.length));
            let count = packed.size.div_ceil(FRAME_SIZE).max(1);
            let small = packed.frames.iter().all(|frame| frame.length <= FRAME_SIZE + FRAME_OVERHEAD);
            if stored != Some(member.length) || packed.frames.len() as u64 != count || !small {
                return Err(Some("has frames that do not add up"));
            }
            listed(&digest, packed.size)
        }
        (Place::Packed(_), None) => Err(Some("does not say what is packed in it")),
        (_, Some(_)) => Err(Some("is said to be packed and is not")),
    }
}
