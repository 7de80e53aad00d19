//! One function per reader of hostile bytes: it must not panic, and what it accepts must hold what the format promises.
//!
//! `format/tests/fuzz.rs` includes this file and runs it over every seed and every old crash, so a crash once found is
//! a test from then on, on a machine without a fuzzer.
//!
//! Where a signature or a digest stands before the code to be reached, the target makes it: a fuzzer that has to guess
//! one never gets past it.

use std::io::{Cursor, Read, Write};
use std::sync::OnceLock;

use consign_format::archive::head::OpenedBundle;
use consign_format::archive::header;
use consign_format::canonical;
use consign_format::carriage::{FRAME_SIZE, Frame, Packed};
use consign_format::release::ReleaseManifest;
use consign_format::trust::TrustError;
use consign_format::trust::author;
use consign_format::trust::envelope::{Envelope, Signature};
use consign_format::trust::keys::{PublicKey, SecretKey, Signer, key_id};
use consign_format::trust::roots::RootChain;
use consign_format::trust::statement::{DowngradeGrant, SiteRecord};
use consign_format::{Digest, Limits, Reference, frames, receipt, state};

#[path = "slip.rs"]
mod slip;
#[path = "volume.rs"]
mod volume;

pub use slip::{signed, slip};
pub use volume::volume;

/// The name of a target and what it does with bytes.
pub type Target = (&'static str, fn(&[u8]));

/// Every target; the folders of seeds and regressions have the same names.
pub const TARGETS: &[Target] = &[
    ("carriage", carriage),
    ("envelope", envelope),
    ("frames", frames),
    ("head", head),
    ("header", header),
    ("metadata", metadata),
    ("receipt", receipt),
    ("reference", reference),
    ("release", release),
    ("slip", slip),
    ("state", state),
    ("statement", statement),
    ("volume", volume),
];

/// When the documents of the fixed root expire.
pub const EXPIRES: &str = "2036-11-22T12:00:00Z";

/// The one key that signs everything here.
pub fn key() -> &'static SecretKey {
    static KEY: OnceLock<SecretKey> = OnceLock::new();
    KEY.get_or_init(|| SecretKey::from_seed(&[1; 32]))
}

/// The enrolled root: domain `dev`, [`key`] in every role.
pub fn enrolled() -> &'static RootChain {
    static ROOT: OnceLock<RootChain> = OnceLock::new();
    ROOT.get_or_init(|| {
        let domain = "dev".parse().expect("a name");
        let root = author::development_root(&domain, key(), EXPIRES).expect("a root");
        RootChain::enrol(&root, None).expect("a root that was just made")
    })
}

/// Wraps the bytes of a document, whatever they are, in an envelope with a signature that holds.
pub fn sealed(body: &[u8]) -> Vec<u8> {
    static ID: OnceLock<String> = OnceLock::new();
    let keyid = ID.get_or_init(|| key_id(&key().public()).expect("an id")).clone();
    let sig = hex::encode(key().sign(body).expect("a signature"));
    around(body, &[Signature { keyid, sig }])
}

fn around(body: &[u8], signatures: &[Signature]) -> Vec<u8> {
    let signatures = canonical::to_vec(signatures).expect("strings");
    [b"{\"signatures\":", signatures.as_slice(), b",\"signed\":", body, b"}"].concat()
}

/// One tar header: what is accepted is the one header of its name and length.
pub fn header(bytes: &[u8]) {
    let mut block = [0; 512];
    let length = bytes.len().min(512);
    block[..length].copy_from_slice(&bytes[..length]);
    if let Ok((name, length)) = header::parse(&block) {
        assert_eq!(header::canonical(&name, length), Ok(block));
    }
}

/// The envelope's scanner: what is accepted is its own canonical form, both as a value and as a document.
pub fn envelope(bytes: &[u8]) {
    if canonical::check(bytes).is_ok() {
        assert_canonical(bytes);
    }
    if let Ok(envelope) = Envelope::parse("fuzzed", bytes) {
        assert_canonical(envelope.signed());
        assert_eq!(around(envelope.signed(), envelope.signatures()), bytes);
    }
}

fn assert_canonical(bytes: &[u8]) {
    let value: serde_json::Value = serde_json::from_slice(bytes).expect("canonical JSON is JSON");
    assert_eq!(canonical::to_vec(&value).expect("it has a canonical form"), bytes);
}

/// The bodies of a whole head, one a line: roots, timestamp, snapshot, targets, carriage, release manifest.
///
/// In a line, `#R` stands for the sha256 of the release manifest and `#r` for its length, `#C` and `#c` for the
/// carriage, `#T` for the targets document and `#S` for the snapshot. JSON has no `#` outside strings, and a canonical
/// document has no line breaks.
pub fn metadata(bytes: &[u8]) {
    let lines: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').collect();
    let Some((roots, documents)) = lines.split_last_chunk::<5>() else { return };
    let files: Vec<Vec<u8>> = roots.iter().map(|body| sealed(body)).collect();
    let chain = files.first().and_then(|first| RootChain::enrol(first, None).ok());
    let chain = chain.and_then(|chain| chain.follow(&files).ok());
    if let Some(chain) = &chain {
        assert_eq!(RootChain::restore(chain.files()).expect("it was followed").root(), chain.root());
    }
    let _ = vouch(chain.as_ref().unwrap_or_else(|| enrolled()), *documents);
}

