//! Reads the Git commit that a release is made of: the commit's tree and nothing else.
//!
//! The working copy, the index, hooks, filters and attributes of a repository have no part in it, so the same
//! commit gives the same release everywhere. Git itself is the `git` command: it knows every transport and
//! credential helper people have (docs/decisions). Nothing here writes to a repository that it did not make.

use std::path::{Path, PathBuf};

use consign_format::error::{Code, Coded, codes};
use consign_format::release::Provenance;
use tempfile::TempDir;

use crate::tool::{Environment, ToolError};

mod blobs;
mod commit;
mod contents;
mod export;
mod git;
mod location;
mod references;
mod signature;

pub use export::{ExportLimits, TreeError};
pub use signature::Verify;

use git::Git;
use location::Location;
use references::Chosen;

/// What to read.
#[derive(Debug, Clone, Copy)]
pub struct SourceRequest<'a> {
    /// A URL (`https`, `http`, `ssh`, `git`, `file`, `user@host:path`) or a path.
    pub location: &'a str,
    /// A branch, tag or commit; without it `HEAD`.
    pub reference: Option<&'a str>,
    /// The folder that relative paths start from: that of `release.yaml`.
    pub base: &'a Path,
    /// Whose signature is demanded; without it none is.
    pub verify: Option<&'a Verify>,
}

