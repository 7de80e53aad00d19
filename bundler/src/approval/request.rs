//! The request: a few kilobytes that hold what is to be signed, and what an approver needs to see of it.
//!
//! Everything that is shown is worked out again from what is signed: the release manifest has the digest that targets
//! names, the objects have the digest that the manifest names, the last release has its approvers' signatures. What is
//! only the requester's word stands apart, in [`Word`].

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use consign_format::error::Failure;
use consign_format::release::ReleaseManifest;
use consign_format::trust::chain::Asked;
use consign_format::trust::envelope::{self, Envelope, Signature};
use consign_format::trust::keys::{self, Progress, SignError, Signer};
use consign_format::trust::roots::RootChain;
use consign_format::{Digest, Limits, canonical, state};
use consign_registry::manifest::{Manifest, Pointers};
use flate2::read::ZlibDecoder;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::ApprovalError;
use crate::bundle::BundleError;
use crate::difference::{Difference, Side, compare};

mod make;

pub use make::make;

/// The value of `_type`.
pub const TYPE: &str = "approval-request";
/// The most bytes a request may have.
const LIMIT: u64 = 128 << 20;

/// A request, as its file has it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Request {
    /// Always [`TYPE`].
    #[serde(rename = "_type")]
    pub kind: String,
    /// What nobody has signed.
    pub word: Word,
    /// The domain's roots, version 1 first.
    pub roots: Vec<Value>,
    /// What is to be signed: `targets.json` with the signatures so far.
    pub targets: Value,
    /// The release manifest that it names.
    pub release: Value,
    /// The last approved release, where the requester named one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<Previous>,
    /// Manifests and layers of the two desired states, by digest: zlib in base64.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub blobs: BTreeMap<Digest, String>,
}

/// What the requester says, and no signature covers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Word {
    /// The bundle's file name.
    pub bundle: String,
    /// Its length in bytes.
    pub bytes: u64,
    /// What the requester wants to say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// An approved release.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Previous {
    /// The root it was approved under.
    pub root: u64,
    /// Its `targets.json`.
    pub targets: Value,
    /// Its release manifest.
    pub release: Value,
}

/// A request that holds together.
#[derive(Debug)]
pub struct Examined {
    /// The roots it came with.
    pub roots: RootChain,
    /// What is asked.
    pub asked: Asked,
    /// The last approved release, by its own approvers' signatures.
    pub previous: Option<Asked>,
    /// How many of them the newest root still counts, and how many it asks for.
    pub previous_today: Option<Progress>,
    /// What differs from it.
    pub difference: Option<Difference>,
    /// Whether the objects of both were there to be compared.
    pub objects_compared: bool,
    /// What the requester says.
    pub word: Word,
}

fn value(document: &[u8]) -> Result<Value, Failure> {
    let parsed = serde_json::from_slice(document);
    Ok(parsed.map_err(|e| ApprovalError::Form { path: "the bundle".into(), reason: e.to_string() })?)
}

fn layer_of(manifest: &[u8]) -> Option<Digest> {
    match Manifest::parse(manifest, None).ok()?.content {
        Pointers::Image { layers, .. } if layers.len() == 1 => Some(layers[0].digest),
        _ => None,
    }
}

impl Request {
    /// Reads a request; `None` for a JSON document that is something else.
    ///
    /// # Errors
    /// [`ApprovalError::Form`], or what the disk says.
    pub fn read(path: &Path) -> Result<Option<Self>, Failure> {
        let io = |source| BundleError::Io { path: path.to_owned(), source };
        let form = |reason: String| ApprovalError::Form { path: path.to_owned(), reason };
        let mut text = Vec::new();
        File::open(path).map_err(io)?.take(LIMIT).read_to_end(&mut text).map_err(io)?;
        let value: Value = serde_json::from_slice(&text).map_err(|e| form(e.to_string()))?;
        if value.get("_type").and_then(Value::as_str) != Some(TYPE) {
            return Ok(None);
        }
        Ok(Some(serde_json::from_value(value).map_err(|e| form(e.to_string()))?))
    }

    /// Its file's content: indented, for eyes and for `diff`.
    pub fn to_text(&self) -> String {
        // Only values of JSON are inside.
        serde_json::to_string_pretty(self).unwrap_or_default() + "\n"
    }

    /// `targets.json`, in the form that is signed.
    ///
    /// # Errors
    /// A value that no signed document has.
    pub fn targets_bytes(&self) -> Result<Vec<u8>, SignError> {
        Ok(canonical::to_vec(&self.targets)?)
    }

