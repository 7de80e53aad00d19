//! The hook: a command of the site's that is told of every event. What it does, and whether it fails, changes nothing here.

use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use super::Event;

/// A hook that takes longer is ended.
const LIMIT: Duration = Duration::from_secs(60);

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
    #[error("the hook {program} was ended after {} s", LIMIT.as_secs())]
    Endless {
        /// The command.
        program: String,
    },
}

/// Runs the hook, if there is one, with the event as a line of JSON on its standard input.
///
/// # Errors
/// [`HookError`], for the log.
pub async fn run(hook: &[String], event: &Event) -> Result<(), HookError> {
    let [program, arguments @ ..] = hook else { return Ok(()) };
    let failed = |source| HookError::Io { program: program.clone(), source };
    let mut line = serde_json::to_vec(event).map_err(|error| failed(error.into()))?;
    line.push(b'\n');
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::null()).kill_on_drop(true);
    let mut child = command.spawn().map_err(failed)?;
    let told = async {
        if let Some(mut stdin) = child.stdin.take() {
            // A hook that does not care to read is not broken.
            let _ = stdin.write_all(&line).await;
        }
        child.wait().await
    };
    match tokio::time::timeout(LIMIT, told).await {
        Err(_) => Err(HookError::Endless { program: program.clone() }),
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
        runtime.block_on(run(&hook, &Event::new(What::Activated)))
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
        let absent = runtime.block_on(run(&["/nonexistent".to_owned()], &Event::new(What::Activated)));
        assert!(matches!(absent, Err(HookError::Io { .. })));
    }
}
