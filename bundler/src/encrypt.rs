//! Encrypting a finished bundle to sites: read once, checked as a site would check it, and written while it is read.
//!
//! The file gets its name when the last byte was found to be the signed one; until then there is none.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Seek as _;
use std::path::{Path, PathBuf};

use consign_format::error::{Code, Coded, Failure, codes};
use consign_format::trust::roots::RootChain;
use consign_format::trust::statement::SiteRecord;
use consign_format::{Digest, Name};
use consign_registry::durable::{Draft, DurableError, Existing, Folder, Step, parent_of};
use consign_sealed::{Recipient, SealedError, Sealing, seal};
use consign_terminal::progress::Progress;

use crate::bundle::{self, Trust};
use crate::medium::Medium;
use crate::tee::Sink;

/// Somebody to encrypt to.
#[derive(Debug, Clone)]
pub enum To {
    /// A recipient.
    Recipient(Recipient),
    /// The record of a site, signed by the approvers of the bundle's domain.
    Record {
        /// Where it lies.
        path: PathBuf,
        /// The statement.
        bytes: Vec<u8>,
    },
}

/// An encrypted bundle, as it was written.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Encrypted {
    /// The file.
    pub path: PathBuf,
    /// The product in it.
    pub product: Name,
    /// The version.
    pub version: String,
    /// The bundle's id, which encryption does not change.
    pub bundle_id: Digest,
    /// How many recipients.
    pub recipients: usize,
    /// Bytes.
    pub bytes: u64,
}

/// Why a bundle is not encrypted.
#[derive(Debug, thiserror::Error)]
pub enum EncryptError {
    /// A site's record names no recipient.
    #[error("the record of site `{site}` in {} names no recipient", path.display())]
    NoRecipient {
        /// The site.
        site: Name,
        /// The file.
        path: PathBuf,
    },
    /// Two records of a site claim to be the newest.
    #[error("two records of site `{site}` have serial {serial} and say different things; one is {}", path.display())]
    Ambiguous {
        /// The site.
        site: Name,
        /// The serial.
        serial: u64,
        /// The file of the second.
        path: PathBuf,
    },
    /// The bundle is encrypted.
    #[error("{} is encrypted already", path.display())]
    Already {
        /// The file.
        path: PathBuf,
    },
}

impl Coded for EncryptError {
    fn code(&self) -> Code {
        match self {
            EncryptError::NoRecipient { .. } => codes::RECIPIENT_INVALID,
            EncryptError::Ambiguous { .. } | EncryptError::Already { .. } => codes::USAGE,
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            EncryptError::NoRecipient { .. } => {
                "make the record again from an enrolment request of a site that has an age key"
            }
            EncryptError::Ambiguous { .. } => {
                "find out which one the site has; sign the right one anew with a higher serial: `consign site record`"
            }
            EncryptError::Already { .. } => "encrypt the plain bundle, to all recipients at once",
        };
        Some(hint.to_owned())
    }
}

/// Encrypts a plain bundle that is whole and that the trusted root vouches for.
///
/// # Errors
/// What a site would say of the bundle; a recipient that is none; what the disk says.
pub fn encrypt(
    path: &Path,
    trust: &Trust,
    to: &[To],
    output: &Path,
    progress: &dyn Progress,
) -> Result<Encrypted, Failure> {
    let (tee, sink) = Sink::behind(open_plain(path, progress)?);
    let open = bundle::vouch(tee, trust)?;
    let recipients = resolve(to, &open.roots)?;
    let vouched = &open.verified.vouched;
    let mut encrypted = Encrypted {
        path: output.to_owned(),
        product: vouched.approval.product.clone(),
        version: vouched.approval.version.clone(),
        bundle_id: vouched.bundle_id,
        recipients: recipients.len(),
        bytes: 0,
    };
    let draft = Draft::create(&Folder::open(&parent_of(output))?, 0o644)?;
    sink.borrow_mut().begin(|head| seal(draft, &recipients, &head)).map_err(|error| unwritten(output, error))?;
    let read = open.read_all();
    let sink = Sink::take(&sink);
    // A read also fails where what was read cannot be written; then that is the reason to tell.
    if !sink.has_failed() {
        read?;
    }
    let failed = |source| DurableError::io(Step::Write, output, source);
    let mut draft = sink.end().and_then(Sealing::finish).map_err(failed)?;
    encrypted.bytes = draft.stream_position().map_err(|source| draft.error(Step::Write, source))?;
    draft.commit(output.file_name().unwrap_or_default(), Existing::Replace)?;
    Ok(encrypted)
}

fn unwritten(output: &Path, error: SealedError) -> Failure {
    match error {
        SealedError::Io(source) => DurableError::io(Step::Write, output, source).into(),
        other => other.into(),
    }
}

fn open_plain<'a>(path: &Path, progress: &'a dyn Progress) -> Result<Medium<'a>, Failure> {
    match Medium::open(path, None, progress) {
        Err(error) if error.code() == codes::CANNOT_DECRYPT => {
            Err(EncryptError::Already { path: path.to_owned() }.into())
        }
        other => other,
    }
}

/// Whom it is encrypted to, each once. A record counts only if the bundle's own approvers have signed it: a courier
/// who exchanged one would be a recipient. Of each site the record with the highest serial counts: the one before may
/// name a key that was lost.
fn resolve(to: &[To], roots: &RootChain) -> Result<BTreeSet<Recipient>, Failure> {
    let mut recipients = BTreeSet::new();
    let mut newest = BTreeMap::<Name, (SiteRecord, &PathBuf)>::new();
    let mut rivals = BTreeMap::<Name, &PathBuf>::new();
    for one in to {
        let (path, bytes) = match one {
            To::Record { path, bytes } => (path, bytes),
            To::Recipient(recipient) => {
                recipients.insert(recipient.clone());
                continue;
            }
        };
        let record: SiteRecord = roots.statement(&path.display().to_string(), bytes)?;
        match newest.get(&record.site) {
            Some((known, _)) if known.serial > record.serial || *known == record => {}
            Some((known, _)) if known.serial == record.serial => drop(rivals.insert(record.site, path)),
            _ => {
                rivals.remove(&record.site);
                newest.insert(record.site.clone(), (record, path));
            }
        }
    }
    for (site, (record, path)) in newest {
        if let Some(rival) = rivals.get(&site) {
            return Err(EncryptError::Ambiguous { site, serial: record.serial, path: rival.to_path_buf() }.into());
        }
        let unnamed = || EncryptError::NoRecipient { site, path: path.clone() };
        recipients.insert(record.recipient.as_deref().ok_or_else(unnamed)?.parse()?);
    }
    Ok(recipients)
}
