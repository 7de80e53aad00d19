//! Bundles made in memory from `format` alone, so that the site is tested without the bundler.
#![allow(dead_code, missing_docs, unreachable_pub, clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::disallowed_methods, reason = "a kit; every suite uses a part of it")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use consign_format::archive::header;
use consign_format::archive::plan::{self, HeadDocuments};
use consign_format::carriage::{Carriage, Carried, Member, Place};
use consign_format::release::{
    Blob, File, Image, Installer, KubernetesTarget, OnFailure, Provenance, Referrer, ReleaseManifest, Requirement,
    Role, Rollout, SCHEMA, SourceSignature,
};
use consign_format::state::{StateArtifact, StateLabels};
use consign_format::trust::Audience;
use consign_format::trust::author::{self, Signers};
use consign_format::trust::document::Approval;
use consign_format::trust::keys::SecretKey;
use consign_format::{Descriptor, Digest, Name, frames, layout, media_type};
use serde_json::{Value, json};

pub const EXPIRES: &str = "2030-01-01T00:00:00Z";
/// 2026-11-22T12:00:00Z
pub const NOW: u64 = 1_795_348_800;

pub fn name(text: &str) -> Name {
    text.parse().unwrap()
}

pub fn key() -> SecretKey {
    SecretKey::from_seed(&[7; 32])
}

pub fn root(domain: &str) -> Vec<u8> {
    author::development_root(&name(domain), &key(), EXPIRES).unwrap()
}

/// A release in the making. Fields are there to be changed before [`Draft::bundle`].
#[derive(Clone)]
pub struct Draft {
    pub release: ReleaseManifest,
    pub content: BTreeMap<Digest, Vec<u8>>,
    pub audience: Audience,
    pub narrowed: Option<Audience>,
    pub minimum_installer: String,
    pub expires: String,
    /// Digests that the bundle leaves out.
    pub left_out: Vec<Digest>,
    /// Digests that are carried packed.
    pub packed: Vec<Digest>,
    pub roots: Vec<Vec<u8>>,
    pub publisher: [u8; 32],
    pub statements: Vec<Vec<u8>>,
}

pub fn config_map(name: &str, value: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "demo"}, "data": {"x": value}})
}

impl Draft {
    /// Product `demo`, two config maps, one image.
    pub fn new(version: &str, sequence: u64) -> Self {
        let objects = vec![config_map("a", version), config_map("b", "same")];
        Draft::of(version, sequence, &objects).with_image("registry.example/app:1", &format!("layer of {version}"))
    }

    pub fn of(version: &str, sequence: u64, objects: &[Value]) -> Self {
        let labels =
            StateLabels { title: "demo".into(), version: version.into(), revision: "main@sha1:0".into(), source: None };
        let state = StateArtifact::build(objects, &labels).unwrap();
        let release = ReleaseManifest {
            schema: SCHEMA.to_owned(),
            product: name("demo"),
            version: version.to_owned(),
            line: None,
            sequence,
            issued: NOW - 3600,
            source: Provenance {
                url: None,
                reference: "main".into(),
                commit: "0".repeat(40),
                tree: "1".repeat(40),
                commit_time: NOW - 7200,
                signature: SourceSignature::Absent,
            },
            kubernetes: KubernetesTarget { version: "1.33".into(), apis: vec![] },
            namespace: Some("demo".into()),
            state: state.manifest.0.digest,
            images: vec![],
            files: vec![],
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
            blobs: vec![],
        };
        let mut draft = Draft {
            release,
            content: BTreeMap::new(),
            audience: Audience::any(),
            narrowed: None,
            minimum_installer: "0.1.0".into(),
            expires: EXPIRES.into(),
            left_out: vec![],
            packed: vec![],
            roots: vec![root("dev")],
            publisher: [7; 32],
            statements: vec![],
        };
        draft.put(&state.manifest, Role::Manifest);
        draft.put(&state.config, Role::Config);
        draft.put(&state.layer, Role::Layer);
        draft
    }

    pub fn put(&mut self, (descriptor, bytes): &(Descriptor, Vec<u8>), role: Role) -> Descriptor {
        let (digest, size) = (descriptor.digest, descriptor.size);
        if self.release.blob(&digest).is_none() {
            self.release.blobs.push(Blob { digest, size, media_type: descriptor.media_type.clone(), role });
            self.release.blobs.sort_by_key(|blob| blob.digest);
        }
        self.content.insert(digest, bytes.clone());
        descriptor.clone()
    }

