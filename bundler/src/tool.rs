//! Runs the programs of others (`git`, `helm`, `kustomize`) with bounds: what they may print, how long
//! they may take, which environment they see.
//!
//! It must never read the environment of this process (it is handed in), go through a shell, or let a
//! program wait for an answer at the keyboard.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use consign_format::error::{Code, Coded, codes};

/// The environment that programs are looked up and run in, as the caller's `main` found it.
#[derive(Debug, Clone, Default)]
pub struct Environment {
    variables: BTreeMap<OsString, OsString>,
}

impl Environment {
    /// Takes the variables as `std::env::vars_os` gives them.
    pub fn new(variables: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        Environment { variables: variables.into_iter().collect() }
    }

    /// Returns the value of a variable.
    pub fn get(&self, name: &str) -> Option<&OsStr> {
        self.variables.get(OsStr::new(name)).map(OsString::as_os_str)
    }

    /// Returns all variables, by name.
    pub fn variables(&self) -> impl Iterator<Item = (&OsStr, &OsStr)> {
        self.variables.iter().map(|(name, value)| (name.as_os_str(), value.as_os_str()))
    }

    /// Looks a program up in `PATH`. Relative entries of `PATH` are skipped: what runs must not depend on
    /// the folder the build was started in.
    pub fn find(&self, program: &str) -> Option<PathBuf> {
        let path = self.get("PATH")?;
        std::env::split_paths(path)
            .filter(|folder| folder.is_absolute())
            .map(|folder| folder.join(program))
            .find(|candidate| is_executable(candidate))
    }
}

#[cfg(unix)]
fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

#[cfg(not(unix))]
fn is_executable(path: &Path) -> bool {
    path.is_file()
}

/// What a program may use up before it is stopped.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Most bytes taken from standard output; more is an error, never a cut.
    pub output: u64,
    /// Longest run.
    pub time: Duration,
}

/// Standard error is for people; this much of it is kept.
const STDERR_KEPT: u64 = 64 * 1024;

/// Why a program gave nothing that can be used.
#[derive(Debug, thiserror::Error)]
pub enum ToolError {
    /// The program is not in `PATH`.
    #[error("`{program}` is not installed, or not in PATH")]
    Missing {
        /// The program's name.
        program: &'static str,
        /// How to get it, in one sentence.
        remedy: &'static str,
    },
    /// The program could not be started or read from.
    #[error("`{program}` could not be run")]
    Run {
        /// The program's name.
        program: String,
        /// What the operating system said.
        source: io::Error,
    },
    /// The program ended with another status than 0.
    #[error("`{command}` failed ({status})")]
    Failed {
        /// Program and first arguments.
        command: String,
        /// The exit status.
        status: ExitStatus,
        /// What it wrote to standard error.
        source: Said,
    },
    /// The program wrote more than is taken.
    #[error("`{command}` wrote more than {limit} bytes")]
    TooMuch {
        /// Program and first arguments.
        command: String,
        /// The bound.
        limit: u64,
    },
    /// The program took longer than allowed.
    #[error("`{command}` did not end within {seconds} s")]
    TooLong {
        /// Program and first arguments.
        command: String,
        /// The bound in seconds.
        seconds: u64,
    },
}

/// What a program wrote to standard error.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Said(pub String);

impl Coded for ToolError {
    fn code(&self) -> Code {
        match self {
            ToolError::Missing { .. } => codes::TOOL_MISSING,
            ToolError::Run { .. } | ToolError::Failed { .. } => codes::TOOL_FAILED,
            ToolError::TooMuch { .. } | ToolError::TooLong { .. } => codes::TOOL_OVER_LIMIT,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            ToolError::Missing { remedy, .. } => Some((*remedy).to_owned()),
            _ => None,
        }
    }
}

/// What a program that ended well has written.
#[derive(Debug)]
pub struct Output {
    /// Standard output, whole.
    pub stdout: Vec<u8>,
    /// The start of standard error.
    pub stderr: String,
}

/// Runs a prepared command to its end, with standard input closed.
///
/// # Errors
/// [`ToolError`], with the start of standard error as its cause where the program itself failed.
pub fn run(command: &mut Command, bounds: Bounds) -> Result<Output, ToolError> {
    let (status, output) = run_any(command, bounds)?;
    if status.success() {
        return Ok(output);
    }
    Err(ToolError::Failed { command: name(command), status, source: Said(tidy(&output.stderr)) })
}

