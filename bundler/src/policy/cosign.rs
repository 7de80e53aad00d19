//! What travels beside an image and claims to be its signature, as cosign and others write it.
//!
//! Three forms, each signed with a plain key, so that no service outside is asked:
//! - simple signing behind the tag `sha256-….sig`, and the same as a referrer
//!   (`application/vnd.dev.cosign.artifact.sig.v1+json`): a layer is a payload that names the image's digest, an
//!   annotation its signature (cosign, `specs/SIGNATURE_SPEC.md`);
//! - the sigstore bundle, version 0.3: a signature over the manifest's bytes, or a DSSE envelope around an in-toto
//!   statement of the predicate `https://sigstore.dev/cosign/sign/v1`.
//!
//! Everything here is from outside, though its digests hold: whoever may push a signature wrote it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use consign_format::Digest;
use consign_format::release::{Image, Referrer};
use consign_registry::manifest::{Manifest, Pointers};
use serde::Deserialize;

use crate::bundle::kept::Kept;

/// A payload or sigstore bundle is a few KB; what is larger is not read. Bytes.
pub const LIMIT: u64 = 256 << 10;
/// The annotation with the signature over a layer's bytes.
const SIGNATURE: &str = "dev.cosignproject.cosign/signature";
/// A layer that is a payload.
const SIMPLE_SIGNING: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
/// A signature as a referrer.
const ARTIFACT: &str = "application/vnd.dev.cosign.artifact.sig.v1+json";
/// A sigstore bundle as a referrer.
const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
/// What `critical.type` of a payload must be.
const PAYLOAD_TYPE: &str = "cosign container image signature";
/// What the statement in a DSSE envelope must be for its signature to be one of the image; others attest other things.
const SIGN_PREDICATE: &str = "https://sigstore.dev/cosign/sign/v1";
/// What a DSSE envelope must hold.
const IN_TOTO: &str = "application/vnd.in-toto+json";

/// A signature that speaks of the image, not yet checked by any key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// What was signed.
    pub message: Vec<u8>,
    /// The signature.
    pub signature: Vec<u8>,
}

/// Something that claims to be a signature of the image: what it is called, and the claim or why it is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// What it is called: its tag or its digest.
    pub name: String,
    /// The claim, or in words why it does not count.
    pub claim: Result<Claim, String>,
}

/// Asks for everything that the signatures of an image are made of.
pub fn want(image: &Image, kept: &mut Kept) {
    for referrer in referrers(image) {
        kept.want_manifest(referrer.digest, LIMIT);
        if referrer.artifact_type.as_deref() == Some(BUNDLE) {
            kept.want(image.digest, consign_format::Limits::DEFAULT.manifest);
        }
    }
}

/// Everything that claims to be a signature of the image.
pub fn candidates(image: &Image, kept: &Kept) -> Vec<Candidate> {
    referrers(image).flat_map(|referrer| of_referrer(referrer, image, kept)).collect()
}

/// The referrers of the image itself that could be signatures.
fn referrers(image: &Image) -> impl Iterator<Item = &Referrer> {
    let tag = format!("sha256-{}.sig", image.digest.hex());
    image.referrers.iter().filter(move |referrer| {
        let is_kind = matches!(referrer.artifact_type.as_deref(), Some(ARTIFACT | BUNDLE));
        referrer.subject == image.digest && (is_kind || referrer.tag.as_ref() == Some(&tag))
    })
}

fn of_referrer(referrer: &Referrer, image: &Image, kept: &Kept) -> Vec<Candidate> {
    let name = referrer.tag.clone().unwrap_or_else(|| referrer.digest.to_string());
    let unusable = |why: &str| vec![Candidate { name: name.clone(), claim: Err(why.to_owned()) }];
    let manifest = match kept.read(&referrer.digest).map(|bytes| Manifest::parse(bytes, None)) {
        Ok(Ok(manifest)) => manifest,
        Ok(Err(error)) => return unusable(&error.to_string()),
        Err(why) => return unusable(&why),
    };
    let Pointers::Image { layers, .. } = &manifest.content else { return unusable("it is an index") };
    let is_bundle = referrer.artifact_type.as_deref() == Some(BUNDLE);
    let wanted = if is_bundle { BUNDLE } else { SIMPLE_SIGNING };
    let fitting: Vec<_> = layers.iter().filter(|layer| layer.media_type == wanted).collect();
    if fitting.is_empty() {
        return unusable("it holds no signature");
    }
    let claim = |layer: &consign_format::Descriptor| {
        let bytes = kept.read(&layer.digest)?;
        match is_bundle {
            true => of_bundle(bytes, image, kept),
            false => of_payload(bytes, layer.annotations.get(SIGNATURE), &image.digest),
        }
    };
    fitting.into_iter().map(|layer| Candidate { name: name.clone(), claim: claim(layer) }).collect()
}

