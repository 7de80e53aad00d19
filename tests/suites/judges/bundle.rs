//! Real bundles, built by `consign`, taken apart and put together again otherwise: other roots, other signatures.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use consign_format::Digest;
use consign_format::archive::plan::{HeadDocuments, head_bytes};
use consign_format::carriage::Carriage;
use consign_format::trust::author::{self, Signers};
use consign_format::trust::document::{Key, Role, Root, Targets};
use consign_format::trust::envelope::Envelope;
use consign_format::trust::keys::{SecretKey, Signer, key_id, sign};
use consign_tests::desk::Desk;
use consign_tests::sample::replace;
use serde::de::DeserializeOwned;

/// Two small bundles of one domain, the second of a newer release, and the key that signed both.
pub(crate) struct Pair {
    pub(crate) desk: Desk,
    /// One object and one packed file.
    pub(crate) older: PathBuf,
    /// Another object, its image of a megabyte, and the file.
    pub(crate) newer: PathBuf,
    pub(crate) fingerprint: String,
    key: SecretKey,
}

/// Built once for all tests; none changes them.
pub(crate) fn pair() -> &'static Pair {
    static PAIR: OnceLock<Pair> = OnceLock::new();
    PAIR.get_or_init(|| {
        let mut desk = Desk::sample();
        let older = desk.build_next("2026.11.1", |tree| {
            let release = tree.join("release.yaml");
            for path in ["deploy/models", "deploy/archive/overlays/hospital"] {
                replace(&release, &format!("  - path: {path}\n"), "");
            }
            let chart = "  - path: charts/viewer\n    helm: {release: viewer, values: [values/hospital.yaml]}\n";
            replace(&release, chart, "");
            replace(&release, "  - path: deploy/plain", "  - path: deploy/plain/network.yaml");
            replace(&release, "  fields: [\"models.lumen.example/Model.spec.image\"]\n", "");
        });
        let newer = desk.build_next("2026.11.2", |tree| {
            replace(&tree.join("release.yaml"), "deploy/plain/network.yaml", "deploy/plain/node-agent.yaml");
        });
        let root = fs::read(desk.trust().join("1.root.json")).unwrap();
        let key = SecretKey::from_pem(&fs::read_to_string(desk.trust().join("dev.key")).unwrap()).unwrap();
        Pair { desk, older, newer, fingerprint: Digest::of(&root).hex(), key }
    })
}

/// A member of an archive: its name, where its header begins, the size of its content.
pub(crate) type Member = (String, usize, usize);

/// The members of a tar file, read by nobody's code but this test's.
pub(crate) fn members(bytes: &[u8]) -> Vec<Member> {
    let mut found = Vec::new();
    let mut at = 0;
    while at + 512 <= bytes.len() && bytes[at] != 0 {
        let text = |from: usize, to: usize| {
            let field = &bytes[at + from..at + to];
            String::from_utf8_lossy(field.split(|byte| *byte == 0).next().unwrap()).trim().to_owned()
        };
        let size = usize::from_str_radix(&text(124, 136), 8).expect("an octal size");
        found.push((text(0, 100), at, size));
        at += 512 + size.next_multiple_of(512);
    }
    found
}

/// A bundle in parts, all of them open to change.
#[derive(Clone)]
pub(crate) struct Parts {
    pub(crate) roots: Vec<Vec<u8>>,
    pub(crate) statements: Vec<Vec<u8>>,
    pub(crate) timestamp: Vec<u8>,
    pub(crate) snapshot: Vec<u8>,
    pub(crate) targets: Vec<u8>,
    pub(crate) carriage: Vec<u8>,
    pub(crate) release: Vec<u8>,
    /// All behind the head.
    pub(crate) payload: Vec<u8>,
}

impl Parts {
    pub(crate) fn of(bundle: &Path) -> Self {
        let bytes = fs::read(bundle).unwrap();
        let members = members(&bytes);
        let get = |name: &str| {
            let (_, header, size) = members.iter().find(|(found, ..)| found == name)?;
            Some(bytes[header + 512..header + 512 + size].to_vec())
        };
        let document = |name: &str| get(&format!("metadata/{name}.json")).unwrap();
        let (_, filler, length) = members.iter().find(|(name, ..)| name == "filler").unwrap();
        Parts {
            roots: (1..).map_while(|n| get(&format!("metadata/{n}.root.json"))).collect(),
            statements: Vec::new(),
            timestamp: document("timestamp"),
            snapshot: document("snapshot"),
            targets: document("targets"),
            carriage: document("carriage"),
            release: get("release.json").unwrap(),
            payload: bytes[filler + 512 + length.next_multiple_of(512)..].to_vec(),
        }
    }

