//! Makes small bundles in memory: whole ones to accept, and the parts to make wrong ones of.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, unreachable_pub)]

pub mod volumes;

use std::collections::BTreeMap;
use std::io::Cursor;

use consign_format::archive::head::{ArchiveError, OpenedBundle};
use consign_format::archive::plan::{self, HeadDocuments};
use consign_format::carriage::{self, Carriage, Carried, Member, Place};
use consign_format::error::{Code, Coded};
use consign_format::release::*;
use consign_format::state::{StateArtifact, StateLabels};
use consign_format::trust::TrustError;
use consign_format::trust::author::{self, Signers};
use consign_format::trust::document::{Approval, Audience};
use consign_format::trust::keys::SecretKey;
use consign_format::trust::roots::RootChain;
use consign_format::{Descriptor, Digest, Limits, frames, layout, media_type};
use serde_json::json;

pub const EXPIRES: &str = "2036-11-22T12:00:00Z";

pub fn key(seed: u8) -> SecretKey {
    SecretKey::from_seed(&[seed; 32])
}

/// Everything a bundle is made of, open to be made wrong before [`Parts::pack`].
pub struct Parts {
    pub key: SecretKey,
    pub roots: Vec<Vec<u8>>,
    pub release: ReleaseManifest,
    pub audience: Audience,
    pub contents: Vec<(Member, Vec<u8>)>,
}

fn stored(place: Place, bytes: Vec<u8>) -> (Member, Vec<u8>) {
    let member = Member {
        name: place.name(),
        length: bytes.len() as u64,
        sha256: Digest::of(&bytes),
        carried: Carried::Full,
        packed: None,
    };
    (member, bytes)
}

fn blob(role: Role, descriptor: &Descriptor) -> Blob {
    Blob { digest: descriptor.digest, size: descriptor.size, media_type: descriptor.media_type.clone(), role }
}

pub fn parts() -> Parts {
    let key = key(1);
    let root = author::development_root(&"dev".parse().unwrap(), &key, EXPIRES).unwrap();
    let objects = [json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "b"}})];
    let labels = StateLabels { title: "p".into(), version: "1".into(), revision: "main@sha1:0".into(), source: None };
    let state = StateArtifact::build(&objects, &labels).unwrap();
    let file = b"a file of the release, of some length".repeat(40);
    let mut packed_bytes = Vec::new();
    let packed = frames::pack(file.as_slice(), &mut packed_bytes).unwrap();
    let file = Descriptor::new(media_type::FILE, packed.digest, packed.size);
    let mut blobs = vec![
        blob(Role::Manifest, &state.manifest.0),
        blob(Role::Config, &state.config.0),
        blob(Role::Layer, &state.layer.0),
        blob(Role::File, &file),
    ];
    blobs.sort_by_key(|blob| blob.digest);
    let release = ReleaseManifest {
        schema: SCHEMA.into(),
        product: "radiology".parse().unwrap(),
        version: "2026.11.0".into(),
        line: None,
        sequence: 7,
        issued: 1_795_000_000,
        source: Provenance {
            url: None,
            reference: "main".into(),
            commit: "0".repeat(40),
            tree: "0".repeat(40),
            commit_time: 1_795_000_000,
            signature: SourceSignature::Absent,
        },
        kubernetes: KubernetesTarget { version: "1.33".into(), apis: vec![] },
        namespace: None,
        state: state.manifest.0.digest,
        images: vec![],
        files: vec![File {
            to: "/opt/x".into(),
            mode: "0644".into(),
            owner: None,
            digest: file.digest,
            installer: None,
        }],
        services: vec![],
        secrets: vec![],
        requires: vec![],
        upgrade_from: None,
        rollout: Rollout {
            on_failure: OnFailure::Rollback,
            health_timeout: 60,
            allow_prune: vec![],
            irreversible: false,
        },
        tools: BTreeMap::new(),
        blobs,
    };
    let name = "consign.internal/state/radiology:2026.11.0".to_owned();
    let index = layout::index_json(&BTreeMap::from([(name, state.manifest.0.clone())]));
    let mut contents = vec![stored(Place::Layout, layout::OCI_LAYOUT.to_vec()), stored(Place::Index, index)];
    for (descriptor, bytes) in [state.manifest, state.config, state.layer] {
        contents.push(stored(Place::Blob(descriptor.digest), bytes));
    }
    let (mut member, bytes) = stored(Place::Packed(packed.digest), packed_bytes);
    member.packed = Some(packed);
    contents.push((member, bytes));
    Parts { key, roots: vec![root], release, audience: Audience::any(), contents }
}