#[derive(Deserialize)]
struct Payload {
    critical: Critical,
}

#[derive(Deserialize)]
struct Critical {
    #[serde(rename = "type")]
    kind: String,
    image: CriticalImage,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct CriticalImage {
    docker_manifest_digest: Digest,
}

fn of_payload(bytes: &[u8], signature: Option<&String>, image: &Digest) -> Result<Claim, String> {
    let signature = signature.ok_or("it has no signature annotation")?;
    let signature = STANDARD.decode(signature).map_err(|_| "its signature is not base64")?;
    let payload: Payload = serde_json::from_slice(bytes).map_err(|_| "its payload is not of the expected form")?;
    if payload.critical.kind != PAYLOAD_TYPE {
        return Err(format!("its payload is a `{}`", payload.critical.kind));
    }
    let found = payload.critical.image.docker_manifest_digest;
    if found != *image {
        return Err(format!("it is of another image, {found}"));
    }
    Ok(Claim { message: bytes.to_vec(), signature })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SigstoreBundle {
    media_type: String,
    message_signature: Option<MessageSignature>,
    dsse_envelope: Option<Dsse>,
}

#[derive(Deserialize)]
struct MessageSignature {
    signature: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Dsse {
    payload: String,
    payload_type: String,
    signatures: Vec<DsseSignature>,
}

#[derive(Deserialize)]
struct DsseSignature {
    sig: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct InToto {
    predicate_type: String,
    subject: Vec<Subject>,
}

#[derive(Deserialize)]
struct Subject {
    digest: std::collections::BTreeMap<String, String>,
}

fn of_bundle(bytes: &[u8], image: &Image, kept: &Kept) -> Result<Claim, String> {
    let base64 = |text: &str| STANDARD.decode(text).map_err(|_| "it holds what is not base64".to_owned());
    let bundle: SigstoreBundle = serde_json::from_slice(bytes).map_err(|_| "it is not of the expected form")?;
    if bundle.media_type != BUNDLE {
        return Err(format!("it is a `{}`", bundle.media_type));
    }
    match (bundle.message_signature, bundle.dsse_envelope) {
        // The message is the manifest itself, whose bytes are those of its digest.
        (Some(message), None) => {
            let manifest = kept.read(&image.digest)?.to_vec();
            Ok(Claim { message: manifest, signature: base64(&message.signature)? })
        }
        (None, Some(envelope)) => of_envelope(&envelope, &image.digest, base64),
        _ => Err("it is not of the expected form".to_owned()),
    }
}

fn of_envelope(
    envelope: &Dsse,
    image: &Digest,
    base64: impl Fn(&str) -> Result<Vec<u8>, String>,
) -> Result<Claim, String> {
    let [one] = envelope.signatures.as_slice() else { return Err("it must have one signature".to_owned()) };
    if envelope.payload_type != IN_TOTO {
        return Err(format!("it holds a `{}`", envelope.payload_type));
    }
    let payload = base64(&envelope.payload)?;
    let statement: InToto =
        serde_json::from_slice(&payload).map_err(|_| "its statement is not of the expected form")?;
    if statement.predicate_type != SIGN_PREDICATE {
        return Err(format!("it attests something else, {}", statement.predicate_type));
    }
    let hex = image.hex();
    if !statement.subject.iter().any(|subject| subject.digest.get("sha256") == Some(&hex)) {
        return Err("it is of another image".to_owned());
    }
    // DSSE's pre-authentication encoding (dsse, protocol.md).
    let mut message = format!("DSSEv1 {} {IN_TOTO} {} ", IN_TOTO.len(), payload.len()).into_bytes();
    message.extend_from_slice(&payload);
    Ok(Claim { message, signature: base64(&one.sig)? })
}
