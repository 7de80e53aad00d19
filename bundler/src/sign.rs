//! Roots, keys, and the head: signed last, checked by the site's own rules, written, and only then named.

use std::fs;
use std::io;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};

use consign_format::archive::head::OpenedBundle;
use consign_format::archive::plan::{HeadDocuments, boundary, head_bytes};
use consign_format::carriage::Carriage;
use consign_format::error::{Code, Coded, Failure, codes};
use consign_format::trust::author::{self, Signers};
use consign_format::trust::envelope;
use consign_format::trust::keys::{SecretKey, SignError, Signer, key_id};
use consign_format::trust::roots::RootChain;
use consign_format::{Digest, Limits};
use consign_registry::durable::{Existing, Step};

use crate::pack::Unsigned;
use crate::plan::Plan;

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
    /// There is no key.
    #[error("there is no signing key: {} is not there", path.display())]
    NoKey {
        /// The file that was looked for.
        path: PathBuf,
    },
    /// A file cannot be read.
    #[error("{} cannot be read", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// A key file is no Ed25519 private key.
    #[error("{} is no Ed25519 private key in PKCS#8 PEM: {reason}", path.display())]
    Form {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
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
    /// The root demands more signatures than one key can give.
    #[error("role {role} of root {version} needs {threshold} signatures")]
    Threshold {
        /// The role.
        role: &'static str,
        /// The version of the root.
        version: u64,
        /// How many.
        threshold: u64,
    },
    /// The time of issue is not one.
    #[error("{0} is no time of issue")]
    Time(u64),
}

impl Coded for KeyError {
    fn code(&self) -> Code {
        match self {
            KeyError::NoRoot { .. } => codes::ROOT_MISSING,
            KeyError::NoKey { .. } => codes::KEY_MISSING,
            KeyError::Io { .. } => codes::IO,
            KeyError::Form { .. } => codes::KEY_MALFORMED,
            KeyError::Unknown { .. } | KeyError::Threshold { .. } => codes::KEY_UNKNOWN,
            KeyError::Time(_) => codes::LOCK_MALFORMED,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            KeyError::NoRoot { .. } => Some("run `consign init` or `consign keys new`".to_owned()),
            KeyError::NoKey { .. } => {
                Some("set CONSIGN_KEY_FILE, or make a development key with `consign keys new`".to_owned())
            }
            KeyError::Form { .. } => Some("`openssl genpkey -algorithm ed25519` makes one".to_owned()),
            KeyError::Unknown { .. } => Some("use the key of the root in trust/, or the other root".to_owned()),
            KeyError::Threshold { .. } => {
                Some("this version signs with one key; several approvers come next".to_owned())
            }
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
    loop {
        let path = folder.join(format!("{}.root.json", files.len() + 1));
        match fs::read(&path) {
            Ok(bytes) => files.push(bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => break,
            Err(source) => return Err(KeyError::Io { path, source }.into()),
        }
    }
    if files.is_empty() {
        return Err(KeyError::NoRoot { folder: folder.to_owned() }.into());
    }
    Ok(RootChain::restore(&files)?)
}

/// A signing key, and what is to be said about its file.
pub struct KeyFile {
    /// The key.
    pub key: SecretKey,
    /// A warning for the person who builds.
    pub warning: Option<String>,
}

/// Reads a key file: PKCS#8 in PEM (RFC 8410).
///
/// # Errors
/// [`KeyError`].
pub fn read_key(path: &Path) -> Result<KeyFile, KeyError> {
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => KeyError::NoKey { path: path.to_owned() },
        _ => KeyError::Io { path: path.to_owned(), source },
    };
    let text = fs::read_to_string(path).map_err(failed)?;
    let mode = fs::metadata(path).map_err(failed)?.permissions().mode() & 0o777;
    let warning = (mode & 0o077 != 0)
        .then(|| format!("{} can be read by others (mode {mode:04o}); `chmod 600` it", path.display()));
    let key = SecretKey::from_pem(&text).map_err(|reason| KeyError::Form { path: path.to_owned(), reason })?;
    Ok(KeyFile { key, warning })
}

/// Demands that one key can fill every role a bundle needs, before hours of fetching.
///
/// # Errors
/// [`KeyError::Unknown`] or [`KeyError::Threshold`].
pub fn check_say(chain: &RootChain, signer: &dyn Signer) -> Result<(), Failure> {
    let root = chain.root();
    let key = key_id(&signer.public()).map_err(SignError::from)?;
    for name in ["targets", "snapshot", "timestamp"] {
        let role = root.roles.get(name);
        if !role.is_some_and(|role| role.keyids.contains(&key)) {
            return Err(KeyError::Unknown { key, role: name, version: root.version }.into());
        }
        let threshold = role.map_or(0, |role| role.threshold);
        if threshold > 1 {
            return Err(KeyError::Threshold { role: name, version: root.version, threshold }.into());
        }
    }
    Ok(())
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
}

/// Signs the head, checks it as a site would, writes it, and gives the file its name.
///
/// # Errors
/// The signer's, or what a site would say of the head; the draft goes away with it.
pub fn seal(
    unsigned: Unsigned,
    plan: &Plan,
    chain: &RootChain,
    signer: &dyn Signer,
    (folder, name): (&Path, &str),
) -> Result<Signed, Failure> {
    let Unsigned { draft, carriage, length, .. } = unsigned;
    let expires = expires(plan.release.issued)?;
    let signers = Signers { approvers: vec![signer], publisher: signer };
    let documents = author::documents(&plan.release_bytes, &plan.approval, &carriage, &expires, &signers)?;
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
    let vouched = OpenedBundle::open(head.as_slice(), Limits::DEFAULT)?.read_head()?.verify(chain)?.vouched;
    // Payload before head: a power cut in between leaves zeros in front, which is no bundle.
    draft.sync()?;
    draft.file().write_all_at(&head, 0).map_err(|e| draft.error(Step::Write, e))?;
    let path = folder.join(name);
    draft.commit(std::ffi::OsStr::new(name), Existing::Replace)?;
    Ok(Signed { path, release: vouched.release_digest, bundle_id: vouched.bundle_id, length })
}
