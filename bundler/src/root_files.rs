//! Roots as files: `N.root.json` is published and frozen; `N.root.draft.json` travels among those who sign it, and no
//! build knows of it.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use consign_format::Digest;
use consign_format::error::{Failure, codes};
use consign_format::trust::TrustError;
use consign_format::trust::document::Root;
use consign_format::trust::envelope;
use consign_format::trust::keys::{self, Progress, SignError, Signer, key_id};
use consign_format::trust::roots::{RootChain, RootDraft};
use consign_registry::durable;
use serde::Serialize;

use crate::root_changes::{self, RootChanges};
use crate::sign::{self, KeyError};

/// The most a root takes; ours are a few KB.
const LIMIT: u64 = 1 << 20;

/// A root on its way, as it is now.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RootStatus {
    /// The file: the draft, or the published root.
    pub path: PathBuf,
    /// Its version.
    pub version: u64,
    /// Whether it is published.
    pub published: bool,
    /// The digest of the published file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<Digest>,
    /// Signatures by its own threshold.
    pub own: Progress,
    /// Signatures by the threshold of the root before it.
    pub old: Option<Progress>,
}

/// The name of a draft.
pub fn draft_path(folder: &Path, version: u64) -> PathBuf {
    folder.join(format!("{version}.root.draft.json"))
}

/// The chain of a folder; nothing where it has no root yet.
///
/// # Errors
/// What is wrong with a root.
pub fn chain(folder: &Path) -> Result<Option<RootChain>, Failure> {
    match sign::read_roots(folder) {
        Ok(chain) => Ok(Some(chain)),
        Err(error) if error.code() == codes::ROOT_MISSING => Ok(None),
        Err(error) => Err(error),
    }
}

/// Writes a new root as a draft, signed by whom is at hand; one that is complete by that is published.
///
/// # Errors
/// What a site would say of it, a signer's, or what the disk says. A draft of the same version is not overwritten.
pub fn begin(folder: &Path, root: &Root, signers: &[Box<dyn Signer + '_>]) -> Result<RootStatus, Failure> {
    let chain = chain(folder)?;
    let path = draft_path(folder, root.version);
    if path.symlink_metadata().is_ok() {
        return Err(durable::DurableError::Exists { path }.into());
    }
    let unsigned = envelope::seal(root, &[]).map_err(SignError::from)?;
    RootDraft::read(&unsigned, chain.as_ref())?;
    let signed = with_signatures(unsigned, chain.as_ref(), signers)?;
    durable::create_dir(folder, 0o755)?;
    keep(&path, folder, &signed, chain.as_ref())
}

/// A draft as it was read. What is shown of it and what is signed are the same bytes.
#[derive(Debug)]
pub struct Draft {
    file: PathBuf,
    folder: PathBuf,
    chain: Option<RootChain>,
    bytes: Vec<u8>,
    read: RootDraft,
}

impl Draft {
    /// Reads a draft that is to follow the roots of a folder.
    ///
    /// # Errors
    /// [`KeyError::Published`] for a root that is complete, or as [`begin`].
    pub fn open(file: &Path, folder: &Path) -> Result<Self, Failure> {
        let chain = chain(folder)?;
        let bytes = read(file)?;
        let draft = match RootDraft::read(&bytes, chain.as_ref()) {
            Err(TrustError::RootGap { from, to }) if to <= from => {
                return Err(KeyError::Published { version: to }.into());
            }
            draft => draft?,
        };
        if draft.is_complete() && !file.display().to_string().ends_with(".draft.json") {
            return Err(KeyError::Published { version: draft.root.version }.into());
        }
        Ok(Draft { file: file.to_owned(), folder: folder.to_owned(), chain, bytes, read: draft })
    }

    /// What it changes against the newest complete root of the folder.
    pub fn changes(&self) -> RootChanges {
        root_changes::compare(self.chain.as_ref().map(RootChain::root), &self.read.root)
    }

    /// The fingerprint of the roots it is held against.
    pub fn against(&self) -> Option<Digest> {
        self.chain.as_ref().map(RootChain::fingerprint)
    }

    /// How far it is.
    pub fn status(&self) -> RootStatus {
        let RootDraft { root, own, old } = self.read.clone();
        RootStatus { path: self.file.clone(), version: root.version, published: false, fingerprint: None, own, old }
    }

    /// Adds signatures; when old and new thresholds hold, it is published in the folder.
    ///
    /// # Errors
    /// As [`begin`].
    pub fn sign(self, signers: &[Box<dyn Signer + '_>]) -> Result<RootStatus, Failure> {
        let signed = with_signatures(self.bytes, self.chain.as_ref(), signers)?;
        keep(&self.file, &self.folder, &signed, self.chain.as_ref())
    }
}

/// Reads a root, which may lie in a tree that anybody has written: no more than a root may have.
///
/// # Errors
/// [`KeyError::Io`]; that it is too long.
pub(crate) fn read(file: &Path) -> Result<Vec<u8>, Failure> {
    let io = |source| KeyError::Io { path: file.to_owned(), source };
    let mut bytes = Vec::new();
    fs::File::open(file).map_err(io)?.take(LIMIT + 1).read_to_end(&mut bytes).map_err(io)?;
    if bytes.len() as u64 > LIMIT {
        let what = file.display().to_string();
        return Err(consign_format::archive::head::ArchiveError::OverLimit { what, limit: LIMIT }.into());
    }
    Ok(bytes)
}

fn with_signatures(
    mut bytes: Vec<u8>,
    chain: Option<&RootChain>,
    signers: &[Box<dyn Signer + '_>],
) -> Result<Vec<u8>, Failure> {
    for signer in signers {
        let draft = RootDraft::read(&bytes, chain)?;
        let key = key_id(&signer.public()).map_err(SignError::from)?;
        if !draft.has_say(&key) {
            return Err(KeyError::Unknown { key, role: "root", version: draft.root.version }.into());
        }
        bytes = keys::add_signature("the root", &bytes, signer.as_ref())?;
    }
    Ok(bytes)
}

fn keep(file: &Path, folder: &Path, bytes: &[u8], chain: Option<&RootChain>) -> Result<RootStatus, Failure> {
    let draft = RootDraft::read(bytes, chain)?;
    let (version, published) = (draft.root.version, draft.is_complete());
    let path = if published { folder.join(format!("{version}.root.json")) } else { file.to_owned() };
    if published {
        durable::write_new_file(&path, bytes, 0o644)?;
        // The published root is safe on the disk; a draft that stays is refused as published.
        if let Err(source) = fs::remove_file(file)
            && source.kind() != std::io::ErrorKind::NotFound
        {
            return Err(KeyError::Io { path: file.to_owned(), source }.into());
        }
    } else {
        durable::write_file(&path, bytes, 0o644)?;
    }
    let fingerprint = published.then(|| Digest::of(bytes));
    Ok(RootStatus { path, version, published, fingerprint, own: draft.own, old: draft.old })
}
