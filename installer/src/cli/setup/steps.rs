//! What a set-up says: each step when it is done, and all of them as one document.

use consign_terminal::Terminal;
use serde::Serialize;

/// What became of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum State {
    /// It was done now; in a rehearsal, it would be.
    Done,
    /// It was done before.
    Found,
    /// It does not apply here.
    Skipped,
    /// A person has to do it.
    ToDo,
}

#[derive(Debug, Serialize)]
struct Step {
    step: &'static str,
    state: State,
    what: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    dry_run: bool,
    steps: Vec<Step>,
    next: &'static str,
}

/// The steps so far.
pub(super) struct Steps<'a> {
    terminal: &'a Terminal,
    pub(super) dry_run: bool,
    steps: Vec<Step>,
}

impl<'a> Steps<'a> {
    pub(super) fn new(terminal: &'a Terminal, dry_run: bool) -> Self {
        Steps { terminal, dry_run, steps: Vec::new() }
    }

    /// Says a step. What follows its first line is indented under it.
    pub(super) fn tell(&mut self, step: &'static str, state: State, what: impl Into<String>) {
        let what = what.into();
        let word = match state {
            State::Done if self.dry_run => "would do",
            State::Done => "done",
            State::Found => "found",
            State::Skipped => "skipped",
            State::ToDo => "to do",
        };
        self.terminal.say(format!("{word:<8}  {step:<10}  {}", what.replace('\n', "\n                      ")));
        self.steps.push(Step { step, state, what });
    }

    /// Ends it.
    pub(super) fn finish(self, next: &'static str) {
        let document = Document { dry_run: self.dry_run, steps: self.steps, next };
        let human = if self.dry_run { "nothing was changed".to_owned() } else { format!("\nset up; next: {next}") };
        self.terminal.result(&document, human);
    }
}
