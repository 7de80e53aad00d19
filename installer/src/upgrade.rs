//! `upgrade`: the installer itself, as a member of a verified bundle, swapped for the running one in one step.
//!
//! A `consign-site` lying loose on a stick is never run (TRUST §4). What is taken here was signed by the approvers,
//! hashed while it was copied, and asked for its version before it takes the old one's place. The old one stays beside
//! it. A bundle that needs a newer installer than this one is read all the same: that is what upgrading is for.

use std::ffi::OsStr;
use std::io::Read;
use std::path::{Path, PathBuf};

use consign_format::archive::head::{OpenedBundle, VerifiedBundle};
use consign_format::archive::payload::Payload;
use consign_format::carriage::Place;
use consign_format::error::{Code, Coded, Failure, codes};
use consign_format::release::{File, ReleaseManifest};
use consign_format::trust::chain::Vouched;
use consign_format::{Digest, Limits, version};
use consign_registry::durable::{Draft, DurableError, Existing, Folder, Step};
use consign_terminal::{Amount, Progress};
use serde::Serialize;

use crate::admit::{Ask, admit_program};
use crate::clock::Clocks;
use crate::install_bundle::{Until, effective_now, memory, metadata};
use crate::load::LoadError;
use crate::medium::Medium;
use crate::open::open;
use crate::scan;
use crate::site::Site;

/// What the program before is kept as, beside the new one.
pub const PREVIOUS: &str = "previous";
/// What the new program is called until it has said its version.
const NEXT: &str = "next";

/// A program that takes another's place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Upgraded {
    /// Where it lies.
    pub program: PathBuf,
    /// Its version.
    pub version: String,
    /// The version that was replaced.
    pub from: String,
    /// Where the one before lies now.
    pub previous: PathBuf,
    /// What somebody should look at.
    pub warnings: Vec<String>,
}

