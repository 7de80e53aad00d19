//! `attest-scan`: says of one bundle that it was scanned and found clean, beside it, signed by the role `scan`.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use consign_format::error::{Code, Coded, Failure, codes};
use consign_format::trust::TrustError;
use consign_format::trust::chain::Vouched;
use consign_format::trust::keys::{SignError, Signer, key_id};
use consign_format::trust::roots::RootChain;
use consign_format::trust::scan::{SUFFIX, ScanAttestation, Verdict};
use consign_format::trust::statement::Statement as _;
use consign_format::{Digest, DigestWriter, Limits};
use consign_registry::durable::write_file;
use serde::Serialize;

use crate::sign::KeyError;
use crate::unpack::{LISTING, Listing};

/// The longest name of a scanner, in bytes.
const SCANNER: usize = 200;
/// The longest listing: two million entries of a few hundred bytes. Bytes.
const LISTING_LIMIT: u64 = 1 << 30;

/// What is said.
#[derive(Debug)]
pub struct Said<'a> {
    /// The scanner's report; its digest is attested.
    pub report: &'a Path,
    /// What scanned.
    pub scanner: &'a str,
    /// The folder that was scanned, as `unpack --for-scan` made it: it must be of this bundle, and complete.
    pub unpacked: Option<&'a Path>,
    /// Now, in seconds since 1970.
    pub now: u64,
}

/// What was written.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Attested {
    /// The attestation's file.
    pub path: String,
    /// The bundle's id.
    pub bundle: Digest,
    /// The digest of the report.
    pub report: Digest,
    /// Keys that have signed.
    pub signatures: u64,
    /// Keys that must.
    pub threshold: u64,
}

/// Why nothing is attested.
#[derive(Debug, thiserror::Error)]
pub enum AttestError {
    /// A file cannot be read.
    #[error("{} cannot be read", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The root gives nobody the right.
    #[error("root {version} names no scanner")]
    NoScanner {
        /// The version of the root.
        version: u64,
    },
    /// There is an attestation that says something else.
    #[error("{} is there already and says something else: {what}", path.display())]
    Other {
        /// The file.
        path: PathBuf,
        /// What differs.
        what: &'static str,
    },
    /// What was scanned is not what is attested.
    #[error("{} {why}", path.display())]
    Unpacked {
        /// The listing.
        path: PathBuf,
        /// What is wrong.
        why: &'static str,
    },
    /// The scanner's name cannot stand in a document.
    #[error("`{name}` is no name of a scanner: 1 to {SCANNER} bytes, without control characters")]
    Scanner {
        /// What was given.
        name: String,
    },
}

impl Coded for AttestError {
    fn code(&self) -> Code {
        match self {
            AttestError::Io { .. } => codes::IO,
            AttestError::NoScanner { .. } => codes::KEY_UNKNOWN,
            AttestError::Other { .. } => codes::ALREADY_EXISTS,
            AttestError::Unpacked { .. } => codes::NOT_UNPACKED,
            AttestError::Scanner { .. } => codes::USAGE,
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            AttestError::NoScanner { .. } => "give the role scan to a key with the next root",
            AttestError::Other { .. } => "to add a signature, name the same report; else remove that file first",
            AttestError::Unpacked { .. } => "lay this bundle out with `consign unpack --for-scan` and scan that folder",
            AttestError::Io { .. } | AttestError::Scanner { .. } => return None,
        };
        Some(hint.to_owned())
    }
}

