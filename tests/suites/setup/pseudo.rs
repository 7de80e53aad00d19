//! A program at a pseudo-terminal of its own, and a person who reads before typing. The terminal is util-linux's
//! `script`: a kernel terminal, so the program sees what it sees at a console.

use std::io::{Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use consign_tests::command::Invocation;

pub(super) struct Pseudo {
    child: Child,
    typed: Option<ChildStdin>,
    shown: ChildStdout,
    said: String,
}

impl Pseudo {
    pub(super) fn start(invocation: &Invocation) -> Self {
        let command = invocation.command();
        let quote = |word: &std::ffi::OsStr| format!("'{}'", word.to_str().unwrap());
        let words: Vec<String> = std::iter::once(command.get_program()).chain(command.get_args()).map(quote).collect();
        let mut script = Command::new("script");
        script.args(["--quiet", "--return", "--flush", "--command", &words.join(" "), "/dev/null"]);
        script.env_clear().env("LANG", "C.UTF-8").env("TERM", "xterm").env("SHELL", "/bin/sh");
        script.env("PATH", consign_tests::command::search_path());
        let mut child = script.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("script runs");
        let (typed, shown) = (child.stdin.take(), child.stdout.take().expect("piped"));
        Self { child, typed, shown, said: String::new() }
    }

    /// Reads until the program has shown this.
    pub(super) fn waits_for(&mut self, part: &str) {
        while !self.said.contains(part) {
            assert!(self.reads(), "it ended and never said `{part}`: {}", self.said);
        }
    }

    pub(super) fn types(&mut self, line: &str) {
        let typed = self.typed.as_mut().expect("still there");
        writeln!(typed, "{line}").expect("the terminal takes it");
    }

    /// Waits for the end: whether it was a good one, and everything that was shown.
    pub(super) fn ends(mut self) -> (bool, String) {
        while self.reads() {}
        drop(self.typed.take());
        let ended = self.child.wait().expect("our own child");
        (ended.success(), self.said.replace('\r', ""))
    }

    fn reads(&mut self) -> bool {
        let mut buffer = [0; 4096];
        let read = self.shown.read(&mut buffer).expect("the terminal shows");
        self.said.push_str(&String::from_utf8_lossy(&buffer[..read]));
        read > 0
    }
}
