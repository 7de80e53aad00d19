//! A forge: makes any bundle, right or wrong, with keys of its own.
//!
//! A [`Forge`] is a good release until something is changed. Lies are told at the place they belong to: in a document
//! before it is signed ([`Forge::lie`], [`Forge::reword`]), so that everything above it vouches for the lie; or in the
//! finished archive ([`tape::Tape`]), so that nothing does. It uses the types of `consign_format` for what is right and
//! plain JSON and bytes for what is wrong.

use std::rc::Rc;

use consign_format::Digest;
use consign_format::canonical;
use consign_format::carriage::BOUNDARY_UNIT;
use consign_format::trust::document::SPEC_VERSION;
use consign_format::trust::keys::SecretKey;
use serde_json::{Value, json};

pub mod content;
pub mod sheet;
pub mod tape;

use content::Content;
use sheet::{Sheet, root};
use tape::Tape;

/// When all that is forged expires, unless something else is said.
pub const EXPIRES: &str = "2036-11-22T12:00:00Z";

/// Seeds of the keys in the roles of [`sheet::root`].
pub const ROOT: u8 = 1;
/// See [`ROOT`].
pub const APPROVER: u8 = 2;
/// See [`ROOT`].
pub const PUBLISHER: u8 = 3;
/// The seed of a key that no root names.
pub const STRANGER: u8 = 9;

/// The key of a seed.
pub fn key(seed: u8) -> SecretKey {
    SecretKey::from_seed(&[seed; 32])
}

type Lie = Rc<dyn Fn(&mut Value)>;
type Reword = Rc<dyn Fn(Vec<u8>) -> Vec<u8>>;

/// A bundle in the making.
#[derive(Clone)]
pub struct Forge {
    /// The release and what it consists of.
    pub content: Content,
    /// The root files, version 1 first.
    pub roots: Vec<Vec<u8>>,
    /// Seeds of the keys that sign targets.
    pub approvers: Vec<u8>,
    /// The seed of the key that signs snapshot and timestamp.
    pub publisher: u8,
    /// When the documents expire.
    pub expires: String,
    /// Whom the approvers address.
    pub audience: Value,
    lies: Vec<(&'static str, Lie)>,
    rewordings: Vec<(&'static str, Reword)>,
}

/// The documents of a head, as they are carried.
struct Documents {
    timestamp: Vec<u8>,
    snapshot: Vec<u8>,
    targets: Vec<u8>,
    carriage: Vec<u8>,
    release: Vec<u8>,
}

impl Forge {
    /// A good release of product `lamp`, version `1.SEQUENCE`, under the first root of domain `ward`.
    pub fn new(sequence: u64) -> Self {
        Forge {
            content: Content::new(sequence),
            roots: vec![root(1).signed_by(&[ROOT])],
            approvers: vec![APPROVER],
            publisher: PUBLISHER,
            expires: EXPIRES.to_owned(),
            audience: json!({"sites": ["any"]}),
            lies: Vec::new(),
            rewordings: Vec::new(),
        }
    }

    /// Changes a document before it is signed: `release.json`, `targets.json`, `carriage.json`, `snapshot.json` or
    /// `timestamp.json`. Documents above it are made of the changed one.
    #[must_use]
    pub fn lie(mut self, document: &'static str, lie: impl Fn(&mut Value) + 'static) -> Self {
        self.lies.push((document, Rc::new(lie)));
        self
    }

    /// Changes the bytes of a document before they are signed, so that they need not be canonical, or JSON at all.
    #[must_use]
    pub fn reword(mut self, document: &'static str, reword: impl Fn(Vec<u8>) -> Vec<u8> + 'static) -> Self {
        self.rewordings.push((document, Rc::new(reword)));
        self
    }

    /// Changes anything else.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    /// The bundle as a file.
    pub fn bundle(&self) -> Vec<u8> {
        self.tape().bytes()
    }

    /// The bundle as its entries, to be cut and glued.
    pub fn tape(&self) -> Tape {
        let draft = self.documents(0);
        let length = self.head(&draft).bytes().len() as u64;
        let boundary = (length + BOUNDARY_UNIT).next_multiple_of(BOUNDARY_UNIT);
        let mut tape = self.head(&self.documents(boundary));
        tape.fill_to(boundary);
        for (member, bytes) in &self.content.members {
            tape.push(member["name"].as_str().expect("a name"), bytes);
        }
        tape
    }

    fn head(&self, documents: &Documents) -> Tape {
        let mut tape = Tape::default();
        tape.push("consign-format", b"1\n");
        for (version, root) in (1..).zip(&self.roots) {
            tape.push(&format!("metadata/{version}.root.json"), root);
        }
        tape.push("metadata/timestamp.json", &documents.timestamp);
        tape.push("metadata/snapshot.json", &documents.snapshot);
        tape.push("metadata/targets.json", &documents.targets);
        tape.push("metadata/carriage.json", &documents.carriage);
        tape.push("release.json", &documents.release);
        tape.push("filler", &[]);
        tape
    }

    fn documents(&self, boundary: u64) -> Documents {
        let release = self.told("release.json", self.content.release());
        let digest = Digest::of(&release).hex();
        let manifest = self.content.release();
        let targets = self.sheet("targets.json", self.targets(&manifest, &digest, release.len()));
        let carriage = self.sheet("carriage.json", self.content.carriage(&Digest::of(&release), boundary)).bytes();
        let version = &manifest["sequence"];
        let snapshot = self.sheet(
            "snapshot.json",
            json!({
                "_type": "snapshot", "expires": self.expires, "spec_version": SPEC_VERSION, "version": version,
                "meta": {"targets.json": {"version": version, "x-signed-sha256": targets.signed_digest()}},
                "x-carriage": {"length": carriage.len(), "sha256": Digest::of(&carriage).hex()},
            }),
        );
        let timestamp = self.sheet(
            "timestamp.json",
            json!({
                "_type": "timestamp", "expires": self.expires, "spec_version": SPEC_VERSION, "version": version,
                "meta": {"snapshot.json": {"version": version, "x-signed-sha256": snapshot.signed_digest()}},
            }),
        );
        Documents {
            timestamp: timestamp.signed_by(&[self.publisher]),
            snapshot: snapshot.signed_by(&[self.publisher]),
            targets: targets.signed_by(&self.approvers),
            carriage,
            release,
        }
    }

    fn targets(&self, release: &Value, digest: &str, length: usize) -> Value {
        let mut bundle = json!({"audience": self.audience, "minimum-installer": "0.1.0"});
        for field in ["product", "version", "line", "sequence", "issued"] {
            if let Some(value) = release.get(field) {
                bundle[field] = value.clone();
            }
        }
        json!({
            "_type": "targets", "expires": self.expires, "spec_version": SPEC_VERSION, "version": release["sequence"],
            "targets": {"release.json": {"hashes": {"sha256": digest}, "length": length}},
            "x-bundle": bundle, "x-domain": "ward",
        })
    }

    fn sheet(&self, document: &str, value: Value) -> Sheet {
        Sheet { signed: self.told(document, value), signatures: Vec::new() }
    }

    /// A document's bytes after all lies about it.
    fn told(&self, document: &str, mut value: Value) -> Vec<u8> {
        for (_, lie) in self.lies.iter().filter(|(about, _)| *about == document) {
            lie(&mut value);
        }
        let bytes = canonical::to_vec(&value).unwrap_or_else(|error| panic!("{document}: {error}"));
        let rewordings = self.rewordings.iter().filter(|(about, _)| *about == document);
        rewordings.fold(bytes, |bytes, (_, reword)| reword(bytes))
    }
}