impl Parts {
    pub fn approval(&self) -> Approval {
        Approval {
            product: self.release.product.clone(),
            version: self.release.version.clone(),
            line: self.release.line.clone(),
            sequence: self.release.sequence,
            issued: self.release.issued,
            audience: self.audience.clone(),
            minimum_installer: "0.1.0".into(),
        }
    }

    pub fn carriage(&self, release: &[u8], boundary: u64) -> Carriage {
        let members: Vec<Member> = self.contents.iter().map(|(member, _)| member.clone()).collect();
        Carriage {
            kind: carriage::TYPE.into(),
            release: Digest::of(release),
            boundary,
            payload: plan::payload_length(members.iter().map(|m| m.length)).unwrap(),
            audience: None,
            members,
        }
    }

    pub fn pack(&self) -> Vec<u8> {
        self.pack_with(|_| {}, |_| {})
    }

    /// Packs with the approval and the carriage changed before they are signed.
    pub fn pack_with(&self, approve: impl Fn(&mut Approval), carry: impl Fn(&mut Carriage)) -> Vec<u8> {
        let release = self.release.to_bytes().unwrap();
        let mut approval = self.approval();
        approve(&mut approval);
        let domain = "dev".parse().unwrap();
        let signers = Signers { domain: &domain, approvers: vec![&self.key], publisher: &self.key };
        let documents =
            |carriage: &Carriage| author::documents(&release, &approval, carriage, EXPIRES, &signers).unwrap();
        let draft = documents(&self.carriage(&release, 0));
        let boundary = plan::boundary(&head(&self.roots, &draft, &release));
        let mut carriage = self.carriage(&release, boundary);
        carry(&mut carriage);
        let signed = documents(&carriage);
        self.with_payload(plan::head_bytes(&head(&self.roots, &signed, &release), boundary).unwrap())
    }

    /// Packs behind the smallest head there can be, for who reads the bundle a hundred thousand times.
    pub fn pack_small(&self) -> Vec<u8> {
        let release = self.release.to_bytes().unwrap();
        let domain = "dev".parse().unwrap();
        let signers = Signers { domain: &domain, approvers: vec![&self.key], publisher: &self.key };
        let carriage = self.carriage(&release, carriage::BOUNDARY_UNIT);
        let documents = author::documents(&release, &self.approval(), &carriage, EXPIRES, &signers).unwrap();
        self.with_payload(plan::head_bytes(&head(&self.roots, &documents, &release), carriage.boundary).unwrap())
    }

    fn with_payload(&self, mut bundle: Vec<u8>) -> Vec<u8> {
        for (member, content) in &self.contents {
            bundle.extend(consign_format::archive::header::canonical(&member.name, content.len() as u64).unwrap());
            bundle.extend(content);
            bundle.resize(bundle.len().next_multiple_of(512), 0);
        }
        bundle.resize(bundle.len() + 1024, 0);
        bundle
    }
}

pub fn head<'a>(roots: &'a [Vec<u8>], documents: &'a author::Documents, release: &'a [u8]) -> HeadDocuments<'a> {
    HeadDocuments {
        roots,
        statements: &[],
        timestamp: &documents.timestamp,
        snapshot: &documents.snapshot,
        targets: &documents.targets,
        carriage: &documents.carriage,
        release,
    }
}

/// Why a bundle was refused.
#[derive(Debug)]
pub enum Refusal {
    Archive(ArchiveError),
    Trust(TrustError),
}

impl Refusal {
    pub fn code(&self) -> Code {
        match self {
            Refusal::Archive(e) => e.code(),
            Refusal::Trust(e) => e.code(),
        }
    }
}

impl From<ArchiveError> for Refusal {
    fn from(e: ArchiveError) -> Self {
        Refusal::Archive(e)
    }
}

impl From<TrustError> for Refusal {
    fn from(e: TrustError) -> Self {
        Refusal::Trust(e)
    }
}

/// Reads a whole bundle as `verify` does and returns the blobs it brings.
pub fn read(bundle: &[u8], roots: &RootChain) -> Result<Vec<(Place, Vec<u8>)>, Refusal> {
    let opened = OpenedBundle::open(Cursor::new(bundle), Limits::DEFAULT)?;
    let roots = roots.follow(opened.roots())?;
    let verified = opened.read_head()?.verify(&roots)?;
    let mut blobs = Vec::new();
    verified.payload.each::<Refusal>(|_, place, content| {
        let mut bytes = Vec::new();
        // What a visitor makes of a failure is overruled by what the archive knows of it.
        let _ = std::io::Read::read_to_end(content, &mut bytes);
        blobs.push((place, bytes));
        Ok(())
    })?;
    Ok(blobs)
}

pub fn trust(parts: &Parts) -> RootChain {
    RootChain::enrol(&parts.roots[0], None).unwrap()
}
