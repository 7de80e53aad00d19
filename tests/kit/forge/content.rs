//! What a forged release consists of: a config map, an image, a file, and whatever else is put in.

use std::collections::BTreeMap;

use consign_format::carriage::Place;
use consign_format::state::{self, StateArtifact, StateLabels};
use consign_format::{Descriptor, Digest, frames, layout, media_type};
use serde_json::{Value, json};

/// The product of every forged release, unless something else is said.
pub const PRODUCT: &str = "lamp";
/// The one image.
pub const IMAGE: &str = "registry.example/app:1";
/// 2026-11-22T12:00:00Z, when release 0 was issued; each further one comes a minute later.
pub const ISSUED: u64 = 1_795_348_800;

/// A release and its members.
#[derive(Debug, Clone)]
pub struct Content {
    /// The release manifest's fields but for its blobs.
    pub fields: Value,
    /// The blobs it lists, by digest.
    pub blobs: BTreeMap<Digest, Value>,
    /// The members of the bundle, as they stand in the carriage, and their bytes.
    pub members: Vec<(Value, Vec<u8>)>,
}

impl Content {
    /// A good release with one object, one image and one packed file.
    pub fn new(sequence: u64) -> Self {
        let version = format!("1.{sequence}");
        let object = json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "lamp", "namespace": "lamp"},
            "data": {"version": version},
        });
        let mut content = Content::of(sequence, &[object]);
        content.image(IMAGE, format!("layer of {version}").as_bytes());
        content.file("/opt/lamp", format!("a file of {version}; ").repeat(40).as_bytes());
        content
    }

    /// A good release with these objects and nothing else.
    pub fn of(sequence: u64, objects: &[Value]) -> Self {
        let version = format!("1.{sequence}");
        let labels = StateLabels {
            title: PRODUCT.to_owned(),
            version: version.clone(),
            revision: "main@sha1:0".to_owned(),
            source: None,
        };
        let state = StateArtifact::build(objects, &labels).expect("objects");
        let fields = json!({
            "schema": "consign.dev/release/v1", "product": PRODUCT, "version": version, "sequence": sequence,
            "issued": ISSUED + sequence * 60, "namespace": "lamp", "state": state.manifest.0.digest, "images": [],
            "source": {
                "ref": "main", "commit": "0".repeat(40), "tree": "1".repeat(40), "commitTime": ISSUED,
                "signature": {"status": "absent"},
            },
            "kubernetes": {"version": "1.33"},
            "rollout": {"onFailure": "rollback", "healthTimeout": 60},
        });
        let name = format!("{}/{}:{version}", state::HOST, state::repository(&PRODUCT.parse().expect("a name")));
        let index = layout::index_json(&BTreeMap::from([(name, state.manifest.0.clone())]));
        let members = vec![
            (member(&Place::Layout.name(), layout::OCI_LAYOUT), layout::OCI_LAYOUT.to_vec()),
            (member(&Place::Index.name(), &index), index),
        ];
        let mut content = Content { fields, blobs: BTreeMap::new(), members };
        for (role, (descriptor, bytes)) in
            [("manifest", state.manifest), ("config", state.config), ("layer", state.layer)]
        {
            content.blob(role, &descriptor.media_type, &bytes);
        }
        content
    }

    /// Makes it another product's, with places of its own for its files: two products never have one.
    pub fn name_product(&mut self, product: &str) {
        self.fields["product"] = product.into();
        for file in self.fields["files"].as_array_mut().into_iter().flatten() {
            let to = file["to"].as_str().expect("a place").replace(PRODUCT, product);
            file["to"] = to.into();
        }
    }

    /// Lists a blob and carries it as it is.
    pub fn blob(&mut self, role: &str, media_type: &str, bytes: &[u8]) -> Descriptor {
        let descriptor = self.list(role, media_type, bytes);
        let name = Place::Blob(descriptor.digest).name();
        self.members.push((member(&name, bytes), bytes.to_vec()));
        descriptor
    }

    /// Lists a blob and carries it not.
    pub fn list(&mut self, role: &str, media_type: &str, bytes: &[u8]) -> Descriptor {
        let descriptor = Descriptor::of(media_type, bytes);
        let (digest, size) = (descriptor.digest, descriptor.size);
        self.blobs.insert(digest, json!({"digest": digest, "size": size, "mediaType": media_type, "role": role}));
        descriptor
    }

    /// Adds an image of one layer.
    pub fn image(&mut self, reference: &str, layer: &[u8]) {
        // Of its own: a blob that two images share is carried once.
        let config = json!({"architecture": "amd64", "os": "linux", "author": reference}).to_string();
        let config = self.blob("config", media_type::OCI_CONFIG, config.as_bytes());
        let layer = self.blob("layer", media_type::OCI_LAYER_TAR, layer);
        self.image_of(reference, media_type::OCI_MANIFEST, &manifest(&config, &[layer]));
    }

    /// Adds an image whose manifest is this, right or wrong.
    pub fn image_of(&mut self, reference: &str, media_type: &str, manifest: &Value) -> Digest {
        let bytes = manifest.to_string();
        let digest = self.blob("manifest", media_type, bytes.as_bytes()).digest;
        let image = json!({"reference": format!("{reference}@{digest}"), "digest": digest});
        self.fields["images"].as_array_mut().expect("a list").push(image);
        digest
    }

    /// Adds a file and carries it packed.
    pub fn file(&mut self, to: &str, bytes: &[u8]) {
        let mut stored = Vec::new();
        let packed = frames::pack(bytes, &mut stored).expect("frames");
        let frames: Vec<Value> =
            packed.frames.iter().map(|frame| json!({"length": frame.length, "sha256": frame.sha256})).collect();
        self.packed_file(to, bytes, &stored, &frames);
    }

    /// Adds a file that is carried as these frames, right or wrong.
    pub fn packed_file(&mut self, to: &str, plain: &[u8], stored: &[u8], frames: &[Value]) {
        let file = self.list("file", media_type::FILE, plain);
        if self.fields.get("files").is_none() {
            self.fields["files"] = json!([]);
        }
        let entry = json!({"to": to, "mode": "0644", "digest": file.digest});
        self.fields["files"].as_array_mut().expect("a list").push(entry);
        let mut member = member(&Place::Packed(file.digest).name(), stored);
        member["packed"] = json!({"digest": file.digest, "size": file.size, "frames": frames});
        self.members.push((member, stored.to_vec()));
    }

    /// The release manifest.
    pub fn release(&self) -> Value {
        let mut release = self.fields.clone();
        release["blobs"] = self.blobs.values().cloned().collect();
        release
    }

    /// The carriage.
    pub fn carriage(&self, release: &Digest, boundary: u64) -> Value {
        let members: Vec<&Value> = self.members.iter().map(|(member, _)| member).collect();
        let length = |member: &&Value| member["length"].as_u64().expect("a length");
        let payload: u64 = members.iter().map(|member| 512 + length(member).next_multiple_of(512)).sum();
        json!({
            "_type": "carriage", "release": release, "boundary": boundary, "payload": payload + 1024,
            "members": members,
        })
    }
}

/// A member as it stands in the carriage.
pub fn member(name: &str, bytes: &[u8]) -> Value {
    json!({"name": name, "length": bytes.len(), "sha256": Digest::of(bytes), "carried": "full"})
}

/// An image manifest.
pub fn manifest(config: &Descriptor, layers: &[Descriptor]) -> Value {
    let pointer = |d: &Descriptor| json!({"mediaType": d.media_type, "digest": d.digest, "size": d.size});
    json!({
        "schemaVersion": 2, "mediaType": media_type::OCI_MANIFEST, "config": pointer(config),
        "layers": layers.iter().map(pointer).collect::<Vec<_>>(),
    })
}
