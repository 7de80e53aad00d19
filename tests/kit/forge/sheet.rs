//! Signed documents in the making: roots, envelopes, signatures that hold and such that do not.

use consign_format::Digest;
use consign_format::canonical;
use consign_format::trust::document::SPEC_VERSION;
use consign_format::trust::keys::{SecretKey, Signer, key_id};
use serde_json::{Value, json};

use super::{APPROVER, EXPIRES, PUBLISHER, ROOT, key};

/// The bytes to be signed, and signatures as they will stand there: key id and hexadecimal digits.
#[derive(Debug, Clone)]
pub struct Sheet {
    /// What is signed.
    pub signed: Vec<u8>,
    /// Key ids and signatures, in this order.
    pub signatures: Vec<(String, String)>,
}

impl Sheet {
    /// A document that nobody has signed.
    pub fn of(value: &Value) -> Self {
        Sheet { signed: canonical::to_vec(value).expect("a canonical document"), signatures: Vec::new() }
    }

    /// The digest of the signed bytes.
    pub fn signed_digest(&self) -> String {
        Digest::of(&self.signed).hex()
    }

    /// Adds the signature of a key.
    #[must_use]
    pub fn sign(self, seed: u8) -> Self {
        let key = key(seed);
        let signature = signature(&key, &self.signed);
        self.with(&id(&key.public()), &signature)
    }

    /// Adds any signature under any id.
    #[must_use]
    pub fn with(mut self, id: &str, signature: &str) -> Self {
        self.signatures.push((id.to_owned(), signature.to_owned()));
        self
    }

    /// The file, with the signatures of these keys.
    pub fn signed_by(self, seeds: &[u8]) -> Vec<u8> {
        seeds.iter().fold(self, |sheet, seed| sheet.sign(*seed)).bytes()
    }

    /// The file.
    pub fn bytes(&self) -> Vec<u8> {
        let mut signatures = self.signatures.clone();
        signatures.sort();
        let list: Vec<Value> = signatures.iter().map(|(id, sig)| json!({"keyid": id, "sig": sig})).collect();
        let list = canonical::to_vec(&list).expect("canonical signatures");
        [b"{\"signatures\":".as_slice(), &list, b",\"signed\":", &self.signed, b"}"].concat()
    }

    /// Takes a file apart that [`Self::bytes`] has made.
    pub fn parse(bytes: &[u8]) -> Self {
        let middle = b",\"signed\":";
        let at = bytes.windows(middle.len()).position(|window| window == middle).expect("an envelope");
        let list: Value = serde_json::from_slice(&bytes[b"{\"signatures\":".len()..at]).expect("signatures");
        let text = |entry: &Value, field: &str| entry[field].as_str().expect("a text").to_owned();
        let list = list.as_array().expect("a list").iter();
        Sheet {
            signed: bytes[at + middle.len()..bytes.len() - 1].to_vec(),
            signatures: list.map(|entry| (text(entry, "keyid"), text(entry, "sig"))).collect(),
        }
    }
}

/// The id of a public key.
pub fn id(public: &[u8; 32]) -> String {
    key_id(public).expect("a key object is canonical")
}

/// A signature that holds, in hexadecimal.
pub fn signature(key: &SecretKey, bytes: &[u8]) -> String {
    digits(&key.sign(bytes).expect("a key in memory signs"))
}

/// Lower-case hexadecimal digits.
pub fn digits(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The bytes of hexadecimal digits.
pub fn undigits(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).expect("digits")).collect()
}

/// A root in the making.
#[derive(Debug, Clone)]
pub struct RootDraft(pub Value);

/// A root of domain `ward`, with one key in each role: [`ROOT`]; [`APPROVER`] for targets; [`PUBLISHER`] for snapshot
/// and timestamp.
pub fn root(version: u64) -> RootDraft {
    let draft = RootDraft(json!({
        "_type": "root", "consistent_snapshot": false, "expires": EXPIRES, "keys": {}, "roles": {},
        "spec_version": SPEC_VERSION, "version": version, "x-domain": "ward",
    }));
    draft.role("root", &[ROOT], 1).role("targets", &[APPROVER], 1).role("snapshot", &[PUBLISHER], 1).role(
        "timestamp",
        &[PUBLISHER],
        1,
    )
}

impl RootDraft {
    /// Gives a role to keys.
    #[must_use]
    pub fn role(mut self, role: &str, seeds: &[u8], threshold: u64) -> Self {
        let publics = seeds.iter().map(|seed| key(*seed).public());
        let ids: Vec<String> = publics.map(|public| self.key(&id(&public), &public)).collect();
        self.0["roles"][role] = json!({"keyids": ids, "threshold": threshold});
        self
    }

    /// Names a key by an id, right or wrong; returns the id.
    pub fn key(&mut self, id: &str, public: &[u8; 32]) -> String {
        self.0["keys"][id] = json!({"keytype": "ed25519", "keyval": {"public": digits(public)}, "scheme": "ed25519"});
        id.to_owned()
    }

    /// Changes a field.
    #[must_use]
    pub fn set(mut self, field: &str, value: Value) -> Self {
        self.0[field] = value;
        self
    }

    /// The file.
    pub fn signed_by(&self, seeds: &[u8]) -> Vec<u8> {
        Sheet::of(&self.0).signed_by(seeds)
    }
}