    fn put_bytes(&mut self, media_type: &str, bytes: &[u8], role: Role) -> Descriptor {
        self.put(&(Descriptor::of(media_type, bytes), bytes.to_vec()), role)
    }

    fn put_json(&mut self, media_type: &str, value: &Value, role: Role) -> Descriptor {
        self.put_bytes(media_type, value.to_string().as_bytes(), role)
    }

    /// Adds a single-platform image whose one layer is this text.
    pub fn with_image(mut self, reference: &str, layer: &str) -> Self {
        let manifest = self.manifest(layer);
        self.image(reference, manifest.digest, vec![], vec![]);
        self
    }

    /// Adds a sparse index of two platforms of which one is carried, with a cosign signature by tag and an SBOM by subject.
    pub fn with_index(mut self, reference: &str, layer: &str) -> Self {
        let here = self.manifest(layer);
        let absent = Descriptor::of(media_type::OCI_MANIFEST, b"not carried");
        let index = self.put_json(
            media_type::OCI_INDEX,
            &json!({"schemaVersion": 2, "mediaType": media_type::OCI_INDEX, "manifests": [
                {"mediaType": here.media_type, "digest": here.digest, "size": here.size,
                 "platform": {"os": "linux", "architecture": "amd64"}},
                {"mediaType": absent.media_type, "digest": absent.digest, "size": absent.size,
                 "platform": {"os": "linux", "architecture": "arm64"}}]}),
            Role::Index,
        );
        let config = self.put_bytes(media_type::OCI_EMPTY, b"{}", Role::Config);
        let blob = self.put_bytes("text/spdx", b"sbom", Role::Layer);
        let sbom = self.put_json(
            media_type::OCI_MANIFEST,
            &json!({"schemaVersion": 2, "mediaType": media_type::OCI_MANIFEST, "artifactType": "text/spdx",
                "config": config, "layers": [blob],
                "subject": {"mediaType": index.media_type, "digest": index.digest, "size": index.size}}),
            Role::Manifest,
        );
        let signature = self.manifest("a signature");
        let referrer = |digest, tag: Option<String>| Referrer {
            digest,
            subject: index.digest,
            tag,
            artifact_type: Some("text/spdx".into()),
        };
        let tag = format!("sha256-{}.sig", index.digest.hex());
        let referrers = vec![referrer(sbom.digest, None), referrer(signature.digest, Some(tag))];
        self.image(reference, index.digest, vec!["linux/amd64".into()], referrers);
        self
    }

    fn manifest(&mut self, layer: &str) -> Descriptor {
        let config = self.put_json(
            media_type::OCI_CONFIG,
            &json!({"os": "linux", "architecture": "amd64", "rootfs": {"type": "layers", "diff_ids": []}}),
            Role::Config,
        );
        let layer = self.put_bytes(media_type::OCI_LAYER_GZIP, layer.as_bytes(), Role::Layer);
        self.put_json(
            media_type::OCI_MANIFEST,
            &json!({"schemaVersion": 2, "mediaType": media_type::OCI_MANIFEST, "config": config, "layers": [layer]}),
            Role::Manifest,
        )
    }

    pub fn image(&mut self, reference: &str, digest: Digest, platforms: Vec<String>, referrers: Vec<Referrer>) {
        let reference = format!("{reference}@{digest}");
        self.release.images.push(Image { reference, digest, platforms, referrers, found_in: vec![] });
    }

    /// Adds a `consign-site` of this version for the machine that runs the tests, packed.
    pub fn with_program(mut self, version: &str, bytes: &[u8]) -> Self {
        let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
        let installer = Installer { platform: format!("linux/{architecture}"), version: version.into() };
        let digest = self.put_bytes(media_type::FILE, bytes, Role::File).digest;
        let (to, mode) = ("/usr/local/bin/consign-site".into(), "0755".into());
        self.release.files.push(File { to, mode, owner: None, digest, installer: Some(installer) });
        self.packed.push(digest);
        self
    }

    /// Adds a file for the node.
    pub fn with_file(mut self, to: &str, mode: &str, content: &str) -> Self {
        let digest = self.put_bytes(media_type::FILE, content.as_bytes(), Role::File).digest;
        self.release.files.push(File { to: to.into(), mode: mode.into(), owner: None, digest, installer: None });
        self
    }

    pub fn requires(mut self, product: &str, versions: &str) -> Self {
        self.release.requires.push(Requirement { product: name(product), versions: versions.into() });
        self
    }