/// Runs a prepared command to its end and leaves it to the caller to judge the exit status.
///
/// # Errors
/// As [`run`], without [`ToolError::Failed`].
pub fn run_any(command: &mut Command, bounds: Bounds) -> Result<(ExitStatus, Output), ToolError> {
    converse(command, None, bounds)
}

/// Runs a prepared command to its end, with `input` on its standard input.
///
/// # Errors
/// As [`run`]. A program that does not read all of it is none of our business.
pub fn run_with_input(command: &mut Command, input: Vec<u8>, bounds: Bounds) -> Result<Output, ToolError> {
    let (status, output) = converse(command, Some(input), bounds)?;
    if status.success() {
        return Ok(output);
    }
    Err(ToolError::Failed { command: name(command), status, source: Said(tidy(&output.stderr)) })
}

fn converse(command: &mut Command, input: Option<Vec<u8>>, bounds: Bounds) -> Result<(ExitStatus, Output), ToolError> {
    let label = name(command);
    let refuse = |source| ToolError::Run { program: label.clone(), source };
    let stdin = if input.is_some() { Stdio::piped() } else { Stdio::null() };
    let spawned = command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = spawned.map_err(refuse)?;
    if let (Some(mut pipe), Some(input)) = (child.stdin.take(), input) {
        // On its own thread: a program may write before it has read.
        thread::spawn(move || pipe.write_all(&input));
    }
    let stdout = drain(child.stdout.take(), bounds.output);
    let stderr = drain(child.stderr.take(), STDERR_KEPT);
    let deadline = Instant::now() + bounds.time;
    let too_long = || ToolError::TooLong { command: label.clone(), seconds: bounds.time.as_secs() };
    let Some(stdout) = received(&stdout, deadline) else {
        stop(&mut child);
        return Err(too_long());
    };
    let (stdout, whole) = stdout.map_err(refuse)?;
    if !whole {
        stop(&mut child);
        return Err(ToolError::TooMuch { command: label.clone(), limit: bounds.output });
    }
    let Some(stderr) = received(&stderr, deadline) else {
        stop(&mut child);
        return Err(too_long());
    };
    let (stderr, _) = stderr.map_err(refuse)?;
    let status = wait(&mut child, deadline).map_err(refuse)?.ok_or_else(too_long)?;
    Ok((status, Output { stdout, stderr: String::from_utf8_lossy(&stderr).into_owned() }))
}

type Drained = io::Result<(Vec<u8>, bool)>;

/// Reads a pipe on its own thread: at most `limit` bytes are kept, and whether that was all. Standard error
/// is read on to its end, so that a talkative program does not stall.
fn drain(pipe: Option<impl Read + Send + 'static>, limit: u64) -> Receiver<Drained> {
    let (send, receive) = channel();
    thread::spawn(move || {
        let read = || -> Drained {
            let Some(mut pipe) = pipe else { return Ok((Vec::new(), true)) };
            let mut kept = Vec::new();
            pipe.by_ref().take(limit).read_to_end(&mut kept)?;
            let mut one = [0; 1];
            let whole = pipe.read(&mut one)? == 0;
            if !whole && limit == STDERR_KEPT {
                io::copy(&mut pipe, &mut io::sink())?;
            }
            Ok((kept, whole))
        };
        // The receiver is gone only after a bound was hit; then nobody wants the answer.
        let _ = send.send(read());
    });
    receive
}

fn received(pipe: &Receiver<Drained>, deadline: Instant) -> Option<Drained> {
    match pipe.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
        Ok(drained) => Some(drained),
        Err(RecvTimeoutError::Timeout) => None,
        Err(RecvTimeoutError::Disconnected) => Some(Ok((Vec::new(), true))),
    }
}

/// Waits for a program that has closed its output; that is short, so a plain poll does.
fn wait(child: &mut Child, deadline: Instant) -> io::Result<Option<ExitStatus>> {
    let mut pause = Duration::from_micros(200);
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if Instant::now() >= deadline {
            stop(child);
            return Ok(None);
        }
        thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(20));
    }
}

