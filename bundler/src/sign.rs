//! Roots, keys, and the head: signed last, checked by the site's own rules, written, and only then named.

use std::fs;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use consign_format::archive::plan::{HeadDocuments, boundary, head_bytes};
use consign_format::carriage::Carriage;
use consign_format::error::{Code, Coded, Failure, codes};
use consign_format::trust::author::{self, Signers};
use consign_format::trust::chain::Awaiting;
use consign_format::trust::envelope;
use consign_format::trust::keys::{Progress, SignError, Signer, key_id};
use consign_format::trust::roots::RootChain;
use consign_format::{Digest, Limits};
use consign_registry::durable::{Existing, Step};

use crate::approval;
use crate::pack::Unsigned;
use crate::plan::Plan;
use crate::{rehead, root_files};

/// The folder of roots, beside `release.yaml`.
pub const TRUST_FOLDER: &str = "trust";
/// The development key in it.
pub const DEVELOPMENT_KEY: &str = "dev.key";
/// How long documents are valid, in years after the time of issue: longer than any site waits, because an offline
/// site's clock decides nothing (TRUST §4); the time comes from the lock, so that the same lock gives the same bytes.
const VALID_YEARS: i16 = 10;

/// Why a bundle cannot be signed.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// There is no root.
    #[error("there is no root of trust in {}", folder.display())]
    NoRoot {
        /// The folder.
        folder: PathBuf,
    },
    /// A file cannot be read.
    #[error("{} cannot be read", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The newest root does not know the key.
    #[error("the key {key} has no say in role {role} of root {version}")]
    Unknown {
        /// The key's id.
        key: String,
        /// The role.
        role: &'static str,
        /// The version of the root.
        version: u64,
    },
    /// None of the keys is the publisher's.
    #[error("none of the keys is the publisher's of root {version}")]
    NoPublisher {
        /// The version of the root.
        version: u64,
    },
    /// The root demands more publishers than sign here.
    #[error("role {role} of root {version} needs {threshold} signatures, and one publisher signs")]
    Threshold {
        /// The role.
        role: &'static str,
        /// The version of the root.
        version: u64,
        /// How many.
        threshold: u64,
    },
    /// The root is complete, and frozen.
    #[error("root {version} is published; nothing is added to it any more")]
    Published {
        /// The version of the root.
        version: u64,
    },
    /// The time of issue is not one.
    #[error("{0} is no time of issue")]
    Time(u64),
}

impl Coded for KeyError {
    fn code(&self) -> Code {
        match self {
            KeyError::NoRoot { .. } => codes::ROOT_MISSING,
            KeyError::Io { .. } => codes::IO,
            KeyError::NoPublisher { .. } | KeyError::Unknown { .. } | KeyError::Threshold { .. } => codes::KEY_UNKNOWN,
            KeyError::Published { .. } => codes::ROOT_PUBLISHED,
            KeyError::Time(_) => codes::LOCK_MALFORMED,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            KeyError::NoRoot { .. } => Some("run `consign init` or `consign keys new`".to_owned()),
            KeyError::Unknown { .. } => Some("use the key of the root in trust/, or the other root".to_owned()),
            KeyError::NoPublisher { .. } => {
                Some("`consign keys show` shows whose keys have a say; name the publisher's with --key".to_owned())
            }
            KeyError::Threshold { .. } => {
                Some("give the role a threshold of 1 with `consign keys rotate`; approvers may be many".to_owned())
            }
            KeyError::Published { .. } => Some("write the next one with `consign keys rotate`".to_owned()),
            KeyError::Io { .. } | KeyError::Time(_) => None,
        }
    }
}

/// Reads the roots of a folder: `1.root.json`, `2.root.json` and so on, and checks their chain.
///
/// # Errors
/// [`KeyError`], or what is wrong with a root.
pub fn read_roots(folder: &Path) -> Result<RootChain, Failure> {
    let mut files = Vec::new();
    for version in 1..=Limits::DEFAULT.roots {
        let path = folder.join(format!("{version}.root.json"));
        if fs::symlink_metadata(&path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
            break;
        }
        files.push(root_files::read(&path)?);
    }
    if files.is_empty() {
        return Err(KeyError::NoRoot { folder: folder.to_owned() }.into());
    }
    Ok(RootChain::restore(&files)?)
}