/// Why a commit could not be read.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The location or reference is of a form that is not taken.
    #[error("`{text}` is not taken as a Git {what}: {reason}")]
    Refused {
        /// What was written, credentials removed.
        text: String,
        /// `repository` or `reference`.
        what: &'static str,
        /// Why.
        reason: &'static str,
    },
    /// The repository could not be reached or read.
    #[error("the Git repository {location} cannot be read")]
    Unreachable {
        /// The location, credentials removed.
        location: String,
        /// What Git said.
        source: ToolError,
    },
    /// Git is missing or misbehaves.
    #[error(transparent)]
    Tool(#[from] ToolError),
    /// Git answered something that cannot be.
    #[error("`git {command}` answered something unexpected")]
    Answer {
        /// The command.
        command: &'static str,
    },
    /// There is no such branch, tag or commit.
    #[error("there is no branch, tag or commit `{reference}` in {location}")]
    NotFound {
        /// What was asked for.
        reference: String,
        /// The location, credentials removed.
        location: String,
    },
    /// The name is both a branch and a tag.
    #[error("`{reference}` is both a branch and a tag in {location}")]
    Ambiguous {
        /// What was asked for.
        reference: String,
        /// The location, credentials removed.
        location: String,
    },
    /// A demanded signature does not hold.
    #[error("{subject} is not signed by anyone who is trusted to: {reason}")]
    Unverified {
        /// `tag v1` or `commit 0123…`.
        subject: String,
        /// What was found.
        reason: String,
    },
    /// A file that verification needs cannot be used.
    #[error("{} cannot be used to verify signatures", path.display())]
    Signers {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The tree cannot be written out.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// A temporary folder could not be made or written.
    #[error("a temporary folder could not be written")]
    Io(#[from] std::io::Error),
}

impl Coded for SourceError {
    fn code(&self) -> Code {
        match self {
            SourceError::Refused { .. } => codes::SOURCE_REFUSED,
            SourceError::Unreachable { source: ToolError::Missing { .. }, .. } => codes::TOOL_MISSING,
            SourceError::Unreachable { .. } => codes::SOURCE_UNREACHABLE,
            SourceError::Tool(error) => error.code(),
            SourceError::Answer { .. } => codes::TOOL_FAILED,
            SourceError::NotFound { .. } => codes::REF_NOT_FOUND,
            SourceError::Ambiguous { .. } => codes::REF_AMBIGUOUS,
            SourceError::Unverified { .. } => codes::SOURCE_UNVERIFIED,
            SourceError::Tree(error) => error.code(),
            SourceError::Signers { .. } | SourceError::Io(_) => codes::IO,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            SourceError::Unreachable { source, .. } => Some(match source.hint() {
                Some(hint) => hint,
                None => "try `git ls-remote` with the same URL; Consign asks for no passwords, so a credential helper \
                         or an ssh key must give them"
                    .to_owned(),
            }),
            SourceError::NotFound { .. } => {
                Some("commit what you want to release, and write a branch, a tag or a full commit id".to_owned())
            }
            SourceError::Ambiguous { reference, .. } => {
                Some(format!("write `refs/tags/{reference}` or `refs/heads/{reference}`"))
            }
            SourceError::Unverified { .. } => {
                Some("sign with `git tag -s` or `git commit -S`, with a key that `source.verify` lists".to_owned())
            }
            SourceError::Tool(error) => error.hint(),
            SourceError::Tree(error) => error.hint(),
            _ => None,
        }
    }
}

/// The tree of one commit, written out into a temporary folder that goes away with this value.
#[derive(Debug)]
pub struct Checkout {
    folder: TempDir,
    prefix: PathBuf,
    contents: contents::Contents,
    provenance: Provenance,
}

/// Opens a repository, finds the commit, checks its signature if one is demanded, and writes its tree out.
///
/// # Errors
/// [`SourceError`]; nothing stays behind.
pub fn open(
    request: &SourceRequest<'_>,
    environment: &Environment,
    limits: &ExportLimits,
) -> Result<Checkout, SourceError> {
    if let Some(reference) = request.reference {
        references::check_form(reference)?;
    }
    let location = Location::parse(request.location, request.base)?;
    let scratch = tempfile::Builder::new().prefix("consign-git-").tempdir()?;
    let (git, chosen) = match &location {
        Location::Local { folder, .. } => {
            let git = Git::in_folder(environment, folder)?;
            let chosen = references::choose_local(&git, request.reference, &location)?;
            (git, chosen)
        }
        Location::Remote { .. } => fetch(request.reference, &location, environment, scratch.path())?,
    };
    let commit = commit::read(&git, &chosen)?;
    let signature = signature::examine(&git, &chosen, &commit, request.verify, request.base, scratch.path())?;
    let folder = tempfile::Builder::new().prefix("consign-tree-").tempdir()?;
    let contents = export::export(&git, &commit.tree, folder.path(), limits)?;
    let prefix = match &location {
        Location::Local { .. } => git.prefix()?,
        Location::Remote { .. } => PathBuf::new(),
    };
    let provenance = Provenance {
        url: location.public_url(&git)?,
        reference: request.reference.unwrap_or("HEAD").to_owned(),
        commit: commit.id,
        tree: commit.tree,
        commit_time: commit.time,
        signature,
    };
    Ok(Checkout { folder, prefix, contents, provenance })
}

/// Fetches one commit of a repository elsewhere into an empty one of our own.
fn fetch(
    reference: Option<&str>,
    location: &Location,
    environment: &Environment,
    scratch: &Path,
) -> Result<(Git, Chosen), SourceError> {
    let mut git = Git::bare(environment, &scratch.join("repository"), "sha1")?;
    let chosen = references::choose_remote(&git, reference, location)?;
    if chosen.id.len() == 64 {
        git = Git::bare(environment, &scratch.join("repository-sha256"), "sha256")?;
    }
    git.fetch(location, &chosen)?;
    Ok((git, chosen))
}

impl Checkout {
    /// Returns the root of the commit's tree.
    pub fn tree(&self) -> &Path {
        self.folder.path()
    }

    /// Returns the folder that paths of `release.yaml` start from, inside the tree: where the repository was
    /// named by a path, the same folder in the commit; else the root.
    pub fn root(&self) -> PathBuf {
        self.folder.path().join(&self.prefix)
    }

    /// Returns where the tree came from.
    pub fn provenance(&self) -> &Provenance {
        &self.provenance
    }

    /// Finds a path of `release.yaml` in the tree.
    ///
    /// # Errors
    /// [`TreeError`]: absolute or outside the tree, not there, in a submodule, or (at or below it) a Git LFS
    /// pointer instead of the content.
    pub fn find(&self, path: &str) -> Result<PathBuf, TreeError> {
        self.contents.find(self.folder.path(), &self.prefix, path)
    }

    /// Sees that a path inside the tree is neither in a submodule nor a Git LFS pointer; says nothing of
    /// whether it is there.
    pub(crate) fn vouch(&self, path: &Path) -> Result<(), TreeError> {
        self.contents.vouch(self.folder.path(), path)
    }
}

#[cfg(test)]
mod tests;