fn stop(child: &mut Child) {
    // Both fail only if the program has ended by itself meanwhile.
    let _ = child.kill();
    let _ = child.wait();
}

/// Names a command for a message: program and the first word that is not an option.
fn name(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or(command.get_program());
    let mut words = vec![program.to_string_lossy().into_owned()];
    let mut arguments = command.get_args().map(OsStr::to_string_lossy).peekable();
    while let Some(argument) = arguments.next() {
        match argument.as_ref() {
            // `git -C DIR` and `git -c NAME=VALUE` say nothing to the reader.
            "-C" | "-c" => drop(arguments.next()),
            "--" => {
                // Run through `unshare`: the program behind it is the one to name.
                let program = arguments.next().unwrap_or_default();
                words = vec![program.rsplit('/').next().unwrap_or_default().to_owned()];
            }
            option if option.starts_with('-') => {}
            word => {
                words.push(word.to_owned());
                break;
            }
        }
    }
    words.join(" ")
}

/// What a program said, without `Error:` in front, empty lines, and Helm's advice to debug.
fn tidy(stderr: &str) -> String {
    let lines =
        stderr.lines().map(str::trim_end).filter(|line| !line.is_empty() && !line.starts_with("Use --debug flag"));
    let text = lines.collect::<Vec<_>>().join("\n");
    let text = text.strip_prefix("Error: ").or_else(|| text.strip_prefix("fatal: ")).unwrap_or(&text);
    if text.is_empty() { "it said nothing".to_owned() } else { text.trim_end_matches('.').to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bounds() -> Bounds {
        Bounds { output: 1000, time: Duration::from_secs(20) }
    }

    fn shell(script: &str) -> Command {
        let mut command = Command::new("/bin/sh");
        command.arg("-c").arg(script);
        command
    }

    #[test]
    fn output_comes_back_whole() {
        let output = run(&mut shell("echo out; echo err >&2"), bounds()).unwrap();
        assert_eq!((output.stdout.as_slice(), output.stderr.as_str()), (b"out\n".as_slice(), "err\n"));
    }

    #[test]
    fn a_failure_says_what_the_program_said() {
        let error = run(&mut shell("echo bad luck. >&2; exit 3"), bounds()).unwrap_err();
        assert_eq!(error.code(), codes::TOOL_FAILED);
        assert_eq!(std::error::Error::source(&error).unwrap().to_string(), "bad luck");
    }

    #[test]
    fn more_output_than_allowed_is_an_error_and_not_a_cut() {
        let error = run(&mut shell("yes"), bounds()).unwrap_err();
        assert!(matches!(error, ToolError::TooMuch { limit: 1000, .. }), "{error}");
        assert_eq!(run(&mut shell("head -c 1000 /dev/zero"), bounds()).unwrap().stdout.len(), 1000);
    }

    #[test]
    fn a_program_that_hangs_is_stopped() {
        let short = Bounds { time: Duration::from_millis(50), ..bounds() };
        for script in ["exec sleep 60", "exec >&- 2>&-; exec sleep 60"] {
            let error = run(&mut shell(script), short).unwrap_err();
            assert!(matches!(error, ToolError::TooLong { .. }), "{error}");
        }
    }

    #[test]
    fn a_flood_on_standard_error_does_not_stall() {
        let output = run(&mut shell("head -c 300000 /dev/zero >&2; echo done"), bounds()).unwrap();
        assert_eq!(output.stdout, b"done\n");
        assert_eq!(output.stderr.len() as u64, STDERR_KEPT);
    }

    #[test]
    fn commands_are_named_for_people() {
        let mut git = Command::new("/usr/bin/git");
        git.args(["-c", "a=b", "-C", "/x", "fetch", "--depth=1", "url"]);
        assert_eq!(name(&git), "git fetch");
        let mut helm = Command::new("/usr/bin/unshare");
        helm.args(["-n", "--", "/opt/helm", "template", "x"]);
        assert_eq!(name(&helm), "helm template");
    }

    #[test]
    fn programs_are_found_in_absolute_folders_of_path_only() {
        let environment = Environment::new([("PATH".into(), "bin:/nowhere:/bin".into())]);
        assert_eq!(environment.find("sh"), Some(PathBuf::from("/bin/sh")));
        assert_eq!(environment.find("no-such-program"), None);
    }
}