    /// Signs what is asked, with keys of approvers.
    ///
    /// # Errors
    /// A key without a say in the newest of `roots`, or the signer's; the request stays as it was.
    pub fn sign(&mut self, roots: &RootChain, signers: &[Box<dyn Signer + '_>]) -> Result<(), Failure> {
        let mut bytes = self.targets_bytes()?;
        for signer in signers {
            super::demand_say(roots, signer.as_ref(), "targets")?;
            bytes = keys::add_signature("targets.json", &bytes, signer.as_ref())?;
        }
        self.targets = value(&bytes)?;
        Ok(())
    }

    /// Works everything out again from what is signed. `trusted` are roots that the approver has from elsewhere; without
    /// them the request's own are taken, and whoever shows the result says so.
    ///
    /// # Errors
    /// What a site would say of the documents, [`ApprovalError::Blob`].
    pub fn examine(&self, trusted: Option<&RootChain>) -> Result<Examined, Failure> {
        let files: Vec<Vec<u8>> =
            self.roots.iter().map(canonical::to_vec).collect::<Result<_, _>>().map_err(SignError::from)?;
        let own = RootChain::restore(&files)?;
        let roots = match trusted {
            Some(trusted) => trusted.follow(&files)?,
            None => own,
        };
        let release = canonical::to_vec(&self.release).map_err(SignError::from)?;
        let asked = roots.asked(&self.targets_bytes()?, &release)?;
        let previous = self.previous.as_ref().map(|previous| previous.examine(&files)).transpose()?;
        if let Some(other) = previous.as_ref().filter(|other| other.approval.product != asked.approval.product) {
            let (product, previous) = (asked.approval.product.clone(), other.approval.product.clone());
            return Err(ApprovalError::OtherProduct { product, previous }.into());
        }
        let previous_today = self.previous.as_ref().map(|previous| previous.today(&roots)).transpose()?;
        let (mut difference, mut objects_compared) = (None, false);
        if let Some(previous) = &previous {
            let (old, new) = (self.objects(&previous.release)?, self.objects(&asked.release)?);
            objects_compared = old.is_some() && new.is_some();
            let side = |release: &ReleaseManifest, objects: Option<Vec<Value>>| {
                let objects = objects.filter(|_| objects_compared).unwrap_or_default();
                Side { release: release.clone(), objects }
            };
            difference = Some(compare(&side(&previous.release, old), &side(&asked.release, new)));
        }
        let word = self.word.clone();
        Ok(Examined { roots, asked, previous, previous_today, difference, objects_compared, word })
    }

    fn objects(&self, release: &ReleaseManifest) -> Result<Option<Vec<Value>>, Failure> {
        let limits = Limits::DEFAULT;
        let Some(manifest) = self.unpacked(&release.state, limits.manifest)? else { return Ok(None) };
        let Some(layer) = layer_of(&manifest) else { return Ok(None) };
        let Some(layer) = self.unpacked(&layer, limits.state)? else { return Ok(None) };
        Ok(Some(state::read_layer(&layer, &limits).map_err(BundleError::State)?))
    }

    /// A blob whose bytes have its digest.
    fn unpacked(&self, digest: &Digest, limit: u64) -> Result<Option<Vec<u8>>, ApprovalError> {
        let Some(text) = self.blobs.get(digest) else { return Ok(None) };
        let wrong = || ApprovalError::Blob { digest: *digest };
        let packed = STANDARD.decode(text).map_err(|_| wrong())?;
        let mut bytes = Vec::new();
        ZlibDecoder::new(packed.as_slice()).take(limit).read_to_end(&mut bytes).map_err(|_| wrong())?;
        if Digest::of(&bytes) == *digest { Ok(Some(bytes)) } else { Err(wrong()) }
    }
}

impl Previous {
    /// Demands that its approvers had signed it, under the root of its time.
    fn examine(&self, roots: &[Vec<u8>]) -> Result<Asked, Failure> {
        let then = usize::try_from(self.root).ok().and_then(|count| roots.get(..count)).unwrap_or(roots);
        let chain = RootChain::restore(then)?;
        let bytes = |value: &Value| canonical::to_vec(value).map_err(SignError::from);
        let asked = chain.asked(&bytes(&self.targets)?, &bytes(&self.release)?)?;
        asked.progress.demand("targets.json", "targets")?;
        Ok(asked)
    }

    /// How far its signatures come under the newest root. The request chooses the root of its time; whoever stole a key
    /// that was revoked since would choose the one before.
    fn today(&self, roots: &RootChain) -> Result<Progress, Failure> {
        let bytes = canonical::to_vec(&self.targets).map_err(SignError::from)?;
        let envelope = Envelope::parse("targets.json", &bytes)?;
        let count = |signatures: &[Signature]| -> Result<Progress, Failure> {
            let bytes = envelope::seal(&value(envelope.signed())?, signatures).map_err(SignError::from)?;
            Ok(roots.progress(&Envelope::parse("targets.json", &bytes)?, "targets")?)
        };
        // One by one: a signature that does not count today says nothing about the others.
        let all = envelope.signatures().iter().cloned();
        let kept: Vec<Signature> = all.filter(|one| count(std::slice::from_ref(one)).is_ok()).collect();
        count(&kept)
    }
}
