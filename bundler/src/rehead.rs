//! Writes the head of a finished bundle anew, in place: the payload, gigabytes of it, is not touched.
//!
//! `FILE.head` is whole on the disk before `FILE` changes, so a power cut or a pulled stick leaves the old head, or one
//! that waits and is finished by whoever comes next.

use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write as _};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use consign_format::archive::plan::{HeadDocuments, head_bytes, place};
use consign_format::archive::{front, header};
use consign_format::carriage::Carriage;
use consign_format::error::{Code, Coded, Failure, codes};
use consign_format::trust::roots::RootChain;
use consign_format::{Digest, Limits};
use consign_registry::durable::{self, DRAFT_PREFIX, Draft, DurableError, Existing, Folder, Step};
use rustix::fs::{FlockOperation, flock};

use crate::approval::{self, Head};
use crate::bundle::BundleError;
use crate::pack::PackError;

/// What a drafted head is called once it is whole.
const DRAFTED: &str = "head";

/// Why a head cannot be rewritten.
#[derive(Debug, thiserror::Error)]
pub enum ReheadError {
    /// Another head waits beside the bundle, and it is not the bundle's.
    #[error("{} is not a head of {}", head.display(), bundle.display())]
    Foreign {
        /// The file that waits.
        head: PathBuf,
        /// The bundle.
        bundle: PathBuf,
    },
    /// Another run writes to the bundle.
    #[error("another run writes to {}", bundle.display())]
    Busy {
        /// The bundle.
        bundle: PathBuf,
    },
}

impl Coded for ReheadError {
    fn code(&self) -> Code {
        match self {
            ReheadError::Foreign { .. } => codes::HEAD_FOREIGN,
            ReheadError::Busy { .. } => codes::BUSY,
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            ReheadError::Foreign { head, .. } => {
                format!(
                    "find out where {} came from; the bundle is as it was, remove the other when you know",
                    head.display()
                )
            }
            ReheadError::Busy { .. } => "wait for it, and run again".to_owned(),
        })
    }
}

/// Reads the head that waits beside a bundle, if there is one; it may be torn or another's.
///
/// # Errors
/// [`BundleError::Io`].
pub fn waiting(bundle: &Path) -> Result<Option<Vec<u8>>, BundleError> {
    let path = front::path(bundle);
    let failed = |source: io::Error| BundleError::Io { path: path.clone(), source };
    let beside = bundle.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let Ok(folder) = Folder::open(beside) else { return Ok(None) };
    let name = path.file_name().unwrap_or_default();
    let opened = folder.open_file(name).map_err(|error| failed(io::Error::other(error)))?;
    let Some(file) = opened else { return Ok(None) };
    let mut bytes = Vec::new();
    file.take(front::limit(&Limits::DEFAULT) + 1).read_to_end(&mut bytes).map_err(failed)?;
    Ok(Some(bytes))
}

/// Leave to rewrite the head of one bundle; others are kept out for as long as it lives.
pub struct Rewriting {
    bundle: PathBuf,
    _locked: File,
}

impl Rewriting {
    /// Takes the bundle, and finishes what another run began.
    ///
    /// # Errors
    /// [`ReheadError`]; for a waiting head that is torn or another bundle's nothing is written.
    pub fn begin(bundle: &Path) -> Result<Self, Failure> {
        let locked = lock(bundle)?;
        clear(bundle)?;
        if let Some(head) = waiting(bundle)? {
            finish(bundle, &locked, &head)?;
        }
        Ok(Rewriting { bundle: bundle.to_owned(), _locked: locked })
    }

    /// Writes a head, which the caller has checked, over the one of the bundle.
    ///
    /// # Errors
    /// What the disk says; once the head waits, the next run finishes the job.
    pub fn replace(self, head: &[u8]) -> Result<(), Failure> {
        let waits = wait(&self.bundle, head);
        // Should that fail as well, the next run clears it away.
        let cleared = clear(&self.bundle);
        waits.and(cleared)?;
        Ok(durable::finish_front(&self.bundle, &front::path(&self.bundle), head)?)
    }
}

/// The folder beside a bundle in which its next head is drafted: no other file's draft ever lies in it. By a digest,
/// because names can be as long as a file system allows, and no text.
fn desk(bundle: &Path) -> String {
    let name = Digest::of(bundle.file_name().unwrap_or_default().as_encoded_bytes()).hex();
    format!("{DRAFT_PREFIX}head-{}", name.get(..16).unwrap_or(&name))
}

