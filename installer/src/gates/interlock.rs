//! Whether what is driven by this cluster is in use: a file, a Lease, a probe. What cannot be asked counts as in use.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use jiff::Timestamp;
use tokio::io::AsyncReadExt as _;
use tokio::process::Command;

use crate::apply::{Cluster, Lookup};
use crate::config::gates::{InterlockConfig, LeaseName};

/// Of what a file or a probe says no more is read.
const SAID: u64 = 4096;

/// The interlock is taken, or nobody can say that it is not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Taken {
    /// The file is there.
    #[error("{} is there{}", path.display(), after(said))]
    File {
        /// The file.
        path: PathBuf,
        /// Its first line.
        said: String,
    },
    /// Somebody holds the Lease.
    #[error("Lease {lease} is held by {holder}")]
    Lease {
        /// The Lease.
        lease: String,
        /// Who holds it.
        holder: String,
    },
    /// The probe says so.
    #[error("{program} ended with {code}{}", after(said))]
    Probe {
        /// The command.
        program: String,
        /// Its exit code, or the signal that ended it.
        code: String,
        /// The first line of what it printed.
        said: String,
    },
    /// It cannot be asked.
    #[error("{what} cannot be asked, which counts as in use: {why}")]
    Unknown {
        /// The file, the Lease or the command.
        what: String,
        /// Why.
        why: String,
    },
}

fn after(said: &str) -> String {
    if said.is_empty() { String::new() } else { format!(": {said}") }
}

fn unknown(what: impl Into<String>, why: impl ToString) -> Taken {
    Taken::Unknown { what: what.into(), why: why.to_string() }
}

/// Demands that everything that was configured says "free".
pub(super) async fn check(interlock: &InterlockConfig, lookup: &Lookup, now: Timestamp) -> Result<(), Taken> {
    if let Some(path) = &interlock.file {
        check_file(path)?;
    }
    if let [program, arguments @ ..] = interlock.probe.as_slice() {
        let limit = interlock.probe_timeout.map_or(super::PROBE, |length| length.0.unsigned_abs());
        check_probe(program, arguments, limit).await?;
    }
    match &interlock.lease {
        Some(lease) => match tokio::time::timeout(super::PROBE, check_lease(lease, lookup, now)).await {
            Ok(free) => free,
            Err(_) => {
                let lease = format!("Lease {}", String::from(lease.clone()));
                Err(unknown(lease, format!("no answer within {} s", super::PROBE.as_secs())))
            }
        },
        None => Ok(()),
    }
}

fn check_file(path: &Path) -> Result<(), Taken> {
    match path.symlink_metadata() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(unknown(path.display().to_string(), error)),
        Ok(metadata) => {
            let mut text = Vec::new();
            // Only what a plain file says is read: a pipe would never end. What cannot be read says nothing.
            if metadata.is_file() {
                let _ = std::fs::File::open(path).and_then(|file| file.take(SAID).read_to_end(&mut text));
            }
            Err(Taken::File { path: path.to_owned(), said: first_line(&text) })
        }
    }
}

async fn check_probe(program: &str, arguments: &[String], limit: Duration) -> Result<(), Taken> {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
    let mut child = command.spawn().map_err(|error| unknown(program, error))?;
    let mut out = child.stdout.take();
    let run = async {
        let mut text = Vec::new();
        if let Some(out) = &mut out {
            out.take(SAID).read_to_end(&mut text).await?;
        }
        drop(out.take());
        Ok::<_, std::io::Error>((child.wait().await?, text))
    };
    match tokio::time::timeout(limit, run).await {
        Err(_) => Err(unknown(program, format!("no answer within {} s", limit.as_secs_f64()))),
        Ok(Err(error)) => Err(unknown(program, error)),
        Ok(Ok((status, _))) if status.success() => Ok(()),
        Ok(Ok((status, text))) => {
            let code = status.code().map_or_else(|| status.to_string(), |code| format!("exit code {code}"));
            Err(Taken::Probe { program: program.to_owned(), code, said: first_line(&text) })
        }
    }
}

async fn check_lease(lease: &LeaseName, lookup: &Lookup, now: Timestamp) -> Result<(), Taken> {
    let name = String::from(lease.clone());
    let failed = |why: String| unknown(format!("Lease {}", String::from(lease.clone())), why);
    let cluster = Cluster::connect(lookup).await.map_err(|error| failed(error.to_string()))?;
    match cluster.lease_holder(lease.namespace.as_str(), lease.name.as_str(), now).await {
        Ok(None) => Ok(()),
        Ok(Some(holder)) => Err(Taken::Lease { lease: name, holder }),
        Err(error) => Err(failed(error.to_string())),
    }
}

/// The first line, without what a terminal would act upon.
fn first_line(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let line = text.lines().next().unwrap_or_default().trim();
    line.chars().filter(|c| !c.is_control()).take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn probed(script: &str, limit: Duration) -> Result<(), Taken> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(check_probe("/bin/sh", &["-c".to_owned(), script.to_owned()], limit))
    }

    #[test]
    fn a_probe_is_free_with_exit_code_0_and_with_nothing_else() {
        let long = Duration::from_secs(30);
        assert_eq!(probed("echo busy; exit 0", long), Ok(()));
        let taken = probed("echo patient in the scanner; echo more; exit 3", long).unwrap_err();
        assert_eq!(taken.to_string(), "/bin/sh ended with exit code 3: patient in the scanner");
        assert!(matches!(probed("kill -9 $$", long), Err(Taken::Probe { code, .. }) if code.contains('9')));
        assert!(matches!(probed("sleep 60", Duration::from_millis(50)), Err(Taken::Unknown { .. })));
        assert!(probed("head -c 100000 /dev/zero; exit 1", long).is_err(), "what it prints is bounded");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let absent = runtime.block_on(check_probe("/nonexistent/probe", &[], long)).unwrap_err();
        assert!(
            absent.to_string().starts_with("/nonexistent/probe cannot be asked, which counts as in use"),
            "{absent}"
        );
    }

    #[test]
    fn a_file_is_taken_while_it_is_there_whatever_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("in-use");
        assert_eq!(check_file(&path), Ok(()));
        std::fs::write(&path, "Dr. Weiss\u{1b}[2J, room 4\nuntil noon\n").unwrap();
        let taken = check_file(&path).unwrap_err().to_string();
        assert_eq!(taken, format!("{} is there: Dr. Weiss[2J, room 4", path.display()));
        std::fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink("/nonexistent", &path).unwrap();
        assert!(check_file(&path).is_err(), "a link that leads nowhere");
        assert!(matches!(check_file(&dir.path().join("in-use/below")), Err(Taken::Unknown { .. }) | Ok(())));
    }
}
