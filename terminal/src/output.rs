//! The one object through which a main speaks: human text or JSON, colour or not, bars or lines.
//!
//! Results go to standard output, everything about the run (progress, warnings, errors) to standard error.
//! With `--json` standard output carries exactly one document: the result, or the error.

use std::fmt::Display;
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use consign_format::error::{Code, Coded, Exit, Failure, codes};
use serde::Serialize;

use crate::progress::{Bars, Lines, Progress, Silent};
use crate::report::{Style, escape_controls, report, report_in_colour, report_json};

/// A wrong use that only the program can notice, not the argument parser. Ends in exit code 2.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Usage {
    /// What cannot be meant: no capital first letter, no final period.
    pub message: String,
    /// What to type instead.
    pub hint: Option<String>,
}

impl Display for Usage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}
impl std::error::Error for Usage {}
impl Coded for Usage {
    fn code(&self) -> Code {
        codes::USAGE
    }
    fn hint(&self) -> Option<String> {
        self.hint.clone()
    }
}

/// Where one run speaks to. A main creates one; libraries get [`Terminal::progress`] at most.
pub struct Terminal {
    json: bool,
    colour: bool,
    out: Mutex<Out>,
    err: Mutex<Box<dyn Write + Send>>,
    show: Show,
    /// The one document has been printed, and the error of the run is part of it.
    told: AtomicBool,
}

struct Out {
    to: Box<dyn Write + Send>,
    /// The first error that is more than a reader who has gone away.
    failed: Option<io::Error>,
}

enum Show {
    Silent(Silent),
    Lines(Lines),
    Bars(Bars),
}