/// Writes `FILE.scan.json` beside a bundle whose head is vouched for, or adds a signature to the one that is there. The
/// bundle's content was verified when it was laid out for the scanner, and is again at the site.
///
/// # Errors
/// [`AttestError`]; the signer's; what is wrong with the signatures that are there.
pub fn attest(
    path: &Path,
    roots: &RootChain,
    vouched: &Vouched,
    said: &Said<'_>,
    signer: &dyn Signer,
) -> Result<Attested, Failure> {
    check_say(roots, signer)?;
    if let Some(folder) = said.unpacked {
        check_unpacked(&folder.join(LISTING), &vouched.bundle_id)?;
    }
    let fresh = statement(roots, vouched, said)?;
    let mut beside = path.as_os_str().to_owned();
    beside.push(SUFFIX);
    let beside = PathBuf::from(beside);
    let (attestation, earlier) = match read(&beside)? {
        None => (fresh, Vec::new()),
        Some(bytes) => {
            let (there, signatures) = ScanAttestation::unvouched(&bytes)?;
            check_same(&there, &fresh).map_err(|what| AttestError::Other { path: beside.clone(), what })?;
            (there, signatures)
        }
    };
    let signed = attestation.sign(&earlier, signer)?;
    let threshold = roots.root().scan.as_ref().map_or(0, |role| role.threshold);
    // As a site would read it; too few signatures are no error here, wrong ones are.
    let signatures = match roots.scan_attestation(&signed) {
        Ok(_) => ScanAttestation::unvouched(&signed)?.1.len() as u64,
        Err(TrustError::BelowThreshold { have, .. }) => have,
        Err(error) => return Err(error.into()),
    };
    write_file(&beside, &signed, 0o644)?;
    let (path, bundle, report) = (beside.display().to_string(), attestation.bundle, attestation.report);
    Ok(Attested { path, bundle, report, signatures, threshold })
}

fn statement(roots: &RootChain, vouched: &Vouched, said: &Said<'_>) -> Result<ScanAttestation, AttestError> {
    if said.scanner.is_empty() || said.scanner.len() > SCANNER || said.scanner.chars().any(char::is_control) {
        return Err(AttestError::Scanner { name: said.scanner.to_owned() });
    }
    Ok(ScanAttestation {
        kind: ScanAttestation::TYPE.to_owned(),
        domain: roots.domain().clone(),
        bundle: vouched.bundle_id,
        release: vouched.release_digest,
        scanner: said.scanner.to_owned(),
        verdict: Verdict::Clean,
        report: digest_of(said.report)?,
        attested: said.now,
    })
}

/// Demands that the newest root gives the key a say in the role `scan`.
fn check_say(roots: &RootChain, signer: &dyn Signer) -> Result<(), Failure> {
    let root = roots.root();
    let role = root.scan.as_ref().ok_or(AttestError::NoScanner { version: root.version })?;
    let key = key_id(&signer.public()).map_err(SignError::from)?;
    match role.keyids.contains(&key) {
        true => Ok(()),
        false => Err(KeyError::Unknown { key, role: "scan", version: root.version }.into()),
    }
}

/// Two scanners sign one statement, so all but the time must be the same.
fn check_same(there: &ScanAttestation, fresh: &ScanAttestation) -> Result<(), &'static str> {
    let same = [
        (there.bundle == fresh.bundle && there.release == fresh.release, "it is of another bundle"),
        (there.domain == fresh.domain && there.kind == fresh.kind, "it is of another domain or kind"),
        (there.report == fresh.report, "it is of another report"),
        (there.scanner == fresh.scanner, "it names another scanner"),
    ];
    same.into_iter().find(|(same, _)| !same).map_or(Ok(()), |(_, what)| Err(what))
}

fn check_unpacked(path: &Path, bundle: &Digest) -> Result<(), Failure> {
    let io = |source| AttestError::Io { path: path.to_owned(), source };
    let refuse = |why| Failure::from(AttestError::Unpacked { path: path.to_owned(), why });
    let file = File::open(path).map_err(io)?.take(LISTING_LIMIT);
    let listing: Listing =
        serde_json::from_reader(io::BufReader::new(file)).map_err(|_| refuse("is not what `unpack` writes"))?;
    match (listing.bundle_id == *bundle, listing.complete) {
        (false, _) => Err(refuse("is of another bundle")),
        (true, false) => Err(refuse("says that not everything was laid out")),
        (true, true) => Ok(()),
    }
}

fn digest_of(path: &Path) -> Result<Digest, AttestError> {
    let io = |source| AttestError::Io { path: path.to_owned(), source };
    let mut hasher = DigestWriter::new(io::sink());
    io::copy(&mut File::open(path).map_err(io)?, &mut hasher).map_err(io)?;
    Ok(hasher.finish().1)
}

fn read(path: &Path) -> Result<Option<Vec<u8>>, AttestError> {
    let io = |source: io::Error| AttestError::Io { path: path.to_owned(), source };
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file.map_err(io)?,
    };
    let mut bytes = Vec::new();
    file.take(Limits::DEFAULT.metadata).read_to_end(&mut bytes).map_err(io)?;
    Ok(Some(bytes))
}