/// Sorts keys by what they may sign, before hours of fetching: one of them must be the publisher's, and none may be
/// without a say. There may be fewer approvers than the root demands; the others sign later.
///
/// # Errors
/// [`KeyError`].
pub fn assign<'a>(chain: &'a RootChain, signers: &'a [Box<dyn Signer + 'a>]) -> Result<Signers<'a>, Failure> {
    let root = chain.root();
    let version = root.version;
    let may = |name: &str, key: &String| root.roles.get(name).is_some_and(|role| role.keyids.contains(key));
    let (mut approvers, mut publisher, mut seen) = (Vec::<&dyn Signer>::new(), None, Vec::new());
    for signer in signers.iter().map(AsRef::as_ref) {
        let key = key_id(&signer.public()).map_err(SignError::from)?;
        if seen.contains(&key) {
            continue;
        }
        let (approves, publishes) = (may("targets", &key), may("snapshot", &key) && may("timestamp", &key));
        if !approves && !publishes {
            return Err(KeyError::Unknown { key, role: "approver or publisher", version }.into());
        }
        seen.push(key);
        if approves {
            approvers.push(signer);
        }
        if publishes {
            publisher = publisher.or(Some(signer));
        }
    }
    for role in ["snapshot", "timestamp"] {
        let threshold = root.roles.get(role).map_or(0, |role| role.threshold);
        if threshold > 1 {
            return Err(KeyError::Threshold { role, version, threshold }.into());
        }
    }
    let publisher = publisher.ok_or(KeyError::NoPublisher { version })?;
    Ok(Signers { domain: chain.domain(), approvers, publisher })
}

/// When documents of a release expire: ten years after it was issued, as TUF writes times.
///
/// # Errors
/// [`KeyError::Time`].
pub fn expires(issued: u64) -> Result<String, KeyError> {
    use jiff::{ToSpan, tz::TimeZone};
    let then = timestamp(issued)?.to_zoned(TimeZone::UTC).checked_add(VALID_YEARS.years());
    let seconds = then.ok().and_then(|then| u64::try_from(then.timestamp().as_second()).ok());
    rfc3339(seconds.ok_or(KeyError::Time(issued))?)
}

/// Writes a time as TUF does: RFC 3339, UTC, whole seconds.
///
/// # Errors
/// [`KeyError::Time`].
pub fn rfc3339(seconds: u64) -> Result<String, KeyError> {
    Ok(timestamp(seconds)?.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}

fn timestamp(seconds: u64) -> Result<jiff::Timestamp, KeyError> {
    let time = i64::try_from(seconds).ok().and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
    time.ok_or(KeyError::Time(seconds))
}

/// Where the payload begins, for a carriage whose own `boundary` is not yet said. The documents that are not written
/// yet are given more room than they need.
pub fn boundary_for(plan: &Plan, chain: &RootChain, carriage: &Carriage) -> u64 {
    let approval = consign_format::canonical::to_vec(&plan.approval).map_or(0, |bytes| bytes.len());
    let unwritten = vec![0; approval + 4096];
    // A boundary of any size has the same number of digits or a few more; the slack covers them.
    let carriage = envelope::seal(carriage, &[]).unwrap_or_default();
    let (timestamp, snapshot, targets) = (&unwritten, &unwritten, &unwritten);
    let (roots, release) = (chain.files(), &plan.release_bytes);
    boundary(&HeadDocuments { roots, statements: &[], timestamp, snapshot, targets, carriage: &carriage, release })
}

/// A bundle under its own name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// The file.
    pub path: PathBuf,
    /// The digest of the release.
    pub release: Digest,
    /// The bundle's id.
    pub bundle_id: Digest,
    /// Its length in bytes.
    pub length: u64,
    /// How far the approvers have come. Below their threshold no site takes the bundle.
    pub approval: Progress,
}

/// Signs the head, checks it as a site would, writes it, and gives the file its name.
///
/// # Errors
/// The signer's, or what a site would say of the head; the draft goes away with it.
pub fn seal(
    unsigned: Unsigned,
    plan: &Plan,
    chain: &RootChain,
    signers: &Signers<'_>,
    (folder, name): (&Path, &str),
) -> Result<Signed, Failure> {
    let Unsigned { draft, carriage, length, .. } = unsigned;
    let expires = expires(plan.release.issued)?;
    let documents = author::documents(&plan.release_bytes, &plan.approval, &carriage, &expires, signers)?;
    let documents = HeadDocuments {
        roots: chain.files(),
        statements: &[],
        timestamp: &documents.timestamp,
        snapshot: &documents.snapshot,
        targets: &documents.targets,
        carriage: &documents.carriage,
        release: &plan.release_bytes,
    };
    let head = head_bytes(&documents, carriage.boundary).map_err(crate::pack::PackError::from)?;
    let Awaiting { bundle_id, release_digest: release, progress: approval, .. } = approval::check(&head, chain)?;
    // Payload before head: a power cut in between leaves zeros in front, which is no bundle.
    draft.sync()?;
    draft.file().write_all_at(&head, 0).map_err(|e| draft.error(Step::Write, e))?;
    let path = folder.join(name);
    let _others_kept_out = rehead::make_way(&path)?;
    draft.commit(std::ffi::OsStr::new(name), Existing::Replace)?;
    Ok(Signed { path, release, bundle_id, length, approval })
}
