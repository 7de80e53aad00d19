//! One program run by a chore: said before it starts, its failure passed on.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, ErrorKind};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Why a chore ends early.
#[derive(Debug)]
pub(crate) struct Failed {
    /// What to tell.
    pub(crate) message: String,
    /// The exit code of the chore.
    pub(crate) exit: u8,
}

impl Failed {
    pub(crate) fn new(message: impl Into<String>) -> Failed {
        Failed { message: message.into(), exit: 1 }
    }

    pub(crate) fn usage(message: &str) -> Failed {
        Failed { message: message.to_owned(), exit: 2 }
    }
}

/// A program with its arguments, run in the root of the workspace.
pub(crate) struct Step {
    command: Command,
}

impl Step {
    pub(crate) fn new<S: AsRef<OsStr>>(program: impl AsRef<OsStr>, arguments: impl IntoIterator<Item = S>) -> Step {
        let mut command = Command::new(program);
        command.args(arguments).current_dir(root());
        Step { command }
    }

    /// The same cargo that runs this chore.
    pub(crate) fn cargo<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Step {
        Step::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()), arguments)
    }

    pub(crate) fn and_args<S: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = S>) -> Step {
        self.command.args(arguments);
        self
    }

    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Step {
        self.command.env(name, value);
        self
    }

    pub(crate) fn within(mut self, folder: &Path) -> Step {
        self.command.current_dir(folder);
        self
    }

    /// Runs it on this terminal.
    pub(crate) fn run(mut self) -> Result<(), Failed> {
        let said = self.say();
        let status = self.command.status().map_err(|error| cannot_run(&said, &error))?;
        if status.success() { Ok(()) } else { Err(Failed::new(format!("`{said}` failed ({status})"))) }
    }

    /// Runs it and gives every line of its standard output to `each`, as it comes; whether it succeeded.
    pub(crate) fn lines(mut self, mut each: impl FnMut(&str)) -> Result<bool, Failed> {
        let said = self.say();
        let mut child = self.command.stdout(Stdio::piped()).spawn().map_err(|error| cannot_run(&said, &error))?;
        if let Some(output) = child.stdout.take() {
            let mut output = BufReader::new(output);
            let mut line = Vec::new();
            // Bytes, not text: a test may print anything.
            while output.read_until(b'\n', &mut line).map_err(|error| cannot_run(&said, &error))? > 0 {
                each(String::from_utf8_lossy(&line).trim_end());
                line.clear();
            }
        }
        Ok(child.wait().map_err(|error| cannot_run(&said, &error))?.success())
    }

    /// Runs it silently; its standard output if it succeeded.
    pub(crate) fn output(mut self) -> Option<String> {
        let output = self.command.stdin(Stdio::null()).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
    }

    fn say(&self) -> String {
        let program = Path::new(self.command.get_program()).file_name().unwrap_or_default().to_string_lossy();
        let mut said = program.into_owned();
        for argument in self.command.get_args() {
            said.push(' ');
            said.push_str(&argument.to_string_lossy());
        }
        println!("==> {said}");
        said
    }
}

fn cannot_run(said: &str, error: &std::io::Error) -> Failed {
    match error.kind() {
        ErrorKind::NotFound => Failed::new(format!("`{said}`: there is no such program on this machine")),
        _ => Failed::new(format!("`{said}`: {error}")),
    }
}

/// The root of the workspace.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."))
}

/// Where cargo builds, whoever moved it.
pub(crate) fn target() -> PathBuf {
    let described = Step::cargo(["metadata", "--format-version", "1", "--no-deps"]).output();
    described
        .and_then(|text| serde_json::from_str::<serde_json::Value>(&text).ok())
        .and_then(|metadata| metadata["target_directory"].as_str().map(PathBuf::from))
        .unwrap_or_else(|| root().join("target"))
}
