//! One process of the control plane, that ends when its owner does.
//!
//! The owner kills it when dropped. Should the owner itself be killed, or exit with a cluster in a static, its end of
//! the component's standard input closes, and the component, which watches for that, removes the folder and ends.
//! Each has a process group of its own, so a Ctrl-C in the terminal reaches the owner only.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A running component. Its standard input stays open, unused, as long as this lives.
pub(super) struct Component {
    name: &'static str,
    child: Child,
    log: PathBuf,
}

impl Component {
    /// Runs `BINARY NAME ARGUMENTS…` in `folder`, its output in `NAME.log` there.
    pub(super) fn start(binary: &Path, name: &'static str, arguments: &[String], folder: &Path, keep: bool) -> Self {
        let log = folder.join(format!("{name}.log"));
        let out = File::create(&log).expect("a log file in our own folder");
        let err = out.try_clone().expect("a second handle of the log");
        let child = Command::new(binary)
            .arg(name)
            .args(arguments)
            .current_dir(folder)
            .env("CONSIGN_CLUSTER_OWNED", if keep { Path::new("") } else { folder })
            .stdin(Stdio::piped())
            .stdout(out)
            .stderr(err)
            .process_group(0)
            .spawn()
            .unwrap_or_else(|error| panic!("cannot run {} {name}: {error}", binary.display()));
        Self { name, child, log }
    }

    /// What it is.
    pub(super) fn name(&self) -> &'static str {
        self.name
    }

    /// How it ended, if it did: none is meant to before it is killed.
    pub(super) fn ended(&mut self) -> Option<String> {
        match self.child.try_wait() {
            Ok(None) => None,
            Ok(Some(status)) => Some(format!("{} ended: {status}", self.name)),
            Err(error) => Some(format!("{} cannot be waited for: {error}", self.name)),
        }
    }

    /// Ends it at once: there is no state worth an orderly end.
    pub(super) fn kill(&mut self) {
        // Both fail only if it has ended already and been waited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// The last `lines` of its log, under a heading.
    pub(super) fn tail(&self, lines: usize) -> String {
        let bytes = fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        let all: Vec<&str> = text.lines().collect();
        let last = all[all.len().saturating_sub(lines)..].join("\n");
        format!("--- {} ({})\n{last}\n", self.name, self.log.display())
    }
}

impl Drop for Component {
    fn drop(&mut self) {
        self.kill();
    }
}
