//! Approval by kilobytes: a bundle waits for its approvers, a small request goes to where their keys are, what they sign
//! comes back into the bundle.

use std::io::Read;
use std::path::PathBuf;

use consign_format::archive::head::{ArchiveError, OpenedBundle};
use consign_format::error::{Code, Coded, Failure, codes};
use consign_format::trust::TrustError;
use consign_format::trust::chain::Awaiting;
use consign_format::trust::keys::{SignError, Signer, key_id};
use consign_format::trust::roots::RootChain;
use consign_format::{Limits, Name};

use crate::sign::KeyError;

pub mod merge;
pub mod request;
pub mod statement;

/// Why nothing is approved.
#[derive(Debug, thiserror::Error)]
pub enum ApprovalError {
    /// The file is neither a request nor a statement.
    #[error("{} is no approval request and no statement: {reason}", path.display())]
    Form {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The request is for another release than the bundle holds.
    #[error("{} asks for another release than {} holds", request.display(), bundle.display())]
    OtherRelease {
        /// The request.
        request: PathBuf,
        /// The bundle.
        bundle: PathBuf,
    },
    /// The release it is held against is one of another product.
    #[error("the request is for `{product}` and is held against a release of `{previous}`")]
    OtherProduct {
        /// The product that is asked for.
        product: Name,
        /// The other one.
        previous: Name,
    },
    /// A blob of the request is not the one it is named by.
    #[error("the request's copy of {digest} is another")]
    Blob {
        /// The name.
        digest: consign_format::Digest,
    },
}

impl Coded for ApprovalError {
    fn code(&self) -> Code {
        match self {
            ApprovalError::Form { .. } => codes::DOCUMENT_MALFORMED,
            ApprovalError::OtherRelease { .. } | ApprovalError::OtherProduct { .. } => codes::REQUEST_OTHER,
            ApprovalError::Blob { .. } => codes::DIGEST_MISMATCH,
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            ApprovalError::Form { .. } => "make one with `consign approve --request BUNDLE -o FILE`".to_owned(),
            ApprovalError::OtherRelease { .. } => {
                "a bundle that was built anew needs a request of its own; nothing was written".to_owned()
            }
            ApprovalError::OtherProduct { .. } => {
                "make one anew, with --against the last approved release of the same product".to_owned()
            }
            ApprovalError::Blob { .. } => "do not sign; ask for the request again".to_owned(),
        })
    }
}

/// The head of a bundle of a release, as it stands in the file.
pub struct Head {
    /// Roots, version 1 first.
    pub roots: Vec<Vec<u8>>,
    /// Statements that travel along.
    pub statements: Vec<Vec<u8>>,
    /// Timestamp, snapshot, targets, carriage and release manifest.
    pub documents: [Vec<u8>; 5],
    /// Where it ends.
    pub boundary: u64,
}

/// Reads a head; nothing in it is believed.
///
/// # Errors
/// What a site would say of the archive; a bundle of metadata alone has nothing to approve.
pub fn read_head(source: impl Read) -> Result<Head, Failure> {
    let announced = OpenedBundle::open(source, Limits::DEFAULT)?.read_statements()?;
    let statements = announced.statements().to_vec();
    let head = announced.read_head()?.ok_or(ArchiveError::NoRelease)?;
    let (roots, documents, boundary) = (head.roots().to_vec(), head.documents().clone(), head.boundary());
    Ok(Head { roots, statements, documents, boundary })
}

impl Head {
    /// Holds everything against everything and against the roots, but for how many approvers have signed.
    ///
    /// # Errors
    /// What a site would say.
    pub fn check(&self, chain: &RootChain) -> Result<Awaiting, TrustError> {
        let [timestamp, snapshot, targets, carriage, release] = &self.documents;
        let awaiting = chain.timestamp(timestamp)?.snapshot(snapshot)?.awaiting(targets, carriage, release)?;
        if awaiting.carriage.boundary != self.boundary {
            return Err(TrustError::Contradiction { what: "the end of the head" });
        }
        Ok(awaiting)
    }
}

/// Checks a head that is to be written. One that has enough approvers must be what a site takes.
///
/// # Errors
/// What a site would say.
pub fn check(head: &[u8], chain: &RootChain) -> Result<Awaiting, Failure> {
    let awaiting = read_head(head)?.check(chain)?;
    if awaiting.progress.is_complete() {
        OpenedBundle::open(head, Limits::DEFAULT)?.read_head()?.verify(chain)?;
    }
    Ok(awaiting)
}

/// Demands that a signature by this key would count.
///
/// # Errors
/// [`KeyError::Unknown`].
fn demand_say(roots: &RootChain, signer: &dyn Signer, role: &'static str) -> Result<(), Failure> {
    let (key, root) = (key_id(&signer.public()).map_err(SignError::from)?, roots.root());
    if root.roles.get(role).is_some_and(|role| role.keyids.contains(&key)) {
        return Ok(());
    }
    Err(KeyError::Unknown { key, role: "approver", version: root.version }.into())
}
