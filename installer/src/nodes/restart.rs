//! Lets runtimes read their configuration anew, which they do only when a person said so: pods may feel it.

use std::collections::BTreeSet;
use std::process::{Command, Stdio};

use super::{NodesError, Place, Runtime};

/// What has to be run for a runtime; `None` where it reads its files at every pull.
fn commands(runtime: Runtime) -> Option<(&'static str, &'static [&'static str])> {
    match runtime {
        Runtime::Containerd => Some(("restart", &["containerd"])),
        Runtime::K3s => Some(("restart", &["k3s", "k3s-agent"])),
        Runtime::Rke2 => Some(("restart", &["rke2-server", "rke2-agent"])),
        Runtime::Crio => Some(("reload", &["crio"])),
        Runtime::Podman | Runtime::Microk8s | Runtime::Openshift => None,
    }
}

/// What a person would type, for each runtime that needs it.
pub fn needed(runtimes: &BTreeSet<Runtime>) -> Vec<String> {
    let line = |(verb, units): (&str, &[&str])| format!("systemctl {verb} {}", units.join("   # or "));
    runtimes.iter().filter_map(|runtime| commands(*runtime)).map(line).collect()
}

/// Restarts or reloads the units of these runtimes that run, and returns what was run.
pub fn run(place: &Place, runtimes: &BTreeSet<Runtime>) -> Result<Vec<String>, NodesError> {
    if !place.is_machine() {
        return Err(NodesError::RestartElsewhere);
    }
    let mut done = Vec::new();
    for (verb, units) in runtimes.iter().filter_map(|runtime| commands(*runtime)) {
        for unit in units.iter().filter(|unit| systemctl(&["is-active", "--quiet", unit]).is_ok()) {
            systemctl(&[verb, unit])?;
            done.push(format!("systemctl {verb} {unit}"));
        }
    }
    Ok(done)
}

fn systemctl(arguments: &[&str]) -> Result<(), NodesError> {
    let command = format!("systemctl {}", arguments.join(" "));
    let failed = |said: String| NodesError::Restart { command: command.clone(), said };
    let output = Command::new("systemctl").args(arguments).stdin(Stdio::null()).output();
    let output = output.map_err(|error| failed(error.to_string()))?;
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    if output.status.success() { Ok(()) } else { Err(failed(said)) }
}