/// Lets roots vouch for the five documents of a head, `#` placeholders filled in.
pub fn vouch(roots: &RootChain, documents: [&[u8]; 5]) -> Result<(), TrustError> {
    let [timestamp, snapshot, targets, carriage, release] = documents;
    let mut known = vec![(b'R', Digest::of(release).hex()), (b'r', release.len().to_string())];
    let targets = fill(targets, &known);
    let carriage = around(&fill(carriage, &known), &[]);
    known.extend([
        (b'T', Digest::of(&targets).hex()),
        (b'C', Digest::of(&carriage).hex()),
        (b'c', carriage.len().to_string()),
    ]);
    let snapshot = fill(snapshot, &known);
    known.push((b'S', Digest::of(&snapshot).hex()));
    let timestamp = roots.timestamp(&sealed(&fill(timestamp, &known)))?;
    let targets = timestamp.snapshot(&sealed(&snapshot))?.targets(&sealed(&targets))?;
    let vouched = targets.carriage(&carriage)?.release(release)?;
    assert!(vouched.carriage.members.len() >= 2);
    assert_eq!(vouched.release_digest, Digest::of(release));
    Ok(())
}

fn fill(line: &[u8], known: &[(u8, String)]) -> Vec<u8> {
    let mut filled = Vec::with_capacity(line.len() + 128);
    let mut rest = line;
    while let [first, after @ ..] = rest {
        let found = known.iter().find(|(letter, _)| *first == b'#' && after.first() == Some(letter));
        match found {
            Some((_, text)) => {
                filled.extend_from_slice(text.as_bytes());
                rest = &after[1..];
            }
            None => {
                filled.push(*first);
                rest = after;
            }
        }
    }
    filled
}

/// The head that [`carriage`] puts its input into.
static HEAD: &[u8] = include_bytes!("../corpus/metadata/release");

/// The body of a carriage, in a head that is well otherwise.
pub fn carriage(bytes: &[u8]) {
    let lines: Vec<&[u8]> = HEAD.split(|byte| *byte == b'\n').collect();
    if let [_, timestamp, snapshot, targets, _, release] = lines.as_slice() {
        let _ = vouch(enrolled(), [timestamp, snapshot, targets, bytes, release]);
    }
}

/// The release manifest: what is accepted is what its author would have written.
pub fn release(bytes: &[u8]) {
    if let Ok(release) = ReleaseManifest::parse(bytes) {
        assert_eq!(release.to_bytes().expect("it was read"), bytes);
        for blob in &release.blobs {
            assert!(release.blob(&blob.digest).is_some());
        }
        let _ = release.payload();
    }
}

/// The bodies of statements, signed as they must be.
pub fn statement(bytes: &[u8]) {
    let statement = sealed(bytes);
    let _ = enrolled().statement::<SiteRecord>("fuzzed", &statement);
    let _ = enrolled().statement::<DowngradeGrant>("fuzzed", &statement);
}

/// A receipt as it came, and the body of one that the site has signed.
pub fn receipt(bytes: &[u8]) {
    let site = PublicKey::of(key());
    assert!(receipt::verify(bytes, &PublicKey::of(&SecretKey::from_seed(&[2; 32]))).is_err(), "nobody signed it");
    let _ = receipt::verify(bytes, &site);
    let _ = receipt::verify(&sealed(bytes), &site);
}

/// A whole archive, read as `verify` reads it.
pub fn head(bytes: &[u8]) {
    let Ok(opened) = OpenedBundle::open(Cursor::new(bytes), Limits::DEFAULT) else { return };
    let Ok(roots) = enrolled().follow(opened.roots()) else { return };
    let Ok(announced) = opened.read_statements() else { return };
    for statement in announced.statements() {
        let _ = roots.statement::<SiteRecord>("fuzzed", statement);
    }
    let end = announced.end();
    match announced.read_head() {
        Ok(None) => assert_eq!(end, Some(bytes.len() as u64), "a bundle of metadata ends where it said"),
        Ok(Some(untrusted)) => {
            let Ok(verified) = untrusted.verify(&roots) else { return };
            let _ = verified.payload.each(|_, _, content| {
                let _ = std::io::copy(content, &mut std::io::sink());
                Ok::<(), consign_format::archive::head::ArchiveError>(())
            });
        }
        Err(_) => {}
    }
}

/// The layer of a state artifact. Behind a first byte of 0 stands the tar, which is wrapped in the gzip it needs;
/// behind any other, the layer itself.
pub fn state(bytes: &[u8]) {
    const LIMITS: Limits = Limits { state: 1 << 20, ..Limits::DEFAULT };
    let layer = match bytes.split_first() {
        Some((0, tar)) => {
            let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::none());
            gzip.write_all(tar).expect("memory");
            gzip.finish().expect("memory")
        }
        Some((_, layer)) => layer.to_vec(),
        None => return,
    };
    let _ = state::read_layer(&layer, &LIMITS);
}

/// An image reference: what is accepted is written and read again as itself.
pub fn reference(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(reference) = text.parse::<Reference>() {
        assert_eq!(reference.to_string().parse::<Reference>().as_ref(), Ok(&reference));
    }
}

/// One packed frame, its digest right and its plain size claimed by the first four bytes. What is decoded is never
/// more than was claimed.
pub fn frames(bytes: &[u8]) {
    let Some((claimed, stored)) = bytes.split_first_chunk::<4>() else { return };
    let size = u64::from(u32::from_le_bytes(*claimed)) % (FRAME_SIZE + 1);
    let frame = Frame { length: stored.len() as u64, sha256: Digest::of(stored) };
    let packed = Packed { digest: Digest::of(b""), size, frames: vec![frame] };
    let mut plain = Vec::new();
    let done = frames::unpack(stored.take(u64::MAX), &packed, &mut plain);
    assert_eq!(plain.len() as u64, if done.is_ok() { size } else { 0 });
}
