//! `consign export`.

use std::ffi::OsStr;
use std::io::Read;
use std::path::{Path, PathBuf};

use consign_format::archive::head::ArchiveError;
use consign_format::carriage::Place;
use consign_format::error::{Code, Coded, Failure};
use consign_format::layout;
use consign_registry::durable::{self, DurableError, Existing, Folder};
use consign_registry::{BlobError, BlobFolder};
use consign_terminal::Amount;
use serde_json::json;

use super::World;
use super::identity::IdentityArgs;
use super::trust::TrustArgs;
use crate::bundle;

/// Writes the content of a bundle into folders: an OCI image layout for skopeo, podman and crane, and the desired
/// state as one file per object. Everything is checked on the way.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = true, id = "what", args = ["oci", "state"])]
pub struct Args {
    /// The bundle
    #[arg(value_name = "FILE")]
    bundle: PathBuf,
    /// The folder for an OCI image layout with every image and file
    #[arg(long, value_name = "DIR")]
    oci: Option<PathBuf>,
    /// The folder for the objects
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    #[command(flatten)]
    trust: TrustArgs,
    #[command(flatten)]
    identity: IdentityArgs,
}

/// What can go wrong between the bundle and the folder.
#[derive(Debug, thiserror::Error)]
enum ExportError {
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    #[error(transparent)]
    Blob(#[from] BlobError),
    #[error(transparent)]
    Write(#[from] DurableError),
}

impl Coded for ExportError {
    fn code(&self) -> Code {
        match self {
            ExportError::Archive(error) => error.code(),
            ExportError::Blob(error) => error.code(),
            ExportError::Write(error) => error.code(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            ExportError::Archive(error) => error.hint(),
            ExportError::Blob(error) => error.hint(),
            ExportError::Write(error) => error.hint(),
        }
    }
}

pub(super) fn run(args: &Args, world: &World<'_>) -> Result<(), Failure> {
    let mut said = Vec::new();
    if let Some(dir) = &args.oci {
        let blobs = export_layout(args, dir, world)?;
        said.push(format!(
            "{blobs} blobs in {} (for instance: skopeo inspect oci:{}:REF)",
            dir.display(),
            dir.display()
        ));
    }
    if let Some(dir) = &args.state {
        let objects = export_state(args, dir)?;
        said.push(format!("{objects} objects in {}", dir.display()));
    }
    let shown = |dir: &Option<PathBuf>| dir.as_ref().map(|dir| dir.display().to_string());
    world.terminal.result(&json!({"oci": shown(&args.oci), "state": shown(&args.state)}), said.join("\n"));
    Ok(())
}

/// Blobs first, `index.json` last: a half-written layout has no index.
fn export_layout(args: &Args, dir: &Path, world: &World<'_>) -> Result<u64, Failure> {
    let progress = world.terminal.progress();
    let open = bundle::open_as(&args.bundle, &args.trust.trust()?, args.identity.key()?.as_ref(), progress)?;
    progress.phase("exporting", Amount::Bytes(bundle::length(&args.bundle)?));
    durable::create_dir(dir, 0o755)?;
    let folder = BlobFolder::open(dir)?;
    let (mut count, mut index) = (0, Vec::new());
    open.verified.payload.each(|member, place, content| {
        let size = member.packed.as_ref().map_or(member.length, |packed| packed.size);
        match place {
            Place::Blob(digest) | Place::Packed(digest) => {
                folder.put(&digest, size, content)?;
                count += 1;
            }
            // The carriage bounds it, and the reader speaks for itself where it fails.
            Place::Index => drop(content.read_to_end(&mut index)),
            Place::Layout => {}
        }
        Ok::<(), ExportError>(())
    })?;
    folder.sync()?;
    durable::write_file(&dir.join("oci-layout"), layout::OCI_LAYOUT, 0o644)?;
    durable::write_file(&dir.join("index.json"), &index, 0o644)?;
    progress.done();
    Ok(count)
}

/// One file per object, named as in the state artifact; the content is JSON, which is YAML.
fn export_state(args: &Args, dir: &Path) -> Result<usize, Failure> {
    let objects = bundle::objects_as(&args.bundle, &args.trust.trust()?, args.identity.key()?.as_ref())?;
    durable::create_dir(dir, 0o755)?;
    let folder = Folder::open(dir)?;
    for (number, object) in objects.iter().enumerate() {
        let text = |pointer| object.pointer(pointer).and_then(serde_json::Value::as_str).unwrap_or_default();
        let parts = [text("/kind"), text("/metadata/namespace"), text("/metadata/name")];
        let named: Vec<_> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        let plain = |c: char| if c.is_ascii_alphanumeric() || c == '.' { c.to_ascii_lowercase() } else { '-' };
        let name: String = named.join("-").chars().map(plain).take(200).collect();
        let text = serde_json::to_string_pretty(object).unwrap_or_else(|_| object.to_string()) + "\n";
        let mut draft = durable::Draft::create(&folder, 0o644)?;
        std::io::Write::write_all(&mut draft, text.as_bytes()).map_err(|e| draft.error(durable::Step::Write, e))?;
        draft.commit(OsStr::new(&format!("{number:04}-{name}.yaml")), Existing::Replace)?;
    }
    Ok(objects.len())
}
