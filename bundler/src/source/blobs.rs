//! Reads blobs of a repository through one `git cat-file --batch`, and writes them to new files.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

use super::SourceError;
use super::export::{Entry, Mode, TreeError, unsafe_entry};
use super::git::Git;
use crate::tool::ToolError;

/// `git cat-file --batch`: one id in, one blob out.
pub(super) struct Blobs {
    child: Child,
    ask: Option<ChildStdin>,
    answer: BufReader<ChildStdout>,
}

impl Blobs {
    pub(super) fn open(git: &Git) -> Result<Self, SourceError> {
        let run = |source| ToolError::Run { program: "git cat-file".to_owned(), source };
        let mut command = git.command();
        command.args(["cat-file", "--batch"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().map_err(run)?;
        let ask = child.stdin.take();
        let answer = child.stdout.take().ok_or(SourceError::Answer { command: "cat-file --batch" })?;
        Ok(Blobs { child, ask, answer: BufReader::with_capacity(1 << 16, answer) })
    }

    /// Asks for a blob; its content follows on the answer, then a line feed.
    fn request(&mut self, entry: &Entry) -> Result<(), SourceError> {
        let answer = || SourceError::Answer { command: "cat-file --batch" };
        let ask = self.ask.as_mut().ok_or_else(answer)?;
        writeln!(ask, "{}", entry.id).and_then(|()| ask.flush())?;
        let mut line = String::new();
        self.answer.by_ref().take(256).read_line(&mut line)?;
        let expected = format!("{} blob {}\n", entry.id, entry.size);
        if line == expected {
            return Ok(());
        }
        // Git says so when it may not fetch what a partial clone left behind.
        let absent = line == format!("{} missing\n", entry.id) || line.is_empty();
        Err(if absent { TreeError::Absent { path: entry.path.clone() }.into() } else { answer() })
    }

    fn finish(&mut self) -> Result<(), SourceError> {
        let mut end = [0; 1];
        self.answer.read_exact(&mut end)?;
        if end == [b'\n'] { Ok(()) } else { Err(SourceError::Answer { command: "cat-file --batch" }) }
    }

    /// Reads a link's target.
    pub(super) fn small(&mut self, entry: &Entry) -> Result<Vec<u8>, SourceError> {
        // PATH_MAX; no longer link can be made.
        if entry.size > 4096 {
            return Err(unsafe_entry(&entry.path, "it is a link with a target longer than 4096 bytes").into());
        }
        self.request(entry)?;
        let mut bytes = Vec::new();
        self.answer.by_ref().take(entry.size).read_to_end(&mut bytes)?;
        self.finish()?;
        Ok(bytes)
    }

    /// Writes a blob to a new file and tells whether it is a Git LFS pointer.
    pub(super) fn write(&mut self, entry: &Entry, path: &Path) -> Result<bool, SourceError> {
        let refuse = |source| TreeError::Write { path: entry.path.clone(), source };
        self.request(entry)?;
        let mut file = create(path, entry.mode == Mode::Executable).map_err(refuse)?;
        let mut head = Vec::new();
        self.answer.by_ref().take(entry.size.min(1024)).read_to_end(&mut head)?;
        file.write_all(&head).map_err(refuse)?;
        let rest = entry.size - head.len() as u64;
        let copied = io::copy(&mut self.answer.by_ref().take(rest), &mut file).map_err(refuse)?;
        if copied != rest {
            return Err(SourceError::Answer { command: "cat-file --batch" });
        }
        self.finish()?;
        Ok(entry.size <= 1024 && head.starts_with(LFS))
    }

    pub(super) fn close(mut self) -> Result<(), SourceError> {
        drop(self.ask.take());
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Blobs {
    fn drop(&mut self) {
        // After an error the process waits for a reader; after `close` it has ended and this does nothing.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The first line of a pointer (git-lfs docs/spec.md; always below 1024 bytes).
const LFS: &[u8] = b"version https://git-lfs.github.com/spec/v1\n";

/// Makes a new file with its folders; whatever is there already was not made by this tree.
fn create(path: &Path, executable: bool) -> io::Result<File> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    let file = OpenOptions::new().write(true).create_new(true).open(path)?;
    set_mode(&file, executable)?;
    Ok(file)
}

#[cfg(unix)]
fn set_mode(file: &File, executable: bool) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    // Not the umask's affair: the same commit looks the same everywhere.
    file.set_permissions(fs::Permissions::from_mode(if executable { 0o755 } else { 0o644 }))
}

#[cfg(not(unix))]
fn set_mode(_: &File, _: bool) -> io::Result<()> {
    Ok(())
}
