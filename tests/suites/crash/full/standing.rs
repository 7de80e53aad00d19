//! A run that stands still right after a line of its journal is on the disk, so that something can be done to the disk
//! that it stands on; then it goes on. strace stops it, so no clock is in it.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use consign_tests::command::{Invocation, Outcome};
use consign_tests::images::run;
use tempfile::NamedTempFile;

/// How often it is looked whether it stands.
const LOOK: Duration = Duration::from_millis(2);

/// A run that stands still.
pub(crate) struct Standing {
    program: Invocation,
    child: Child,
    pid: String,
}

impl Standing {
    /// Starts a program and waits until it stands, after the nth line of a journal; `Err` if it ended before.
    pub(crate) fn start(program: Invocation, file: &Path, n: usize) -> Result<Self, Outcome> {
        let trace = NamedTempFile::new().unwrap();
        let traced = program.under(["strace", "-qq", "-o"]).under([trace.path()]);
        let traced = traced.under(["-e", "trace=fdatasync", "-P"]).under([file]);
        let program = traced.under(["-e", &format!("inject=fdatasync:signal=SIGSTOP:when={n}")]);
        let mut child = program.command().stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        while !fs::read_to_string(trace.path()).unwrap().contains("stopped by SIGSTOP") {
            if child.try_wait().unwrap().is_some() {
                return Err(program.ended(&child.wait_with_output().unwrap()));
            }
            std::thread::sleep(LOOK);
        }
        let tracer = child.id();
        let children = fs::read_to_string(format!("/proc/{tracer}/task/{tracer}/children")).unwrap();
        let is_ours = |pid: &&str| {
            let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            name.trim() == "consign-site"
        };
        let pid = children.split_whitespace().find(is_ours).expect("strace's own child stands").to_owned();
        Ok(Self { program, child, pid })
    }

    /// Lets it go on, to its end.
    pub(crate) fn go_on(self) -> Outcome {
        run(Command::new("kill").args(["-CONT", &self.pid]));
        self.program.ended(&self.child.wait_with_output().unwrap())
    }
}
