//! `require-scan`: a bundle is taken only with an attestation, beside it, that it was scanned for malware.
//!
//! The attestation is `FILE.scan.json` (`consign_format::trust::scan`), signed by the role `scan` of the domain's newest
//! root. It comes from the same courier as the bundle, so it is opened with the same care and nothing in it counts
//! before its signatures hold. That a courier takes it away is noticed: the bundle is refused then.

use std::io::Read;
use std::path::{Path, PathBuf};

use consign_format::error::{Code, Coded, Failure, codes};
use consign_format::trust::chain::Vouched;
use consign_format::trust::roots::RootChain;
use consign_format::trust::scan::SUFFIX;
use consign_format::{Digest, Limits, Name};

use crate::admit::Ask;
use crate::medium::Medium;
use crate::open::{OpenError, open};

/// The site demands a scan, and there is none that counts.
#[derive(Debug, thiserror::Error)]
pub enum ScanError {
    /// There is no attestation.
    #[error("this site takes only bundles that were scanned, and there is no {}", path.display())]
    Missing {
        /// Where it should be.
        path: PathBuf,
    },
    /// The attestation is of another bundle.
    #[error("{} is of bundle {found}, and this is bundle {expected}", path.display())]
    OtherBundle {
        /// The attestation.
        path: PathBuf,
        /// The bundle that is to be taken.
        expected: Digest,
        /// The bundle that was scanned.
        found: Digest,
    },
    /// The root gives nobody the right to attest.
    #[error("this site takes only bundles that were scanned, and root {version} of domain `{domain}` names no scanner")]
    NoScanner {
        /// The domain.
        domain: Name,
        /// The version of the root.
        version: u64,
    },
    /// It is larger than any attestation.
    #[error("{} is over the limit of {limit} bytes", path.display())]
    OverLimit {
        /// The attestation.
        path: PathBuf,
        /// The bound.
        limit: u64,
    },
    /// It is there and cannot be read.
    #[error("{} cannot be read", path.display())]
    Unreadable {
        /// The attestation.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
}

impl Coded for ScanError {
    fn code(&self) -> Code {
        match self {
            ScanError::Missing { .. } | ScanError::OtherBundle { .. } | ScanError::NoScanner { .. } => {
                codes::SCAN_MISSING
            }
            ScanError::OverLimit { .. } => codes::OVER_LIMIT,
            ScanError::Unreadable { .. } => codes::MEDIUM_UNREADABLE,
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            ScanError::Missing { .. } => "bring the .scan.json that `consign attest-scan` wrote, beside the bundle",
            ScanError::OtherBundle { .. } => "have this very file scanned: a bundle cut or dated anew has another id",
            ScanError::NoScanner { .. } => "the domain's next root must give its role scan to somebody",
            ScanError::OverLimit { .. } => "no honest attestation is like this; do not use it, and report it",
            ScanError::Unreadable { .. } => "use another copy of the medium",
        };
        Some(hint.to_owned())
    }
}

/// Where the attestation of a bundle must lie.
pub fn beside(medium: &Medium) -> PathBuf {
    let mut path = medium.path().as_os_str().to_owned();
    path.push(SUFFIX);
    path.into()
}

/// Demands a scan of this very bundle where the site's administrator does.
///
/// # Errors
/// [`ScanError`]; what is wrong with the attestation's form or signatures; something there that is not read.
pub fn check(ask: Ask, path: &Path, roots: &RootChain, vouched: &Vouched) -> Result<(), Failure> {
    if !ask.require_scan {
        return Ok(());
    }
    let root = roots.root();
    if root.scan.is_none() {
        return Err(ScanError::NoScanner { domain: root.domain.clone(), version: root.version }.into());
    }
    let attestation = roots.scan_attestation(&read(path)?)?;
    if (attestation.bundle, attestation.release) != (vouched.bundle_id, vouched.release_digest) {
        let (expected, found) = (vouched.bundle_id, attestation.bundle);
        return Err(ScanError::OtherBundle { path: path.to_owned(), expected, found }.into());
    }
    Ok(())
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let medium = open(path).map_err(|error| match error {
        OpenError::Io { source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
            Failure::from(ScanError::Missing { path: path.to_owned() })
        }
        other => other.into(),
    })?;
    let limit = Limits::DEFAULT.metadata;
    let mut bytes = Vec::new();
    let unreadable = |source| ScanError::Unreadable { path: path.to_owned(), source };
    medium.take(limit + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > limit {
        return Err(ScanError::OverLimit { path: path.to_owned(), limit }.into());
    }
    Ok(bytes)
}
