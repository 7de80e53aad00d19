//! Runs a program of the node, with an end: a pull that hangs is a finding, and no reason to hang.

use std::ffi::OsString;
use std::io::{Read, Seek, SeekFrom};
use std::process::{Command, Stdio};
use std::time::Duration;

/// How long one pull may take.
const PATIENCE: Duration = Duration::from_secs(180);
const PAUSE: Duration = Duration::from_millis(50);

/// Proxies of whoever runs the check are not those of the runtime.
const PROXIES: [&str; 6] = ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"];

/// A program with its arguments and what it finds in the environment.
#[derive(Debug, Clone)]
pub(super) struct Call {
    pub(super) words: Vec<OsString>,
    pub(super) environment: Vec<(&'static str, OsString)>,
}

impl Call {
    pub(super) fn of<W: Into<OsString>>(words: impl IntoIterator<Item = W>) -> Self {
        Call { words: words.into_iter().map(Into::into).collect(), environment: vec![] }
    }

    /// Runs it; an error is what it said at the end.
    pub(super) fn run(&self) -> Result<(), String> {
        let mut said = tempfile::tempfile().map_err(|error| error.to_string())?;
        let Some((program, arguments)) = self.words.split_first() else { return Ok(()) };
        let errors = said.try_clone().map_err(|error| error.to_string())?;
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(errors);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        for name in PROXIES {
            command.env_remove(name);
        }
        let mut child = command.spawn().map_err(|error| format!("{}: {error}", program.display()))?;
        let mut waited = Duration::ZERO;
        let status = loop {
            match child.try_wait().map_err(|error| error.to_string())? {
                Some(status) => break status,
                None if waited >= PATIENCE => {
                    let _ = child.kill();
                    let _ = child.wait();
                    return Err(format!("{} did not end in {} seconds", program.display(), PATIENCE.as_secs()));
                }
                None => std::thread::sleep(PAUSE),
            }
            waited += PAUSE;
        };
        if status.success() {
            return Ok(());
        }
        let mut text = Vec::new();
        let _ = said.seek(SeekFrom::Start(0)).and_then(|_| said.read_to_end(&mut text));
        let text = String::from_utf8_lossy(&text).into_owned();
        Err(text.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("it failed and said nothing").to_owned())
    }
}

/// What a program prints; `None` where it is not there or fails.
pub(super) fn said(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}
