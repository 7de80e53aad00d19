//! Asks a program of the machine something, with an end in time and in length: one that hangs is an answer as well.

use std::io::{Read, Seek, SeekFrom};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Nobody's `PATH` is asked.
const FOLDERS: &str = "/usr/bin:/bin:/usr/sbin:/sbin";
const PAUSE: Duration = Duration::from_millis(20);
/// What is kept of an answer: its end.
const ANSWER: u64 = 1 << 20;

/// What a program prints, at most its last MiB. It is shown nothing of our environment, and asked for nothing by hand.
///
/// # Errors
/// Why there is no answer: it is not there, it failed, it took longer than `within`.
pub fn ask(program: &str, arguments: &[&str], within: Duration) -> Result<Vec<u8>, String> {
    let text = |error: std::io::Error| error.to_string();
    // Into a file without a name: a pipe that nobody reads would stop a program that says much.
    let mut said = tempfile::tempfile().map_err(text)?;
    let found = FOLDERS.split(':').map(|folder| std::path::Path::new(folder).join(program)).find(|path| path.is_file());
    let mut command = Command::new(found.ok_or_else(|| format!("{program} is not here"))?);
    command.args(arguments).env_clear().env("PATH", FOLDERS).env("LC_ALL", "C").current_dir("/");
    command.stdin(Stdio::null()).stdout(said.try_clone().map_err(text)?).stderr(Stdio::null());
    let mut child = command.spawn().map_err(text)?;
    let begun = Instant::now();
    let status = loop {
        match child.try_wait().map_err(text)? {
            Some(status) => break status,
            None if begun.elapsed() >= within => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(format!("{program} did not end in {} seconds", within.as_secs()));
            }
            None => std::thread::sleep(PAUSE),
        }
    };
    if !status.success() {
        return Err(format!("{program}: {status}"));
    }
    let length = said.metadata().map_err(text)?.len();
    let mut answer = Vec::new();
    said.seek(SeekFrom::Start(length.saturating_sub(ANSWER))).map_err(text)?;
    said.take(ANSWER).read_to_end(&mut answer).map_err(text)?;
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_has_an_end() {
        let long = Duration::from_secs(60);
        assert_eq!(ask("echo", &["a", "b"], long).unwrap(), b"a b\n");
        assert!(ask("false", &[], long).unwrap_err().contains("exit status: 1"));
        assert!(ask("no-such-program", &[], long).unwrap_err().contains("not here"));
        assert!(ask("sleep", &["600"], Duration::from_millis(50)).unwrap_err().contains("did not end"));
        let many = ask("seq", &["400000"], long).unwrap();
        assert_eq!(many.len() as u64, ANSWER);
        assert!(many.ends_with(b"400000\n"));
    }
}