    pub fn product(mut self, product: &str) -> Self {
        self.release.product = name(product);
        self
    }

    pub fn release_digest(&self) -> Digest {
        Digest::of(&self.release.to_bytes().unwrap())
    }

    /// The bundle, byte for byte.
    pub fn bundle(&self) -> Vec<u8> {
        let mut stored: Vec<(Member, Vec<u8>)> = vec![
            stored(Place::Layout, layout::OCI_LAYOUT.to_vec()),
            stored(Place::Index, layout::index_json(&BTreeMap::new())),
        ];
        for (digest, bytes) in self.content.iter().filter(|(digest, _)| !self.left_out.contains(digest)) {
            stored.push(match self.packed.contains(digest) {
                true => packed(*digest, bytes),
                false => self::stored(Place::Blob(*digest), bytes.clone()),
            });
        }
        let members: Vec<Member> = stored.iter().map(|(member, _)| member.clone()).collect();
        let mut bundle = self.head(members);
        for (member, bytes) in &stored {
            bundle.extend(header::canonical(&member.name, member.length).unwrap());
            bundle.extend(bytes);
            bundle.resize(bundle.len() + header::padding(member.length) as usize, 0);
        }
        bundle.resize(bundle.len() + header::END_LENGTH as usize, 0);
        bundle
    }

    fn head(&self, members: Vec<Member>) -> Vec<u8> {
        let release = self.release.to_bytes().unwrap();
        let approval = Approval {
            product: self.release.product.clone(),
            version: self.release.version.clone(),
            line: self.release.line.clone(),
            sequence: self.release.sequence,
            issued: self.release.issued,
            audience: self.audience.clone(),
            minimum_installer: self.minimum_installer.clone(),
        };
        let mut carriage = Carriage {
            kind: consign_format::carriage::TYPE.to_owned(),
            release: Digest::of(&release),
            boundary: 0,
            payload: plan::payload_length(members.iter().map(|member| member.length)).unwrap(),
            audience: self.narrowed.clone(),
            members,
        };
        let (approver, publisher) = (key(), SecretKey::from_seed(&self.publisher));
        let first = self.roots.first().map(|root| serde_json::from_slice::<Value>(root).unwrap());
        let domain = first.map_or(name("dev"), |root| name(root["signed"]["x-domain"].as_str().unwrap()));
        let signers = Signers { domain: &domain, approvers: vec![&approver], publisher: &publisher };
        // The boundary's digits are part of what it bounds: once with a guess, once with the answer.
        for _ in 0..2 {
            let documents = author::documents(&release, &approval, &carriage, &self.expires, &signers).unwrap();
            let head = HeadDocuments {
                roots: &self.roots,
                statements: &self.statements,
                timestamp: &documents.timestamp,
                snapshot: &documents.snapshot,
                targets: &documents.targets,
                carriage: &documents.carriage,
                release: &release,
            };
            if carriage.boundary != 0 {
                return plan::head_bytes(&head, carriage.boundary).unwrap();
            }
            carriage.boundary = plan::boundary(&head);
        }
        unreachable!("the second round returns")
    }
}

fn stored(place: Place, bytes: Vec<u8>) -> (Member, Vec<u8>) {
    let (length, sha256) = (bytes.len() as u64, Digest::of(&bytes));
    (Member { name: place.name(), length, sha256, carried: Carried::Full, packed: None }, bytes)
}

fn packed(digest: Digest, plain: &[u8]) -> (Member, Vec<u8>) {
    let mut bytes = Vec::new();
    let packed = frames::pack(plain, &mut bytes).unwrap();
    let (mut member, bytes) = stored(Place::Packed(digest), bytes);
    member.packed = Some(packed);
    (member, bytes)
}

/// Every file below a folder: path, mode, and the digest of what is in it.
pub fn fingerprint(folder: &Path) -> BTreeMap<PathBuf, (u32, Digest)> {
    use std::os::unix::fs::MetadataExt;
    let mut found = BTreeMap::new();
    let mut waiting = vec![folder.to_owned()];
    while let Some(folder) = waiting.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let entry = entry.unwrap();
            let metadata = entry.metadata().unwrap();
            if metadata.is_dir() {
                waiting.push(entry.path());
                found.insert(entry.path(), (metadata.mode(), Digest::of(b"")));
            } else {
                found.insert(entry.path(), (metadata.mode(), Digest::of(&std::fs::read(entry.path()).unwrap())));
            }
        }
    }
    found
}