impl Terminal {
    /// Speaks to this process's standard output and error.
    ///
    /// Bars and colour appear only where standard error is a terminal; `NO_COLOR` (no-color.org) and
    /// `TERM=dumb` switch colour off. With `json`, or `quiet`, no progress is shown.
    pub fn detect(json: bool, quiet: bool) -> Terminal {
        let interactive = io::stderr().is_terminal();
        let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|value| value == "dumb");
        let show = match (json || quiet, interactive && !dumb) {
            (true, _) => Show::Silent(Silent),
            (false, true) => Show::Bars(Bars::new()),
            (false, false) => Show::Lines(Lines::new(Box::new(io::stderr()))),
        };
        Terminal {
            json,
            colour: interactive && !dumb && !set("NO_COLOR"),
            out: Mutex::new(Out { to: Box::new(io::stdout()), failed: None }),
            err: Mutex::new(Box::new(io::stderr())),
            show,
            told: AtomicBool::new(false),
        }
    }

    /// Speaks to the given writers, without colour and without progress; for tests.
    pub fn to_writers(json: bool, out: Box<dyn Write + Send>, err: Box<dyn Write + Send>) -> Terminal {
        Terminal {
            json,
            colour: false,
            out: Mutex::new(Out { to: out, failed: None }),
            err: Mutex::new(err),
            show: Show::Silent(Silent),
            told: AtomicBool::new(false),
        }
    }

    /// Whether the answer is to be one JSON document.
    pub fn is_json(&self) -> bool {
        self.json
    }

    /// Where the libraries report progress.
    pub fn progress(&self) -> &dyn Progress {
        match &self.show {
            Show::Silent(silent) => silent,
            Show::Lines(lines) => lines,
            Show::Bars(bars) => bars,
        }
    }

    /// Says a line of the human result. With `--json`: nothing.
    pub fn say(&self, line: impl Display) {
        if !self.json {
            self.print(&escape_controls(&line.to_string()));
        }
    }

    /// Gives the result of a command: `human` as text, or with `--json` the document, in one line.
    pub fn result<T: Serialize>(&self, document: &T, human: impl Display) {
        if !self.json {
            return self.say(human);
        }
        match serde_json::to_string(document) {
            Ok(text) => self.print(&text),
            Err(error) => self.note_failure(io::Error::other(error)),
        }
    }

    /// As [`Terminal::result`], for a document that tells the error of the run itself: with `--json` it stays the only
    /// one, whether or not the run ends in an error.
    pub fn verdict<T: Serialize>(&self, document: &T, human: impl Display) {
        self.result(document, human);
        self.told.store(true, Ordering::Relaxed);
    }

    /// Prints a document of another form (XML, a report for some other program), as it is.
    pub fn document(&self, text: &str) {
        self.print(text.trim_end());
    }

    /// Warns on standard error, also with `--json`.
    pub fn warn(&self, text: impl Display) {
        let style = if self.colour { Style::COLOUR } else { Style::PLAIN };
        self.complain(&style.warning(&text.to_string()));
    }

    /// Ends a run: says the error, if there is one, and gives the exit code.
    pub fn finish(&self, result: Result<(), Failure>) -> ExitCode {
        self.progress().done();
        ExitCode::from(match result {
            Ok(()) => self.end_of_output(),
            Err(failure) => {
                if self.json {
                    if !self.told.load(Ordering::Relaxed) {
                        self.result(&report_json(&failure), "");
                    }
                } else if self.colour {
                    self.complain(&report_in_colour(&failure));
                } else {
                    self.complain(&report(&failure));
                }
                failure.code().exit.code()
            }
        })
    }

    /// A result that could not be written in full is a failure, whatever the work did; a reader who left is not.
    fn end_of_output(&self) -> u8 {
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        let flushed = out.to.flush();
        let failed = out.failed.take().or(flushed.err().filter(|error| error.kind() != ErrorKind::BrokenPipe));
        drop(out);
        match failed {
            None => Exit::Done.code(),
            Some(error) => {
                self.complain(&format!("error[{}]: cannot write to standard output: {error}", codes::IO));
                codes::IO.exit.code()
            }
        }
    }

    fn print(&self, text: &str) {
        let written = self.undisturbed(|| {
            let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
            writeln!(out.to, "{text}")
        });
        if let Err(error) = written {
            self.note_failure(error);
        }
    }

    fn note_failure(&self, error: io::Error) {
        if error.kind() != ErrorKind::BrokenPipe {
            self.out.lock().unwrap_or_else(PoisonError::into_inner).failed.get_or_insert(error);
        }
    }

    pub(crate) fn complain(&self, text: &str) {
        self.undisturbed(|| {
            let mut err = self.err.lock().unwrap_or_else(PoisonError::into_inner);
            // Nobody is left to be told that standard error is gone.
            let _ = writeln!(err, "{text}");
        });
    }

    fn undisturbed<T>(&self, print: impl FnOnce() -> T) -> T {
        match &self.show {
            Show::Bars(bars) => bars.suspend(print),
            Show::Silent(_) | Show::Lines(_) => print(),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::sync::Arc;

    /// A writer whose bytes can be read back.
    #[derive(Clone, Default)]
    pub(crate) struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Shared {
        pub(crate) fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }
    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// A writer that refuses with the given kind.
    struct Refuses(ErrorKind);
    impl Write for Refuses {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Err(self.0.into())
        }
    }

    fn terminal(json: bool) -> (Terminal, Shared, Shared) {
        let (out, err) = (Shared::default(), Shared::default());
        (Terminal::to_writers(json, Box::new(out.clone()), Box::new(err.clone())), out, err)
    }

    fn usage() -> Failure {
        Usage { message: "no bundle named".into(), hint: Some("name one".into()) }.into()
    }

    fn code(exit: ExitCode) -> String {
        format!("{exit:?}")
    }

    #[test]
    fn people_get_results_on_one_stream_and_errors_on_the_other() {
        let (terminal, out, err) = terminal(false);
        terminal.result(&1, "one");
        terminal.warn("old");
        assert_eq!(code(terminal.finish(Err(usage()))), code(ExitCode::from(2)));
        assert_eq!(out.text(), "one\n");
        assert_eq!(err.text(), "warning: old\nerror[usage]: no bundle named\nhint: name one\n");
    }

    #[test]
    fn programs_get_one_document() {
        let (done, out, _) = terminal(true);
        done.say("not for programs");
        done.result(&serde_json::json!({"release": "r"}), "for people");
        assert_eq!(code(done.finish(Ok(()))), code(ExitCode::SUCCESS));
        assert_eq!(out.text(), "{\"release\":\"r\"}\n");

        let (failed, out, err) = terminal(true);
        failed.finish(Err(usage()));
        let document: serde_json::Value = serde_json::from_str(&out.text()).unwrap();
        assert_eq!(document["error"]["code"], "usage");
        assert_eq!(err.text(), "");
    }

    #[test]
    fn a_verdict_that_tells_its_error_stays_the_one_document() {
        let (terminal, out, _) = terminal(true);
        terminal.verdict(&serde_json::json!({"verdict": "refused"}), "");
        assert_eq!(code(terminal.finish(Err(usage()))), code(ExitCode::from(2)));
        assert_eq!(out.text(), "{\"verdict\":\"refused\"}\n");
    }

    #[test]
    fn a_reader_who_left_is_no_failure_and_a_full_disk_is() {
        for (kind, exit) in [(ErrorKind::BrokenPipe, 0), (ErrorKind::StorageFull, 1)] {
            let terminal = Terminal::to_writers(false, Box::new(Refuses(kind)), Box::new(Shared::default()));
            terminal.say("a result");
            assert_eq!(code(terminal.finish(Ok(()))), code(ExitCode::from(exit)), "{kind:?}");
        }
    }
}
