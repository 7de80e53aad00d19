//! What applying did, or would do, to each object: plain data for people, journals and receipts.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{ObjectDiff, ObjectKey};

/// What happened to one object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// It was not there.
    Created,
    /// It was there and differed.
    Configured,
    /// It was there, differed in what never changes, and was deleted and made anew.
    Recreated,
    /// It was there as desired; nothing was written.
    Unchanged,
    /// It left the release and was removed.
    Deleted,
    /// It was left alone on purpose; the entry's note says why.
    Skipped,
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Action::Created => "created",
            Action::Configured => "configured",
            Action::Recreated => "recreated",
            Action::Unchanged => "unchanged",
            Action::Deleted => "deleted",
            Action::Skipped => "skipped",
        })
    }
}

/// One object and what happened to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// The object.
    #[serde(flatten)]
    pub key: ObjectKey,
    /// What happened.
    pub action: Action,
    /// Why, where the action does not say it all; for example why an object that left the release was kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.key, self.action)?;
        match &self.note {
            Some(note) => write!(f, " ({note})"),
            None => Ok(()),
        }
    }
}

/// Everything that happened, in the order in which it happened.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ChangeSet {
    /// One entry per object.
    pub entries: Vec<Entry>,
}

/// How often each action occurs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Counts {
    /// Objects made.
    pub created: u64,
    /// Objects changed.
    pub configured: u64,
    /// Objects deleted and made anew.
    #[serde(default)]
    pub recreated: u64,
    /// Objects already as desired.
    pub unchanged: u64,
    /// Objects removed.
    pub deleted: u64,
    /// Objects left alone on purpose.
    pub skipped: u64,
}

impl ChangeSet {
    /// Adds an entry.
    pub fn push(&mut self, key: ObjectKey, action: Action, note: Option<String>) -> &Entry {
        self.entries.push(Entry { key, action, note });
        &self.entries[self.entries.len() - 1]
    }

    /// Counts the actions.
    pub fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for entry in &self.entries {
            *match entry.action {
                Action::Created => &mut counts.created,
                Action::Configured => &mut counts.configured,
                Action::Recreated => &mut counts.recreated,
                Action::Unchanged => &mut counts.unchanged,
                Action::Deleted => &mut counts.deleted,
                Action::Skipped => &mut counts.skipped,
            } += 1;
        }
        counts
    }

    /// The objects to which this happened.
    pub fn having(&self, action: Action) -> impl Iterator<Item = &ObjectKey> {
        self.entries.iter().filter(move |entry| entry.action == action).map(|entry| &entry.key)
    }

    /// Tells whether nothing was written.
    pub fn is_unchanged(&self) -> bool {
        let counts = self.counts();
        counts.created + counts.configured + counts.recreated + counts.deleted == 0
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} created, {} configured, {} unchanged, {} deleted, {} skipped",
            self.created, self.configured, self.unchanged, self.deleted, self.skipped
        )?;
        if self.recreated > 0 { write!(f, ", {} recreated", self.recreated) } else { Ok(()) }
    }
}

/// What applying would do, as far as it can be known before the first write.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// What would happen.
    pub changes: ChangeSet,
    /// Objects whose namespace or kind comes with this very release, so that the server could not be asked yet.
    pub predicted: Vec<ObjectKey>,
    /// What would change inside objects that are there and differ, as the server answers a dry run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<ObjectDiff>,
}

#[cfg(test)]
mod tests {
    use super::super::GroupKind;
    use super::*;

    #[test]
    fn counts_and_words() {
        let mut set = ChangeSet::default();
        let key = ObjectKey::new(GroupKind::new("", "ConfigMap"), "n", "a");
        assert!(set.is_unchanged());
        set.push(key.clone(), Action::Unchanged, None);
        assert!(set.is_unchanged());
        let line = set.push(key, Action::Skipped, Some("kept: holds state".into())).to_string();
        assert_eq!(line, "ConfigMap n/a skipped (kept: holds state)");
        assert!(set.is_unchanged());
        assert_eq!(set.counts().to_string(), "0 created, 0 configured, 1 unchanged, 0 deleted, 1 skipped");
    }
}
