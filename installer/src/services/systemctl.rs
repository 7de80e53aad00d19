//! systemd, by its `systemctl`: one program, an empty environment, arguments that are checked units and nothing else.

use std::fs::File;
use std::io::{self, Read, Seek};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use super::{ServiceManager, ServicesError};
use crate::store::units::UnitState;

/// Where a machine's own programs lie. Nobody's `PATH` is asked.
const FOLDERS: [&str; 4] = ["/usr/bin", "/bin", "/usr/sbin", "/sbin"];
/// Longer than this nothing is waited for: a unit may start without an end.
const LONGEST: Duration = Duration::from_secs(600);
/// How often it is looked at whether a call has ended.
const PAUSE: Duration = Duration::from_millis(50);
/// What is kept of an answer.
const ANSWER: u64 = 64 << 10;

/// `systemctl` of this machine.
#[derive(Debug)]
pub struct Systemctl {
    program: PathBuf,
}

impl Systemctl {
    /// The one of this machine; `None` for a site below a folder of its own, whose units are not the machine's, and
    /// where there is none.
    pub fn of_machine(root: &Path) -> Option<Self> {
        if root == Path::new("/") { Self::in_folders(&FOLDERS.map(PathBuf::from)) } else { None }
    }

    /// The first one in these folders.
    pub fn in_folders(folders: &[PathBuf]) -> Option<Self> {
        let program = folders.iter().map(|folder| folder.join("systemctl")).find(|program| program.is_file())?;
        Some(Systemctl { program })
    }

    fn run(&self, arguments: &[&str]) -> Result<String, ServicesError> {
        let refused = |reason: String| ServicesError::Refused { what: arguments.join(" "), reason };
        let failed = |error: io::Error| refused(error.to_string());
        let mut command = Command::new(&self.program);
        command.args(["--no-ask-password", "--no-pager", "--quiet"]).args(arguments);
        command.env_clear().env("PATH", FOLDERS.join(":")).env("LC_ALL", "C").current_dir("/");
        // Into files without a name: a pipe that nobody reads would stop a program that says much.
        let (said, complained) = (unnamed().map_err(failed)?, unnamed().map_err(failed)?);
        command.stdin(Stdio::null());
        command.stdout(said.try_clone().map_err(failed)?).stderr(complained.try_clone().map_err(failed)?);
        let mut child = command.spawn().map_err(failed)?;
        let Some(ended) = wait(&mut child).map_err(failed)? else {
            return Err(refused(format!("it has not ended after {} s", LONGEST.as_secs())));
        };
        match ended.success() {
            true => text(said).map_err(failed),
            false => Err(refused(format!("{ended}: {}", text(complained).map_err(failed)?.trim()))),
        }
    }
}

impl ServiceManager for Systemctl {
    fn state(&self, unit: &str) -> Result<UnitState, ServicesError> {
        let said = self.run(&["show", "--property=UnitFileState", "--property=ActiveState", "--", unit])?;
        let value = |name: &str| said.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        let (Some(file), Some(active)) = (value("UnitFileState"), value("ActiveState")) else {
            let reason = "it does not say how the unit is".to_owned();
            return Err(ServicesError::Refused { what: format!("show {unit}"), reason });
        };
        let active = ["active", "activating", "reloading"].contains(&active);
        Ok(UnitState { enabled: ["enabled", "enabled-runtime"].contains(&file), active })
    }

    fn reload(&self) -> Result<(), ServicesError> {
        self.run(&["daemon-reload"]).map(drop)
    }

    fn enable(&self, unit: &str, enable: bool) -> Result<(), ServicesError> {
        self.run(&[if enable { "enable" } else { "disable" }, "--", unit]).map(drop)
    }

    fn restart(&self, unit: &str) -> Result<(), ServicesError> {
        self.run(&["restart", "--", unit]).map(drop)
    }

    fn stop(&self, unit: &str) -> Result<(), ServicesError> {
        self.run(&["stop", "--", unit]).map(drop)
    }
}

/// How it ended; `None` if it had to be ended.
fn wait(child: &mut Child) -> io::Result<Option<ExitStatus>> {
    let begun = Instant::now();
    loop {
        if let Some(ended) = child.try_wait()? {
            return Ok(Some(ended));
        }
        if begun.elapsed() > LONGEST {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        std::thread::sleep(PAUSE);
    }
}

fn unnamed() -> io::Result<File> {
    Ok(File::from(rustix::fs::memfd_create("systemctl", rustix::fs::MemfdFlags::CLOEXEC)?))
}

fn text(mut file: File) -> io::Result<String> {
    let mut bytes = Vec::new();
    file.rewind()?;
    file.take(ANSWER).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
