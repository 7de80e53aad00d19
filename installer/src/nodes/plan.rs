//! What a node should have, for all of its runtimes together.

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Command, Stdio};

use super::{NodesError, Place, Runtime, Setup, Wanted, WantedFile, containerd, containers, openshift, rancher};

/// The files and the advice for these runtimes; a file that several read is one file.
pub fn wanted(setup: &Setup, place: &Place, runtimes: &BTreeSet<Runtime>) -> Result<Wanted, NodesError> {
    let mut files: BTreeMap<String, WantedFile> = BTreeMap::new();
    let mut all = Wanted::default();
    for runtime in runtimes {
        let wanted = of_one(setup, place, *runtime)?;
        all.advice.extend(wanted.advice);
        for file in wanted.files {
            match files.get_mut(&file.path) {
                None => {
                    files.insert(file.path.clone(), file);
                }
                Some(known) => {
                    known.restart |= file.restart;
                    known.runtimes.extend(file.runtimes);
                }
            }
        }
    }
    all.files = files.into_values().collect();
    Ok(all)
}

fn of_one(setup: &Setup, place: &Place, runtime: Runtime) -> Result<Wanted, NodesError> {
    match runtime {
        Runtime::Containerd => containerd::wanted(setup, place, containerd_version(place)),
        Runtime::K3s | Runtime::Rke2 => rancher::wanted(runtime, setup, place),
        Runtime::Crio | Runtime::Podman => containers::wanted(runtime, setup, place),
        Runtime::Microk8s => containerd::wanted_microk8s(setup, place),
        Runtime::Openshift => Ok(openshift::wanted(setup)),
    }
}

/// The version of this machine's containerd. Below another root folder no program is run, so it is not known there.
fn containerd_version(place: &Place) -> Option<(u32, u32)> {
    if !place.is_machine() {
        return None;
    }
    let said = Command::new("containerd").arg("--version").stdin(Stdio::null()).output().ok()?;
    version_in(&String::from_utf8_lossy(&said.stdout))
}

/// `containerd github.com/containerd/containerd/v2 v2.2.1 HASH`, with `~ds1` or without `v` where a distribution built it.
fn version_in(said: &str) -> Option<(u32, u32)> {
    let word = said.split_whitespace().nth(2)?;
    let mut parts = word.trim_start_matches('v').split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_found_in_what_containerd_says() {
        for (said, version) in [
            ("containerd github.com/containerd/containerd 1.6.20~ds1 1.6.20~ds1-1+deb12u3", Some((1, 6))),
            ("containerd github.com/containerd/containerd/v2 v2.2.1 dea7da5", Some((2, 2))),
            ("containerd github.com/containerd/containerd/v2 2.4.2+unknown", Some((2, 4))),
            ("containerd: command not found", None),
            ("", None),
        ] {
            assert_eq!(version_in(said), version, "{said}");
        }
    }
}