/// Why the program stays what it is.
#[derive(Debug, thiserror::Error)]
pub enum UpgradeError {
    /// The release brings none for this machine.
    #[error("{product} {version} brings no consign-site for {platform}")]
    None {
        /// The product.
        product: String,
        /// Its version.
        version: String,
        /// This machine.
        platform: String,
    },
    /// The bundle leaves the program out.
    #[error("the bundle does not carry the program {digest} of the release")]
    NotCarried {
        /// The program.
        digest: Digest,
    },
    /// It is older than the running one.
    #[error("the bundle brings consign-site {offered}, and this is {running}")]
    Older {
        /// What the bundle brings.
        offered: String,
        /// What runs.
        running: String,
    },
    /// It does not run here, or is another than it says.
    #[error("the new consign-site does not run on this machine: {reason}")]
    Unusable {
        /// What happened.
        reason: String,
    },
    /// There is nothing to go back to.
    #[error("there is no {}", path.display())]
    NoPrevious {
        /// Where it would lie.
        path: PathBuf,
    },
    /// The file system refused.
    #[error(transparent)]
    Durable(#[from] DurableError),
}

impl Coded for UpgradeError {
    fn code(&self) -> Code {
        match self {
            UpgradeError::None { .. } | UpgradeError::NotCarried { .. } => codes::INSTALLER_MISSING,
            UpgradeError::NoPrevious { .. } => codes::INSTALLER_MISSING,
            UpgradeError::Older { .. } => codes::OLDER_RELEASE,
            UpgradeError::Unusable { .. } => codes::INSTALLER_UNUSABLE,
            UpgradeError::Durable(error) => error.code(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            UpgradeError::None { .. } => Some("bring a bundle that has one under `files`, with `installer`".to_owned()),
            UpgradeError::NotCarried { .. } => Some("bring a full bundle of this release".to_owned()),
            UpgradeError::Older { .. } => Some("to go back to the one before, use --rollback".to_owned()),
            UpgradeError::Unusable { .. } => Some("the one that runs stays; ask those who built the bundle".to_owned()),
            UpgradeError::NoPrevious { .. } => Some("only an upgrade leaves one behind".to_owned()),
            UpgradeError::Durable(error) => error.hint(),
        }
    }
}

/// The program that runs, and the one place it can be replaced in.
pub struct Program<'a> {
    /// Its file.
    pub path: &'a Path,
    /// Its version.
    pub version: &'a str,
    /// What it runs on, such as `linux/amd64`.
    pub platform: String,
    /// Runs a program with `--version` and returns what it says.
    pub ask_version: &'a dyn Fn(&Path) -> std::io::Result<String>,
}

/// Takes the program out of a bundle and puts it into its place.
pub fn upgrade(
    site: &mut Site,
    path: &Path,
    ask: Ask,
    program: &Program<'_>,
    clocks: &Clocks,
    progress: &dyn Progress,
) -> Result<Upgraded, Failure> {
    let medium = open(path)?.readable_by(site)?;
    let (end, attestation) = (medium.end(), scan::beside(&medium));
    let opened = OpenedBundle::open(medium, Limits::DEFAULT)?;
    let (domain, roots) = site.follow(opened.roots())?;
    metadata::commit_roots(site, &domain, &roots, clocks)?;
    let VerifiedBundle { vouched, payload } = opened.read_head()?.verify(&roots)?;
    end.is(vouched.carriage.boundary.saturating_add(vouched.carriage.payload));
    scan::check(ask, &attestation, &roots, &vouched)?;
    let memory = memory(site, (&domain, &roots), None, &vouched.approval.product, Until::Activated)?;
    let admission = admit_program(&vouched, &memory, ask, &effective_now(site, &domain, clocks))?;
    let offered = choose(&vouched.release, program)?;
    let (folder, name) = place(program.path)?;
    take_out(payload, &vouched, offered, &folder, &name, progress)?;
    swap(&folder, &name, offered, program)?;
    progress.done();
    let Some(installer) = &offered.installer else { return Err(none(&vouched.release, program).into()) };
    Ok(Upgraded {
        program: program.path.to_owned(),
        version: installer.version.clone(),
        from: program.version.to_owned(),
        previous: program.path.with_file_name(beside(&name, PREVIOUS)),
        warnings: admission.warnings,
    })
}

/// Puts the program before back into its place; the one that ran becomes the one before.
pub fn roll_back(program: &Path) -> Result<PathBuf, UpgradeError> {
    let (folder, name) = place(program)?;
    let previous = beside(&name, PREVIOUS);
    if folder.open_file(OsStr::new(&previous))?.is_none() {
        return Err(UpgradeError::NoPrevious { path: folder.path().join(previous) });
    }
    folder.exchange(OsStr::new(&name), OsStr::new(&previous))?;
    Ok(program.to_owned())
}

fn none(release: &ReleaseManifest, program: &Program<'_>) -> UpgradeError {
    let (product, version) = (release.product.to_string(), release.version.clone());
    UpgradeError::None { product, version, platform: program.platform.clone() }
}

fn choose<'r>(release: &'r ReleaseManifest, program: &Program<'_>) -> Result<&'r File, UpgradeError> {
    let fits = |file: &&File| file.installer.as_ref().is_some_and(|installer| installer.platform == program.platform);
    let file = release.files.iter().find(fits).ok_or_else(|| none(release, program))?;
    let offered = file.installer.as_ref().map_or("", |installer| installer.version.as_str());
    if version::compare(offered, program.version).is_lt() {
        return Err(UpgradeError::Older { offered: offered.to_owned(), running: program.version.to_owned() });
    }
    Ok(file)
}

fn place(program: &Path) -> Result<(Folder, String), DurableError> {
    let unsafe_place = || DurableError::Unsafe { path: program.to_owned(), expected: "file" };
    let (Some(folder), Some(name)) = (program.parent(), program.file_name().and_then(OsStr::to_str)) else {
        return Err(unsafe_place());
    };
    Ok((Folder::open(folder)?, name.to_owned()))
}

fn beside(name: &str, what: &str) -> String {
    format!("{name}.{what}")
}

/// Copies the one member beside the running program, hashed on the way; everything else is passed by.
fn take_out(
    payload: Payload<Medium>,
    vouched: &Vouched,
    file: &File,
    folder: &Folder,
    name: &str,
    progress: &dyn Progress,
) -> Result<(), Failure> {
    let size = vouched.release.blob(&file.digest).map_or(0, |blob| blob.size);
    progress.phase("upgrading", Amount::Bytes(size));
    let mut taken = None;
    payload.each(|_, at, content| {
        if !matches!(at, Place::Blob(digest) | Place::Packed(digest) if digest == file.digest) {
            return content.skip().map_err(LoadError::from);
        }
        let mut draft = Draft::create(folder, 0o755).map_err(consign_registry::BlobError::from)?;
        let mut buffer = vec![0; 256 * 1024];
        loop {
            let read = match content.read(&mut buffer) {
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                // What is wrong with the bundle is told by the payload itself, and the draft goes away.
                Ok(0) | Err(_) => break,
                Ok(read) => read,
            };
            let written = std::io::Write::write_all(&mut draft, buffer.get(..read).unwrap_or_default());
            written.map_err(|error| consign_registry::BlobError::from(draft.error(Step::Write, error)))?;
            progress.advance(read as u64);
        }
        taken = Some(draft);
        Ok(())
    })?;
    let draft = taken.ok_or(UpgradeError::NotCarried { digest: file.digest })?;
    Ok(draft.commit(OsStr::new(&beside(name, NEXT)), Existing::Replace).map_err(UpgradeError::from)?)
}

/// Asks the new program for its version, keeps the running one, and lets the new one take its name. A power cut leaves
/// the one or the other under the name.
fn swap(folder: &Folder, name: &str, offered: &File, program: &Program<'_>) -> Result<(), UpgradeError> {
    let next = beside(name, NEXT);
    let version = offered.installer.as_ref().map_or("", |installer| installer.version.as_str());
    let expected = format!("consign-site {version}");
    let reason = match (program.ask_version)(&folder.path().join(&next)) {
        Ok(said) if said.trim() == expected => None,
        Ok(said) => Some(format!("it calls itself `{}` and should be `{expected}`", said.trim())),
        Err(error) => Some(error.to_string()),
    };
    if let Some(reason) = reason {
        folder.remove_file(OsStr::new(&next))?;
        return Err(UpgradeError::Unusable { reason });
    }
    folder.keep_as(OsStr::new(name), OsStr::new(&beside(name, PREVIOUS)))?;
    Ok(folder.rename(OsStr::new(&next), OsStr::new(name))?)
}
