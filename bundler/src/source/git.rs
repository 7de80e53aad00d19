//! The `git` command, run so that a repository cannot run anything and nobody is asked anything.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::SourceError;
use super::location::{Location, without_credentials};
use super::references::Chosen;
use crate::tool::{self, Bounds, Environment, Output, Said, ToolError};

/// Variables through which a caller (often a Git hook) would turn Git to another repository, or that change
/// what a commit says. The rest stays: credential helpers, proxies and ssh live there.
const CLEARED: &[&str] = &[
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_COMMON_DIR",
    "GIT_NAMESPACE",
    "GIT_PREFIX",
    "GIT_OBJECT_DIRECTORY",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_SHALLOW_FILE",
    "GIT_REPLACE_REF_BASE",
    "GIT_EXTERNAL_DIFF",
    "GIT_QUARANTINE_PATH",
    "GIT_ATTR_SOURCE",
    "GIT_LITERAL_PATHSPECS",
    "GIT_TRACE",
    "GIT_TRACE_CURL",
];

/// Configuration that a repository must not have its way with.
const CONFIG: &[&str] = &[
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.attributesFile=/dev/null",
    "protocol.ext.allow=never",
    "protocol.allow=user",
    "protocol.https.allow=always",
    "protocol.http.allow=always",
    "protocol.ssh.allow=always",
    "protocol.git.allow=always",
    "protocol.file.allow=always",
    "fetch.recurseSubmodules=false",
    "submodule.recurse=false",
    "maintenance.auto=false",
    "gc.auto=0",
    "core.pager=cat",
    "log.showSignature=false",
    "transfer.fsckObjects=false",
];

/// Answers of Git that are read whole: lists of references and trees.
const ANSWER: Bounds = Bounds { output: 512 << 20, time: Duration::from_secs(120) };
/// Anything that speaks to another machine.
const TRANSFER: Bounds = Bounds { output: 64 << 20, time: Duration::from_secs(3600) };

/// Git over one repository.
#[derive(Debug)]
pub(super) struct Git {
    program: PathBuf,
    environment: Environment,
    folder: PathBuf,
    /// Whether `core.sshCommand`, `GIT_SSH` or `GIT_SSH_COMMAND` already says how ssh is called.
    own_ssh: bool,
}

impl Git {
    fn new(environment: &Environment, folder: &Path) -> Result<Self, ToolError> {
        let missing =
            ToolError::Missing { program: "git", remedy: "install Git 2.34 or newer (Debian: `apt install git`)" };
        let program = environment.find("git").ok_or(missing)?;
        let own_ssh = ["GIT_SSH", "GIT_SSH_COMMAND"].iter().any(|name| environment.get(name).is_some());
        let folder = folder.to_owned();
        Ok(Git { program, environment: environment.clone(), folder, own_ssh })
    }

    /// Opens a repository that is there.
    pub(super) fn in_folder(environment: &Environment, folder: &Path) -> Result<Self, SourceError> {
        let git = Git::new(environment, folder)?;
        git.ask(&["rev-parse", "--git-dir"])
            .map_err(|source| SourceError::Unreachable { location: folder.display().to_string(), source })?;
        Ok(git)
    }

    /// Makes an empty bare repository whose objects are named by `sha1` or `sha256`.
    pub(super) fn bare(environment: &Environment, folder: &Path, names: &str) -> Result<Self, SourceError> {
        std::fs::create_dir_all(folder)?;
        let mut git = Git::new(environment, folder)?;
        git.ask(&["init", "--quiet", "--bare", "--template=", &format!("--object-format={names}")])?;
        git.own_ssh = git.own_ssh || git.configured("core.sshCommand")?.is_some();
        Ok(git)
    }

    /// Looks up a program beside Git.
    pub(super) fn find(&self, program: &str) -> Option<PathBuf> {
        self.environment.find(program)
    }

    /// Prepares a command in the repository.
    pub(super) fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.env_clear().envs(self.environment.variables()).current_dir(&self.folder);
        for name in CLEARED {
            command.env_remove(name);
        }
        command
            .env("LC_ALL", "C")
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_NO_REPLACE_OBJECTS", "1")
            .env("GIT_GRAFT_FILE", "/dev/null")
            .env("GIT_NO_LAZY_FETCH", "1")
            .env("GIT_OPTIONAL_LOCKS", "0")
            .env("GCM_INTERACTIVE", "never");
        if !self.own_ssh {
            command.env("GIT_SSH_COMMAND", "ssh -oBatchMode=yes");
        }
        for setting in CONFIG {
            command.args(["-c", setting]);
        }
        command
    }

    /// Runs a command and returns its answer.
    pub(super) fn ask(&self, arguments: &[&str]) -> Result<Output, ToolError> {
        tool::run(self.command().args(arguments), ANSWER)
    }

    /// Runs a command and returns its answer as one trimmed text, or nothing if it ended with a failure.
    pub(super) fn ask_text(&self, arguments: &[&str]) -> Result<Option<String>, ToolError> {
        let (status, output) = tool::run_any(self.command().args(arguments), ANSWER)?;
        Ok(status.success().then(|| String::from_utf8_lossy(&output.stdout).trim_end().to_owned()))
    }

    /// Returns a configuration value.
    pub(super) fn configured(&self, name: &str) -> Result<Option<String>, ToolError> {
        Ok(self.ask_text(&["config", "--get", "--", name])?.filter(|value| !value.is_empty()))
    }

    /// Returns the folder inside the repository that was named.
    pub(super) fn prefix(&self) -> Result<PathBuf, SourceError> {
        // A bare repository has no working copy to be in.
        Ok(self.ask_text(&["rev-parse", "--show-prefix"])?.map(PathBuf::from).unwrap_or_default())
    }

    /// Returns the references of a repository elsewhere, as `git ls-remote` lists them.
    pub(super) fn list_remote(&self, location: &Location) -> Result<Vec<u8>, SourceError> {
        let Location::Remote { url } = location else { return Err(SourceError::Answer { command: "ls-remote" }) };
        let mut command = self.command();
        command.args(["ls-remote", "--quiet", "--", url]);
        Ok(tool::run(&mut command, TRANSFER).map_err(|error| unreachable(error, url))?.stdout)
    }

    /// Fetches what was chosen, without history where the other side can.
    pub(super) fn fetch(&self, location: &Location, chosen: &Chosen) -> Result<(), SourceError> {
        let Location::Remote { url } = location else { return Ok(()) };
        let wanted = chosen.fetch_name();
        let attempt = |depth: &[&str], specs: &[&str]| {
            let mut command = self.command();
            command.args(["fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--no-auto-gc"]);
            command.args(depth).args(["--", url]).args(specs);
            tool::run(&mut command, TRANSFER)
        };
        let mut result = attempt(&["--depth=1"], &[wanted]);
        if result.is_err() && chosen.is_bare_commit() {
            // A server that gives no commit by its id (uploadpack.allowAnySHA1InWant is off) gives all branches.
            result = attempt(&[], &["+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*"]);
        }
        result.map(drop).map_err(|error| unreachable(error, url))
    }
}

/// Git repeats the URL in its messages; the credentials in it must not get into a log.
fn unreachable(error: ToolError, url: &str) -> SourceError {
    let location = without_credentials(url);
    let source = match error {
        ToolError::Failed { command, status, source } => {
            ToolError::Failed { command, status, source: Said(source.0.replace(url, &location)) }
        }
        other => other,
    };
    SourceError::Unreachable { location, source }
}
