//! Putting a bundle together from its volumes: the same file again, byte for byte, and checked as far as that needs no
//! key.

use std::io::{BufRead as _, BufReader, Seek as _, Write as _};
use std::path::{Path, PathBuf};

use consign_format::Name;
use consign_format::archive::volumes::Map;
use consign_format::error::{Code, Coded, Failure, codes};
use consign_registry::durable::{Draft, DurableError, Existing, Folder, Step, parent_of};
use consign_registry::volumes::VolumesError;
use consign_terminal::progress::Progress;

use crate::bundle::{self, BundleError, Trust};
use crate::medium::{Counted, Medium};
use crate::rehead;
use crate::tee::Sink;

/// How much of an encrypted bundle is copied at a time.
const BUFFER: usize = 256 * 1024;

/// What `consign join` has done.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Joined {
    /// The bundle.
    pub path: PathBuf,
    /// The product; of an encrypted bundle nothing is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub product: Option<Name>,
    /// The version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Of how many volumes it was.
    pub volumes: u64,
    /// Bytes.
    pub bytes: u64,
}

/// What was named is no volume.
#[derive(Debug, thiserror::Error)]
#[error("{} is a whole bundle already", path.display())]
struct Whole {
    path: PathBuf,
}

impl Coded for Whole {
    fn code(&self) -> Code {
        codes::USAGE
    }

    fn hint(&self) -> Option<String> {
        Some("use it as it is; there is nothing to put together".to_owned())
    }
}

/// Puts volumes together: any of them is named, or the folder they are in.
///
/// # Errors
/// Which volume is missing or damaged; what a site would say of the bundle; what the disk says. Then there is no file.
pub fn join(volumes: &Path, output: &Path, progress: &dyn Progress) -> Result<Joined, Failure> {
    let mut counted = Counted::open(volumes, progress)?;
    let map = counted.map().cloned().ok_or_else(|| Whole { path: volumes.to_owned() })?;
    if let Some(source) = map.missing().into_iter().next() {
        return Err(VolumesError::Missing { path: counted.path().to_owned(), source }.into());
    }
    if output.symlink_metadata().is_ok() {
        return Err(DurableError::Exists { path: output.to_owned() }.into());
    }
    let draft = Draft::create(&Folder::open(&parent_of(output))?, 0o644)?;
    let mut joined =
        Joined { path: output.to_owned(), product: None, version: None, volumes: map.of(), bytes: map.length() };
    let draft = match counted.is_sealed()? {
        true => copy(counted, draft, output)?,
        false => check(counted, &map, draft, output, &mut joined)?,
    };
    // A head that waits for a bundle of this name would be read over this one.
    let _others_kept_out = rehead::make_way(output)?;
    draft.commit(output.file_name().unwrap_or_default(), Existing::Refuse)?;
    Ok(joined)
}

/// Writes a plain bundle while it is checked against its own roots: that it is whole, not who made it.
fn check(bundle: Counted<'_>, map: &Map, draft: Draft, output: &Path, joined: &mut Joined) -> Result<Draft, Failure> {
    let (tee, sink) = Sink::behind(Medium::plain(bundle));
    let open = bundle::vouch(tee, &Trust::Own)?;
    let vouched = &open.verified.vouched;
    joined.product = Some(vouched.approval.product.clone());
    joined.version = Some(vouched.approval.version.clone());
    let carriage = vouched.carriage.clone();
    let failed = |source| DurableError::io(Step::Write, output, source);
    let begun = sink.borrow_mut().begin(|head| {
        let mut draft = draft;
        draft.write_all(&head).map(|()| draft)
    });
    begun.map_err(failed)?;
    let read = open.read_all().map_err(|error| match error {
        BundleError::Archive(error) => BundleError::Archive(map.explain(error, &carriage)),
        other => other,
    });
    let sink = Sink::take(&sink);
    if !sink.has_failed() {
        read?;
    }
    Ok(sink.end().map_err(failed)?)
}

/// Copies an encrypted bundle; whether it is whole, only a recipient can tell.
fn copy(mut bundle: Counted<'_>, mut draft: Draft, output: &Path) -> Result<Draft, Failure> {
    let path = bundle.path().to_owned();
    let failed = |source| BundleError::Io { path: path.clone(), source };
    bundle.rewind().map_err(failed)?;
    let mut bundle = BufReader::with_capacity(BUFFER, bundle);
    loop {
        let chunk = bundle.fill_buf().map_err(failed)?;
        if chunk.is_empty() {
            return Ok(draft);
        }
        let length = chunk.len();
        draft.write_all(chunk).map_err(|source| DurableError::io(Step::Write, output, source))?;
        bundle.consume(length);
    }
}
