//! What `nodes write` and `nodes remove` say: file by file, what is to be restarted, what a person has to do.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Serialize;

use crate::nodes::change::{Action, Change, FileChange};
use crate::nodes::{Advice, Place, WantedFile};

/// The document of `nodes write --json` and `nodes remove --json`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Outcome {
    /// Whether the disk is another than before.
    changed: bool,
    /// Whether this was only a rehearsal.
    dry_run: bool,
    files: Vec<FileChange>,
    /// What would be in them, by path; of a rehearsal alone.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    contents: BTreeMap<String, String>,
    /// What has to be run before the runtimes go by it.
    restart_needed: Vec<String>,
    /// What was run.
    restarted: Vec<String>,
    advice: Vec<Advice>,
    #[serde(skip)]
    modes: BTreeMap<String, u32>,
}

impl Outcome {
    pub(super) fn of(place: &Place, change: &Change, advice: Vec<Advice>) -> Self {
        let shown =
            |file: &FileChange| FileChange { path: place.name(&file.path).display().to_string(), ..file.clone() };
        Outcome {
            changed: !change.is_nothing(),
            dry_run: false,
            files: change.files().map(shown).collect(),
            contents: BTreeMap::new(),
            restart_needed: crate::nodes::restart::needed(&change.restarts()),
            restarted: Vec::new(),
            advice,
            modes: BTreeMap::new(),
        }
    }

    /// Makes a rehearsal of it.
    pub(super) fn show_contents(&mut self, place: &Place, files: &[WantedFile]) {
        let name = |file: &WantedFile| place.name(&file.path).display().to_string();
        self.contents = files.iter().map(|file| (name(file), file.content.clone())).collect();
        self.modes = files.iter().map(|file| (name(file), file.mode)).collect();
        self.rehearse();
    }

    /// Says that nothing was done.
    pub(super) fn rehearse(&mut self) {
        self.dry_run = true;
        self.changed = false;
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut lines: Vec<String> = Vec::new();
        if !self.dry_run && !self.changed {
            lines.push("nothing to change".to_owned());
        }
        if self.changed && self.files.iter().all(|file| file.action == Action::Unchanged) {
            lines.push("finished what an earlier run left".to_owned());
        }
        for file in &self.files {
            match self.contents.get(&file.path) {
                // As comments, so that manifests among them can be piped on as they are.
                Some(content) => {
                    let mode = self.modes.get(&file.path).copied().unwrap_or_default();
                    lines.push(format!("# ---- {} (mode {mode:04o}, {})", file.path, word(file.action, true)));
                    lines.push(content.trim_end().to_owned());
                }
                None if file.action != Action::Unchanged => {
                    lines.push(format!("{:<9}  {}", word(file.action, self.dry_run), file.path));
                }
                None => {}
            }
        }
        let note =
            |text: String| if self.contents.is_empty() { text } else { format!("# {}", text.replace('\n', "\n# ")) };
        lines.extend(self.restarted.iter().map(|command| note(format!("ran        {command}"))));
        lines.extend(
            self.restart_needed
                .iter()
                .map(|command| note(format!("to do      {command}   (or run again with --restart)"))),
        );
        for advice in &self.advice {
            let word = if advice.needed { "to do    " } else { "note     " };
            lines.push(note(format!("{word}  {}: {}\n           {}", advice.runtime, advice.message, advice.fix)));
        }
        f.write_str(&lines.join("\n"))
    }
}

fn word(action: Action, rehearsal: bool) -> &'static str {
    match (action, rehearsal) {
        (Action::Written, false) => "wrote",
        (Action::Replaced, false) => "replaced",
        (Action::Removed, false) => "removed",
        (Action::Restored, false) => "restored",
        (Action::Written, true) => "to write",
        (Action::Replaced, true) => "to replace",
        (Action::Removed, true) => "to remove",
        (Action::Restored, true) => "to restore",
        (Action::Unchanged, _) => "unchanged",
    }
}

/// `--restart`, for `write` and `remove` alike.
pub(super) mod restart {
    use super::{BTreeSet, Outcome, Place};
    use crate::nodes::{NodesError, Runtime, restart};

    /// Refuses it where the services of the machine are not those of the folder, before anything is written.
    pub(in crate::cli::nodes) fn allowed(place: &Place, asked: bool) -> Result<(), NodesError> {
        if asked && !place.is_machine() { Err(NodesError::RestartElsewhere) } else { Ok(()) }
    }

    /// Restarts what needs it, if that was asked for, and says so.
    pub(in crate::cli::nodes) fn run(
        place: &Place,
        runtimes: &BTreeSet<Runtime>,
        asked: bool,
        outcome: &mut Outcome,
    ) -> Result<(), NodesError> {
        if asked {
            outcome.restarted = restart::run(place, runtimes)?;
            outcome.restart_needed.clear();
        }
        Ok(())
    }
}