/// Makes a head wait beside its bundle, whole.
fn wait(bundle: &Path, head: &[u8]) -> Result<(), DurableError> {
    // Before anything waits: a file that cannot be written to would never be finished.
    OpenOptions::new().write(true).open(bundle).map_err(|source| DurableError::io(Step::Write, bundle, source))?;
    let (folder, desk) = (Folder::open(&durable::parent_of(bundle))?, desk(bundle));
    let mut draft = Draft::create(&folder.subfolder(&desk)?, 0o644)?;
    draft.write_all(head).map_err(|source| draft.error(Step::Write, source))?;
    draft.commit(OsStr::new(DRAFTED), Existing::Replace)?;
    let waits = front::path(bundle);
    folder.rename(Path::new(&desk).join(DRAFTED).as_os_str(), waits.file_name().unwrap_or_default())
}

/// Removes what a run that was cut off has drafted of this bundle's head: whoever has locked the bundle knows that nobody
/// writes it any more. What somebody else has put there stays, and the folder with it.
fn clear(bundle: &Path) -> Result<(), DurableError> {
    let beside = Folder::open(&durable::parent_of(bundle))?;
    let path = beside.path().join(desk(bundle));
    if !std::fs::symlink_metadata(&path).is_ok_and(|found| found.is_dir()) {
        return Ok(());
    }
    let drafts = Folder::open(&path)?;
    drafts.remove_drafts()?;
    drafts.remove_file(OsStr::new(DRAFTED))?;
    match std::fs::remove_dir(&path) {
        Err(error) if error.kind() != io::ErrorKind::DirectoryNotEmpty => {
            Err(DurableError::io(Step::Remove, &path, error))
        }
        _ => beside.sync(),
    }
}

/// Makes way for a new bundle under the name of an old one: a head that waits beside it goes away for good, or it would
/// be read over the new bundle. If it is the old bundle's it is put in place first, so that the old one is whole should
/// the new one not get its name. Others are kept out for as long as what is returned lives.
///
/// # Errors
/// [`ReheadError::Busy`]; what the disk says.
pub fn make_way(bundle: &Path) -> Result<Option<File>, Failure> {
    let path = front::path(bundle);
    let locked = if bundle.is_file() { Some(lock(bundle)?) } else { None };
    if locked.is_some() {
        clear(bundle)?;
    }
    if std::fs::symlink_metadata(&path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
        return Ok(locked);
    }
    if let (Some(file), Ok(Some(head))) = (&locked, waiting(bundle)) {
        match finish(bundle, file, &head) {
            Err(error) if error.code() != codes::HEAD_FOREIGN => return Err(error),
            _ => {}
        }
    }
    let folder = Folder::open(&durable::parent_of(bundle))?;
    folder.remove_file(path.file_name().unwrap_or_default())?;
    folder.sync()?;
    Ok(locked)
}

fn finish(bundle: &Path, file: &File, head: &[u8]) -> Result<(), Failure> {
    let path = front::path(bundle);
    let foreign = || ReheadError::Foreign { head: path.clone(), bundle: bundle.to_owned() };
    if !front::is_whole(head, &Limits::DEFAULT) {
        return Err(foreign().into());
    }
    let read = approval::read_head(head)?;
    let chain = RootChain::restore(&read.roots).map_err(|_| foreign())?;
    let carriage = read.check(&chain).map_err(|_| foreign())?.carriage;
    if !is_of(&carriage, file).map_err(|source| BundleError::Io { path: bundle.to_owned(), source })? {
        return Err(foreign().into());
    }
    Ok(durable::finish_front(bundle, &path, head)?)
}

/// A head as bytes: exactly up to its boundary, the filler takes what is left.
///
/// # Errors
/// [`PackError::Layout`].
pub fn bytes(head: &Head) -> Result<Vec<u8>, PackError> {
    let [timestamp, snapshot, targets, carriage, release] = &head.documents;
    let (roots, statements) = (head.roots.as_slice(), head.statements.as_slice());
    let documents = HeadDocuments { roots, statements, timestamp, snapshot, targets, carriage, release };
    Ok(head_bytes(&documents, head.boundary)?)
}

/// Keeps others from writing to the bundle for as long as the file is open.
fn lock(bundle: &Path) -> Result<File, Failure> {
    let opened = File::open(bundle);
    let file = opened.map_err(|source| BundleError::Io { path: bundle.to_owned(), source })?;
    flock(&file, FlockOperation::NonBlockingLockExclusive)
        .map_err(|_| ReheadError::Busy { bundle: bundle.to_owned() })?;
    Ok(file)
}

/// Tells whether the payload of a file is the one of a carriage: every member's header, which has its digest in its
/// name, stands where the carriage has it, and the file ends there.
fn is_of(carriage: &Carriage, file: &File) -> io::Result<bool> {
    let Ok(plan) = place(carriage.boundary, &carriage.members) else { return Ok(false) };
    if file.metadata()?.len() != plan.length {
        return Ok(false);
    }
    for (member, placed) in carriage.members.iter().zip(&plan.places) {
        let mut block = [0; header::BLOCK as usize];
        file.read_exact_at(&mut block, placed.header)?;
        if header::canonical(&member.name, member.length).as_ref() != Ok(&block) {
            return Ok(false);
        }
    }
    Ok(true)
}
