//! Runs the programs as people do, in an environment that has nothing of the machine but the path to tools, and holds
//! them to the code they end with. What fails shows all that was said.

use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::{programs, tools};

/// A command about to be run.
#[derive(Debug)]
pub struct Invocation {
    program: PathBuf,
    /// What stands before the program: `time`, `setpriv`, …
    before: Vec<OsString>,
    arguments: Vec<OsString>,
    folder: Option<PathBuf>,
    environment: Vec<(OsString, OsString)>,
    umask: Option<&'static str>,
}

/// `consign` with arguments.
pub fn consign<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> Invocation {
    Invocation::of(programs::consign(), arguments)
}

/// `consign-site` with arguments.
pub fn consign_site<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> Invocation {
    Invocation::of(programs::consign_site(), arguments)
}

impl Invocation {
    fn of<A: AsRef<OsStr>>(program: PathBuf, arguments: impl IntoIterator<Item = A>) -> Self {
        let arguments = arguments.into_iter().map(|argument| argument.as_ref().to_owned()).collect();
        Self { program, before: Vec::new(), arguments, folder: None, environment: Vec::new(), umask: None }
    }

    /// One more argument.
    #[must_use]
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.arguments.push(argument.as_ref().to_owned());
        self
    }

    /// More arguments.
    #[must_use]
    pub fn args<A: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.arguments.extend(arguments.into_iter().map(|argument| argument.as_ref().to_owned()));
        self
    }

    /// An option and its value.
    #[must_use]
    pub fn option(self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.arg(name).arg(value)
    }

    /// Runs a copy of the program.
    #[must_use]
    pub fn program(mut self, path: &Path) -> Self {
        self.program = path.to_owned();
        self
    }

    /// Runs it in this folder; without, in the test's own.
    #[must_use]
    pub fn in_folder(mut self, folder: &Path) -> Self {
        self.folder = Some(folder.to_owned());
        self
    }

    /// Sets a variable: the environment is empty otherwise, but for `PATH` and `LANG`.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.environment.push((name.into(), value.as_ref().to_owned()));
        self
    }

    /// Sets the umask, in octal.
    #[must_use]
    pub fn umask(mut self, mask: &'static str) -> Self {
        self.umask = Some(mask);
        self
    }

    /// Puts another program before it, with its arguments, such as `time -v`.
    #[must_use]
    pub fn under<A: AsRef<OsStr>>(mut self, program: impl IntoIterator<Item = A>) -> Self {
        self.before.extend(program.into_iter().map(|word| word.as_ref().to_owned()));
        self
    }

    /// The command, for tests that keep it running.
    pub fn command(&self) -> Command {
        let mut words: Vec<OsString> = Vec::new();
        if let Some(mask) = self.umask {
            words.extend(["sh", "-c", "umask \"$0\"; exec \"$@\"", mask].map(OsString::from));
        }
        words.extend(self.before.iter().cloned());
        words.push(self.program.clone().into_os_string());
        words.extend(self.arguments.iter().cloned());
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).env_clear().env("LANG", "C.UTF-8");
        command.env("PATH", search_path());
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        if let Some(folder) = &self.folder {
            command.current_dir(folder);
        }
        command
    }

    /// Runs it to its end, whatever that is.
    ///
    /// # Panics
    /// If it can't be started.
    pub fn run(&self) -> Outcome {
        self.run_telling(|_| {})
    }

    /// Runs it to its end, and tells the number of its process once that has begun.
    ///
    /// # Panics
    /// If it can't be started.
    pub fn run_telling(&self, tell: impl FnOnce(u32)) -> Outcome {
        let mut command = self.command();
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let child = child.unwrap_or_else(|error| panic!("cannot run {command:?}: {error}"));
        tell(child.id());
        self.ended(&child.wait_with_output().expect("our own child"))
    }

    /// How it ended, for tests that started [`Self::command`] themselves.
    pub fn ended(&self, said: &std::process::Output) -> Outcome {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let mut shown = format!("$ {}", self.program.file_name().unwrap_or_default().display());
        for argument in &self.arguments {
            let _ = write!(shown, " {}", argument.display());
        }
        Outcome { shown, exit: said.status.code(), stdout: text(&said.stdout), stderr: text(&said.stderr) }
    }

    /// Runs it; it must end with 0.
    pub fn succeeds(&self) -> Outcome {
        self.exits(0)
    }

    /// Runs it; it must end with this code.
    pub fn exits(&self, code: i32) -> Outcome {
        let outcome = self.run();
        assert_eq!(outcome.exit, Some(code), "expected exit code {code}\n{outcome}");
        outcome
    }

    /// Runs it; it must end with an error of this name and exit code, that says what to do where it should.
    pub fn fails(&self, name: &str, exit: i32) -> Outcome {
        let outcome = self.run();
        let said = outcome.stderr.contains(&format!("error[{name}]"));
        assert!(said && outcome.exit == Some(exit), "expected error[{name}] and exit code {exit}\n{outcome}");
        outcome
    }
}

/// How a program ended, and what it said. It shows itself like a terminal would.
#[derive(Debug, Clone)]
pub struct Outcome {
    shown: String,
    /// The exit code; nothing if a signal ended it.
    pub exit: Option<i32>,
    /// What it printed.
    pub stdout: String,
    /// What it said beside.
    pub stderr: String,
}

impl Outcome {
    /// What it printed, as the one JSON document it must be.
    ///
    /// # Panics
    /// If it is none.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("no JSON: {error}\n{self}"))
    }

    /// Asserts that it said this, on either stream.
    pub fn says(&self, part: &str) -> &Self {
        assert!(self.stdout.contains(part) || self.stderr.contains(part), "nothing said of `{part}`\n{self}");
        self
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let exit = self.exit.map_or("a signal".to_owned(), |code| code.to_string());
        write!(out, "{}\n--- stdout\n{}--- stderr\n{}--- ended with {exit}", self.shown, self.stdout, self.stderr)
    }
}

/// The programs' own folder, our helm and kustomize, then whatever the machine has.
pub fn search_path() -> OsString {
    let tools = tools::search_path().unwrap_or_else(|error| panic!("no tools: {error}"));
    let folders = std::iter::once(programs::folder().to_owned()).chain(std::env::split_paths(&tools));
    std::env::join_paths(folders).expect("folders without a colon")
}
