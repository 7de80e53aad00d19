//! Makes the request out of a bundle: its documents, and the objects of its desired state from their places in the file.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::FileExt;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use consign_format::archive::front::Overlaid;
use consign_format::archive::plan;
use consign_format::carriage::{Carriage, Place};
use consign_format::error::Failure;
use consign_format::trust::chain::Awaiting;
use consign_format::trust::roots::RootChain;
use consign_format::{Digest, Limits};
use flate2::Compression;
use flate2::write::ZlibEncoder;

use super::{Previous, Request, TYPE, Word, layer_of, value};
use crate::approval::{ApprovalError, Head, read_head};
use crate::bundle::{self, BundleError};
use crate::medium;

/// The most bytes that objects may add to a request, packed; with more of them they stay out, and that is said.
const OBJECTS_LIMIT: usize = 1 << 20;

/// Makes the request for a bundle, held against the last approved one where there is one.
///
/// # Errors
/// What a site would say of either bundle.
pub fn make(
    path: &Path,
    against: Option<&Path>,
    note: Option<String>,
    roots: Option<&RootChain>,
) -> Result<Request, Failure> {
    let mut blobs = BTreeMap::new();
    let Opened { head, chain, awaiting } = open(path, roots)?;
    let mut whole = objects(path, &awaiting, &mut blobs)?;
    let mut previous = None;
    if let Some(old_path) = against {
        let old = open(old_path, Some(&RootChain::restore(&chain.files()[..1])?))?;
        // Only what was approved is worth a comparison.
        old.awaiting.progress.demand("targets.json", "targets")?;
        whole &= objects(old_path, &old.awaiting, &mut blobs)?;
        let [_, _, targets, _, manifest] = &old.head.documents;
        let root = old.chain.root().version;
        previous = Some(Previous { root, targets: value(targets)?, release: value(manifest)? });
    }
    let packed: usize = blobs.values().map(String::len).sum();
    if !whole || packed > OBJECTS_LIMIT {
        blobs.clear();
    }
    let [_, _, targets, _, manifest] = &head.documents;
    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
    Ok(Request {
        kind: TYPE.to_owned(),
        word: Word { bundle: name, bytes: bundle::length(path)?, note },
        roots: chain.files().iter().map(|root| value(root)).collect::<Result<_, _>>()?,
        targets: value(targets)?,
        release: value(manifest)?,
        previous,
        blobs,
    })
}

/// A bundle's head, whose publisher has signed.
struct Opened {
    head: Head,
    chain: RootChain,
    awaiting: Awaiting,
}

fn open(path: &Path, roots: Option<&RootChain>) -> Result<Opened, Failure> {
    let head = read_head(medium::file(path)?)?;
    let chain = match roots {
        Some(roots) => roots.follow(&head.roots)?,
        None => RootChain::restore(&head.roots)?,
    };
    let awaiting = head.check(&chain)?;
    Ok(Opened { head, chain, awaiting })
}

/// Adds the manifest and the layer of a release's desired state; `false` where the bundle does not carry them.
fn objects(path: &Path, awaiting: &Awaiting, into: &mut BTreeMap<Digest, String>) -> Result<bool, Failure> {
    let file = medium::file(path)?;
    let (limits, carriage, state) = (Limits::DEFAULT, &awaiting.carriage, awaiting.release.state);
    let Some(manifest) = blob(&file, carriage, &state, limits.manifest)? else { return Ok(false) };
    let Some(layer) = layer_of(&manifest) else { return Ok(false) };
    let Some(content) = blob(&file, carriage, &layer, limits.state)? else { return Ok(false) };
    for (digest, bytes) in [(state, manifest), (layer, content)] {
        let mut packed = ZlibEncoder::new(Vec::new(), Compression::best());
        // A vector takes everything.
        let packed = packed.write_all(&bytes).and_then(|()| packed.finish()).unwrap_or_default();
        into.insert(digest, STANDARD.encode(packed));
    }
    Ok(true)
}

/// Reads one stored blob from its place in the file.
fn blob(file: &Overlaid<File>, carriage: &Carriage, wanted: &Digest, limit: u64) -> Result<Option<Vec<u8>>, Failure> {
    let places = plan::place(carriage.boundary, &carriage.members).map_err(crate::pack::PackError::from)?;
    let name = Place::Blob(*wanted).name();
    let Some(at) = carriage.members.iter().position(|member| member.name == name && member.length <= limit) else {
        return Ok(None);
    };
    let mut bytes = vec![0; carriage.members[at].length as usize];
    let read = file.inner().read_exact_at(&mut bytes, places.places[at].content);
    read.map_err(|source| BundleError::Io { path: name.into(), source })?;
    if Digest::of(&bytes) != *wanted {
        return Err(ApprovalError::Blob { digest: *wanted }.into());
    }
    Ok(Some(bytes))
}
