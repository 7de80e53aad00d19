//! Writes the archive behind the head: every offset is fixed first, then blobs stream from their sources straight
//! into their places, several at once. Layers touch no other file on the way.
//!
//! The head stays zeros until [`crate::sign`] has signed it, so a file that was left half written is no bundle.

use std::fs::File;
use std::io::{self, BufReader, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use consign_format::archive::header::{self, HeaderError};
use consign_format::archive::plan::{PayloadPlan, PlanError, payload_length, place};
use consign_format::carriage::{self, Carriage, Carried, Member, Place};
use consign_format::error::{Code, Coded, codes};
use consign_format::{Descriptor, Digest, DigestWriter, Reference, frames, layout};
use consign_registry::durable::{Draft, DurableError, Folder, Step};
use consign_registry::{ImageSource, SourceError};
use consign_terminal::progress::{Amount, Progress};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;

use crate::files::Measured;
use crate::plan::{Content, Plan, Stored};

/// How many blobs are fetched at once; each takes one buffer of memory.
const AT_ONCE: usize = 4;

/// An archive whose payload is written and whose head is not.
#[derive(Debug)]
pub struct Unsigned {
    /// The file, under a temporary name.
    pub draft: Draft,
    /// What the head has to say about it.
    pub carriage: Carriage,
    /// The length of the whole archive.
    pub length: u64,
    /// Bytes that were written twice: what was packed here, before its size was known.
    pub spooled: u64,
    /// Bytes that came from sources of images.
    pub fetched: u64,
}

/// Why an archive could not be written.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    /// A blob could not be fetched.
    #[error("`{reference}`: {} cannot be fetched", blob.digest)]
    Fetch {
        /// The image.
        reference: String,
        /// The blob.
        blob: Box<Descriptor>,
        /// What the source said.
        source: SourceError,
    },
    /// A file changed while it was packed.
    #[error("{} changed while it was packed", path.display())]
    Changed {
        /// The file.
        path: std::path::PathBuf,
    },
    /// A file could not be read or packed.
    #[error("{} cannot be packed", path.display())]
    Spool {
        /// The file.
        path: std::path::PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The archive could not be written.
    #[error(transparent)]
    Write(#[from] DurableError),
    /// The archive cannot be laid out.
    #[error("the archive cannot be laid out")]
    Layout(#[from] PlanError),
    /// A task ended without an answer.
    #[error("a download was interrupted")]
    Interrupted,
}

impl From<HeaderError> for PackError {
    fn from(error: HeaderError) -> Self {
        PackError::Layout(PlanError::Header(error))
    }
}

impl Coded for PackError {
    fn code(&self) -> Code {
        match self {
            PackError::Fetch { source: SourceError::Sink { source, .. }, .. } if is_full(source) => codes::NO_ROOM,
            PackError::Fetch { source, .. } => source.code(),
            PackError::Changed { .. } => codes::FILE_MISMATCH,
            PackError::Spool { source, .. } if is_full(source) => codes::NO_ROOM,
            PackError::Spool { .. } | PackError::Interrupted => codes::IO,
            PackError::Write(error) => error.code(),
            PackError::Layout(_) => codes::OVER_LIMIT,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            PackError::Fetch { source, .. } => source.hint(),
            PackError::Changed { .. } => Some("run again when nothing writes to it".to_owned()),
            PackError::Write(error) => error.hint(),
            _ => None,
        }
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Writes the payload of a plan into a draft in `folder`. `boundary` gives the end of the head for a carriage.
///
/// # Errors
/// [`PackError`]; the draft goes away with it.
pub async fn pack(
    plan: &Plan,
    folder: &Folder,
    boundary: impl FnOnce(&Carriage) -> u64,
    source: &Arc<dyn ImageSource>,
    progress: &dyn Progress,
) -> Result<Unsigned, PackError> {
    let spool = Spool::fill(folder.path(), &plan.packed)?;
    let members = members(plan, &spool);
    let payload = payload_length(members.iter().map(|member| member.length))?;
    let mut carriage = Carriage {
        kind: carriage::TYPE.to_owned(),
        release: Digest::of(&plan.release_bytes),
        boundary: 0,
        payload,
        audience: None,
        members,
    };
    carriage.boundary = boundary(&carriage);
    let places = place(carriage.boundary, &carriage.members)?;
    let draft = Draft::create(folder, 0o644)?;
    reserve(&draft, places.length)?;
    let file = Arc::new(draft.file().try_clone().map_err(|e| draft.error(Step::Create, e))?);
    write_small(&draft, &file, plan, &carriage, &places)?;
    spool.copy(&draft, &carriage, &places)?;
    let jobs = jobs(plan, &places);
    let fetched = jobs.iter().map(|job| job.blob.size).sum();
    fetch(jobs, &file, source, fetched, progress).await?;
    Ok(Unsigned { draft, length: places.length, carriage, spooled: spool.length, fetched })
}

/// The members in order: layout, index, stored blobs, packed files.
fn members(plan: &Plan, spool: &Spool) -> Vec<Member> {
    let plain = |place: Place, bytes: &[u8]| Member {
        name: place.name(),
        length: bytes.len() as u64,
        sha256: Digest::of(bytes),
        carried: Carried::Full,
        packed: None,
    };
    let stored = plan.stored.iter().map(|stored| Member {
        name: Place::Blob(stored.descriptor.digest).name(),
        length: stored.descriptor.size,
        sha256: stored.descriptor.digest,
        carried: Carried::Full,
        packed: None,
    });
    let mut members = vec![plain(Place::Layout, layout::OCI_LAYOUT), plain(Place::Index, &plan.index)];
    members.extend(stored);
    members.extend(spool.members.iter().cloned());
    members
}

/// Takes the room now, so that a full disk is known before the first byte is fetched.
fn reserve(draft: &Draft, length: u64) -> Result<(), DurableError> {
    use rustix::fs::{FallocateFlags, fallocate};
    use rustix::io::Errno;
    match fallocate(draft.file(), FallocateFlags::empty(), 0, length) {
        Ok(()) => Ok(()),
        // File systems without it; a sparse file of the right length does as well.
        Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => {
            draft.file().set_len(length).map_err(|e| draft.error(Step::Write, e))
        }
        Err(errno) => Err(draft.error(Step::Write, errno.into())),
    }
}

/// Writes all headers, and every content that is in memory. What is between is zeros already.
fn write_small(
    draft: &Draft,
    file: &File,
    plan: &Plan,
    carriage: &Carriage,
    places: &PayloadPlan,
) -> Result<(), PackError> {
    let write = |bytes: &[u8], at: u64| file.write_all_at(bytes, at).map_err(|e| draft.error(Step::Write, e));
    for (member, place) in carriage.members.iter().zip(&places.places) {
        write(&header::canonical(&member.name, member.length)?, place.header)?;
    }
    let here = plan.stored.iter().map(|stored| match &stored.content {
        Content::Here(bytes) => bytes.as_slice(),
        Content::Fetch(_) => &[],
    });
    let contents = [layout::OCI_LAYOUT, plan.index.as_slice()].into_iter().chain(here);
    for (content, place) in contents.zip(&places.places) {
        write(content, place.content)?;
    }
    Ok(())
}

/// One blob to fetch and the place it goes to.
struct Job {
    reference: Reference,
    blob: Descriptor,
    at: u64,
}

fn jobs(plan: &Plan, places: &PayloadPlan) -> Vec<Job> {
    // `oci-layout` and `index.json` come before the stored blobs.
    let placed = plan.stored.iter().zip(places.places.iter().skip(2));
    let job = |(stored, place): (&Stored, &consign_format::archive::plan::Placed)| match &stored.content {
        Content::Fetch(reference) => {
            Some(Job { reference: reference.clone(), blob: stored.descriptor.clone(), at: place.content })
        }
        Content::Here(_) => None,
    };
    placed.filter_map(job).collect()
}

/// Fetches all blobs into their places, a few at a time.
async fn fetch(
    jobs: Vec<Job>,
    file: &Arc<File>,
    source: &Arc<dyn ImageSource>,
    total: u64,
    progress: &dyn Progress,
) -> Result<(), PackError> {
    progress.phase("fetching", Amount::Bytes(total));
    let (counted, mut count) = unbounded_channel();
    let mut waiting = jobs.into_iter();
    let mut running = JoinSet::new();
    for job in waiting.by_ref().take(AT_ONCE) {
        running.spawn(fetch_one(job, file.clone(), source.clone(), counted.clone()));
    }
    while !running.is_empty() {
        tokio::select! {
            Some(bytes) = count.recv() => progress.advance(bytes),
            Some(done) = running.join_next() => {
                done.map_err(|_| PackError::Interrupted)??;
                if let Some(job) = waiting.next() {
                    running.spawn(fetch_one(job, file.clone(), source.clone(), counted.clone()));
                }
            }
        }
    }
    while let Ok(bytes) = count.try_recv() {
        progress.advance(bytes);
    }
    progress.done();
    Ok(())
}

async fn fetch_one(
    job: Job,
    file: Arc<File>,
    source: Arc<dyn ImageSource>,
    counted: UnboundedSender<u64>,
) -> Result<(), PackError> {
    let mut sink = PlaceWriter { file, at: job.at, left: job.blob.size, counted };
    // The source has hashed what it gave: its contract, held by the registry crate's suite.
    let failed =
        |source| PackError::Fetch { reference: job.reference.to_string(), blob: Box::new(job.blob.clone()), source };
    source.blob(&job.reference, &job.blob, &mut sink).await.map_err(failed)?;
    match sink.left {
        0 => Ok(()),
        _ => Err(failed(SourceError::Sink {
            wanted: job.blob.digest.to_string(),
            source: io::ErrorKind::UnexpectedEof.into(),
        })),
    }
}

/// Writes into one place of the archive and not a byte beyond.
struct PlaceWriter {
    file: Arc<File>,
    at: u64,
    left: u64,
    counted: UnboundedSender<u64>,
}

impl Write for PlaceWriter {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let length = buf.len() as u64;
        if length > self.left {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "more bytes than its size says"));
        }
        self.file.write_all_at(buf, self.at)?;
        self.at += length;
        self.left -= length;
        // Nobody listens any more when another blob has failed; the bytes are worth nothing then.
        let _ = self.counted.send(length);
        Ok(buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What we make ourselves: its size is known only when it is made. An unnamed file beside the output.
struct Spool {
    file: File,
    members: Vec<Member>,
    length: u64,
}

impl Spool {
    fn fill(folder: &Path, files: &[Measured]) -> Result<Self, PackError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| PackError::Spool { path, source }
        };
        let mut file = tempfile::tempfile_in(folder).map_err(failed(folder))?;
        let (mut members, mut length) = (Vec::new(), 0);
        for measured in files {
            let source = File::open(&measured.path).map_err(failed(&measured.path))?;
            let mut out = DigestWriter::new(&mut file);
            let packed =
                frames::pack(BufReader::with_capacity(1 << 20, source), &mut out).map_err(failed(&measured.path))?;
            let (_, sha256, stored) = out.finish();
            if packed.digest != measured.digest || packed.size != measured.size {
                return Err(PackError::Changed { path: measured.path.clone() });
            }
            length += stored;
            members.push(Member {
                name: Place::Packed(measured.digest).name(),
                length: stored,
                sha256,
                carried: Carried::Full,
                packed: Some(packed),
            });
        }
        Ok(Spool { file, members, length })
    }

    /// Copies the packed members, the last ones of the archive, to their places.
    fn copy(&self, draft: &Draft, carriage: &Carriage, places: &PayloadPlan) -> Result<(), PackError> {
        let first = carriage.members.len() - self.members.len();
        let mut from = 0;
        let mut buffer = vec![0; 1 << 20];
        for (member, place) in self.members.iter().zip(&places.places[first..]) {
            let mut done = 0;
            while done < member.length {
                let room = (member.length - done).min(buffer.len() as u64) as usize;
                let part = &mut buffer[..room];
                self.file.read_exact_at(part, from + done).map_err(|e| draft.error(Step::Read, e))?;
                draft.file().write_all_at(part, place.content + done).map_err(|e| draft.error(Step::Write, e))?;
                done += room as u64;
            }
            from += member.length;
        }
        Ok(())
    }
}
