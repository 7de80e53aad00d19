//! A root that is being signed: its people sit at different desks, so it travels among them until it is complete.

use super::{ParsedRoot, RootChain, RootDocument as _, file_name, parse};
use crate::trust::TrustError;
use crate::trust::document::Root;
use crate::trust::envelope::Envelope;
use crate::trust::keys::{self, Progress};

/// A root whose form holds, and how far its signatures have come.
#[derive(Debug, Clone)]
pub struct RootDraft {
    /// What it says.
    pub root: Root,
    /// Signatures by the threshold it sets for itself.
    pub own: Progress,
    /// Signatures by the threshold of the root before it; nothing for a first one.
    pub old: Option<Progress>,
}

impl RootDraft {
    /// Reads a draft that is to follow a chain, or to begin one.
    ///
    /// # Errors
    /// [`TrustError`]: form, weak keys, another version or domain than may follow, signatures that do not count.
    pub fn read(file: &[u8], after: Option<&RootChain>) -> Result<Self, TrustError> {
        let version = after.map_or(0, |chain| chain.newest.root.version);
        let document = file_name(version + 1);
        let new: ParsedRoot = parse(file, &document)?;
        if new.root.version != version + 1 {
            return Err(TrustError::RootGap { from: version, to: new.root.version });
        }
        let old = after.map(|chain| &chain.newest);
        if let Some(old) = old {
            old.root.check_successor(&new.root)?;
        }
        let envelope = Envelope::parse(&document, file)?;
        let own = new.progress_on(&envelope, old.unwrap_or(&new))?;
        let old = old.map(|old| old.progress_on(&envelope, &new)).transpose()?;
        Ok(RootDraft { root: new.root, own, old })
    }

    /// Tells whether nothing is missing.
    pub fn is_complete(&self) -> bool {
        self.own.is_complete() && self.old.as_ref().is_none_or(Progress::is_complete)
    }

    /// Tells whether a signature by this key would count.
    pub fn has_say(&self, key: &str) -> bool {
        let knows = |progress: &Progress| progress.signed.iter().chain(&progress.waiting).any(|id| id == key);
        knows(&self.own) || self.old.as_ref().is_some_and(knows)
    }
}

impl ParsedRoot {
    fn progress_on(&self, envelope: &Envelope<'_>, other: &ParsedRoot) -> Result<Progress, TrustError> {
        let others = other.role("root")?;
        keys::progress(envelope, self.role("root")?, &self.keys, |id| others.keyids.iter().any(|k| k == id))
    }
}