    /// The bundle; its payload begins where the carriage says, whatever the head has become.
    pub(crate) fn pack(&self) -> Vec<u8> {
        let documents = HeadDocuments {
            roots: &self.roots,
            statements: &self.statements,
            timestamp: &self.timestamp,
            snapshot: &self.snapshot,
            targets: &self.targets,
            carriage: &self.carriage,
            release: &self.release,
        };
        let mut bundle = head_bytes(&documents, signed::<Carriage>(&self.carriage).boundary).unwrap();
        bundle.extend(&self.payload);
        bundle
    }

    /// Signs the release, unchanged, with other keys.
    pub(crate) fn sign(&mut self, approvers: &[&SecretKey], publisher: &SecretKey) {
        let targets: Targets = signed(&self.targets);
        let carriage: Carriage = signed(&self.carriage);
        let approvers = approvers.iter().map(|key| *key as &dyn Signer).collect();
        let signers = Signers { domain: &targets.domain, approvers, publisher };
        let documents =
            author::documents(&self.release, &targets.bundle, &carriage, &targets.expires, &signers).unwrap();
        (self.timestamp, self.snapshot, self.targets) = (documents.timestamp, documents.snapshot, documents.targets);
    }
}

/// What was signed in a document.
pub(crate) fn signed<T: DeserializeOwned>(document: &[u8]) -> T {
    serde_json::from_slice(Envelope::parse("a document", document).unwrap().signed()).unwrap()
}

/// The keys of a domain that has outgrown its beginnings: 2 of 2 root keys, 2 of 3 approvers, a publisher.
pub(crate) struct Keys {
    pub(crate) first: &'static SecretKey,
    pub(crate) roots: [SecretKey; 2],
    pub(crate) approvers: [SecretKey; 3],
    pub(crate) publisher: SecretKey,
}

impl Keys {
    pub(crate) fn of(pair: &'static Pair) -> Self {
        let key = |seed: u8| SecretKey::from_seed(&[seed; 32]);
        let (roots, approvers) = ([key(1), key(2)], [key(3), key(4), key(5)]);
        Keys { first: &pair.key, roots, approvers, publisher: key(6) }
    }

    /// Root 2, signed by whom the test names.
    pub(crate) fn second_root(&self, first: &[u8], by: &[&SecretKey]) -> Vec<u8> {
        sign(&self.root(first), &by.iter().map(|key| *key as &dyn Signer).collect::<Vec<_>>()).unwrap()
    }

    /// What root 2 says.
    fn root(&self, first: &[u8]) -> Root {
        let id = |key: &SecretKey| key_id(&key.public()).unwrap();
        let role = |keys: &[SecretKey], threshold| Role { keyids: keys.iter().map(id).collect(), threshold };
        let publisher = role(std::slice::from_ref(&self.publisher), 1);
        let all = self.roots.iter().chain(&self.approvers).chain([&self.publisher]);
        Root {
            version: 2,
            development: false,
            keys: all.map(|key| (id(key), Key::ed25519(&key.public()))).collect(),
            roles: BTreeMap::from([
                ("root".to_owned(), role(&self.roots, 2)),
                ("targets".to_owned(), role(&self.approvers, 2)),
                ("snapshot".to_owned(), publisher.clone()),
                ("timestamp".to_owned(), publisher),
            ]),
            ..signed::<Root>(first)
        }
    }

    /// The bundle after a rotation to these keys, approved by the first two of three.
    pub(crate) fn rotated(&self, bundle: &Path) -> Parts {
        self.rotated_to(bundle, |_| {})
    }

    /// The same, and root 2 says something else besides.
    pub(crate) fn rotated_to(&self, bundle: &Path, change: impl FnOnce(&mut Root)) -> Parts {
        let mut parts = Parts::of(bundle);
        let [one, two] = &self.roots;
        let mut root = self.root(&parts.roots[0]);
        change(&mut root);
        parts.roots.push(sign(&root, &[self.first as &dyn Signer, one, two]).unwrap());
        parts.sign(&[&self.approvers[0], &self.approvers[1]], &self.publisher);
        parts
    }
}
