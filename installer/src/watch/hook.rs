//! The hook: a command of the site's that is told of every event. What it does, and whether it fails, changes nothing here.

use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use super::Event;

/// The hook did not do its part.
#[derive(Debug, thiserror::Error)]
pub enum HookError {
    /// It cannot be started or spoken to.
    #[error("the hook {program} cannot be run: {source}")]
    Io {
        /// The command.
        program: String,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// It says that it failed.
    #[error("the hook {program} ended with {status}")]
    Failed {
        /// The command.
        program: String,
        /// How.
        status: String,
    },
    /// It does not end.
    #[error("the hook {program} was ended after {} s", limit.as_secs_f64())]
    Endless {
        /// The command.
        program: String,
        /// How long it had.
        limit: Duration,
    },
}

/// Runs the hook, if there is one, with the event as a line of JSON on its standard input. What takes longer than `limit`
/// is ended, with everything that it has started and that is still of its group.
///
/// # Errors
/// [`HookError`], for the log.
pub async fn run(hook: &[String], limit: Duration, event: &Event) -> Result<(), HookError> {
    let [program, arguments @ ..] = hook else { return Ok(()) };
    let failed = |source| HookError::Io { program: program.clone(), source };
    let mut line = serde_json::to_vec(event).map_err(|error| failed(error.into()))?;
    line.push(b'\n');
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::null()).process_group(0).kill_on_drop(true);
    let mut child = command.spawn().map_err(failed)?;
    let group = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
    let told = async {
        if let Some(mut stdin) = child.stdin.take() {
            // A hook that does not care to read is not broken.
            let _ = stdin.write_all(&line).await;
        }
        child.wait().await
    };
    match tokio::time::timeout(limit, told).await {
        Err(_) => {
            // It may have ended this very moment.
            let _ = group.map(|group| kill_process_group(group, Signal::KILL));
            let _ = child.wait().await;
            Err(HookError::Endless { program: program.clone(), limit })
        }
        Ok(Err(source)) => Err(failed(source)),
        Ok(Ok(status)) if status.success() => Ok(()),
        Ok(Ok(status)) => Err(HookError::Failed { program: program.clone(), status: status.to_string() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watch::What;

    fn ran(script: &str) -> Result<(), HookError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let hook = ["/bin/sh", "-c", script].map(str::to_owned);
        runtime.block_on(run(&hook, Duration::from_secs(600), &Event::new(What::Activated)))
    }

    #[test]
    fn a_hook_is_told_in_json_and_its_failure_is_told_in_turn() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("told");
        ran(&format!("cat > {}", file.display())).unwrap();
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "{\"event\":\"activated\"}\n");
        ran("exit 0").unwrap();
        assert!(matches!(ran("exit 3"), Err(HookError::Failed { status, .. }) if status.contains('3')));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (nothing, event) = (["/nonexistent".to_owned()], Event::new(What::Activated));
        let absent = runtime.block_on(run(&nothing, Duration::from_secs(600), &event));
        assert!(matches!(absent, Err(HookError::Io { .. })));
    }

    #[test]
    fn a_hook_that_does_not_end_is_ended_with_what_it_has_started() {
        let dir = tempfile::tempdir().unwrap();
        let pipe = dir.path().join("pipe");
        rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR).unwrap();
        let both = std::fs::OpenOptions::new().read(true).write(true).open(&pipe).unwrap();
        let mut end = std::fs::File::open(&pipe).unwrap();
        let script = format!("sleep 600 > {} & wait", pipe.display());
        let hook = ["/bin/sh", "-c", &script].map(str::to_owned);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let told = runtime.block_on(run(&hook, Duration::from_millis(500), &Event::new(What::Activated)));
        assert!(matches!(told, Err(HookError::Endless { .. })));
        drop(both);
        let mut said = Vec::new();
        std::io::Read::read_to_end(&mut end, &mut said).unwrap();
        assert_eq!(said, b"", "a pipe ends once nobody has it open to write: at once, and not after ten minutes");
    }
}
