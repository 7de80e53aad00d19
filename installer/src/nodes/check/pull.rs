//! A canary pull by the runtime itself, by tag and by digest, where its program is here and it runs.

use std::ffi::OsString;
use std::path::Path;

use consign_format::Reference;

use super::Proof;
use super::reach::forms;
use super::run::{Call, said};
use super::trap::Trap;
use crate::nodes::containerd_config::ContainerdConfig;
use crate::nodes::{Place, Runtime, Setup, containerd, containers};

const UPSTREAM: &str = "nothing asks upstream";

/// A way to let a runtime pull.
struct Way {
    /// What does it, in words.
    by: &'static str,
    /// Whether the program itself asks registries; if not, a daemon does, which no trap is around.
    asks_itself: bool,
    call: Call,
    /// What stands before the image's name.
    before: &'static str,
    /// Kept until the pull is over.
    _scratch: Option<tempfile::TempDir>,
}

/// Every way there is here; each pulls by tag and by digest.
pub(super) fn by_runtime(place: &Place, setup: &Setup, runtime: Runtime, canary: &Reference) -> Vec<Proof> {
    let ways = ways(place, setup, runtime);
    if ways.is_empty() {
        let why = "its program or its socket is not here, or this program cannot use it";
        return vec![Proof::unproven(Some(runtime), "a pull by the runtime itself", why)];
    }
    let mut proofs: Vec<Proof> = ways.iter().flat_map(|way| pull(way, setup, runtime, canary)).collect();
    if runtime != Runtime::Podman && ways.iter().all(|way| way.asks_itself) {
        let why = "crictl is not here; that the daemon was restarted since its settings changed is for you to know";
        proofs.push(Proof::unproven(Some(runtime), "a pull as Kubernetes makes it", why));
    }
    proofs
}

fn pull(way: &Way, setup: &Setup, runtime: Runtime, canary: &Reference) -> Vec<Proof> {
    let about = Some(runtime);
    let trap = if way.asks_itself {
        Trap::set(&setup.servers)
    } else {
        Err(format!("{} lets a daemon ask; the registry's log shows what it was asked", way.by))
    };
    let mut proofs = Vec::new();
    for reference in forms(canary) {
        let mut call = way.call.clone();
        call.words.push(format!("{}{reference}", way.before).into());
        let call = trap.as_ref().map_or(call.clone(), |trap| trap.around(&call));
        let what = format!("{} pulls {reference}", way.by);
        proofs.push(match call.run() {
            Ok(()) => Proof::proven(about, what),
            Err(seen) => Proof::failed(about, what, seen, "see the other findings, and the log of the registry"),
        });
    }
    proofs.push(match trap {
        Err(why) => Proof::unproven(about, UPSTREAM, why),
        Ok(trap) => match trap.asked().as_slice() {
            [] => Proof::proven(about, UPSTREAM),
            asked => {
                let seen = format!("{} asked for {}", way.by, asked.join(", "));
                Proof::failed(
                    about,
                    UPSTREAM,
                    seen,
                    "run consign-site nodes write, and see that no other file leads there",
                )
            }
        },
    });
    proofs
}

fn ways(place: &Place, setup: &Setup, runtime: Runtime) -> Vec<Way> {
    match runtime {
        Runtime::Containerd => {
            let config = ContainerdConfig::read(place).unwrap_or_default();
            let folder = place.name(&containerd::folder(&config, place));
            let socket = "/run/containerd/containerd.sock";
            ctr(place, &["ctr"], socket, &folder).into_iter().chain(crictl(place, "crictl", socket)).collect()
        }
        Runtime::K3s => crictl(place, "crictl", "/run/k3s/containerd/containerd.sock").into_iter().collect(),
        Runtime::Rke2 => {
            let program = "/var/lib/rancher/rke2/bin/crictl";
            crictl(place, program, "/run/k3s/containerd/containerd.sock").into_iter().collect()
        }
        Runtime::Microk8s => {
            let folder = place.name(containerd::MICROK8S_FOLDER);
            let socket = "/var/snap/microk8s/common/run/containerd.sock";
            ctr(place, &["microk8s", "ctr"], socket, &folder).into_iter().collect()
        }
        Runtime::Crio => {
            let by_files = podman(place, setup).or_else(|| skopeo(place, setup));
            crictl(place, "crictl", "/run/crio/crio.sock").into_iter().chain(by_files).collect()
        }
        Runtime::Podman => podman(place, setup).or_else(|| skopeo(place, setup)).into_iter().collect(),
        Runtime::Openshift => Vec::new(),
    }
}

fn ctr(place: &Place, program: &[&str], socket: &str, hosts: &Path) -> Option<Way> {
    let (first, rest) = program.split_first()?;
    let help = said(first, &[rest, &["images", "pull", "--help"]].concat())?;
    if !place.has(socket) {
        return None;
    }
    let mut words: Vec<OsString> = program.iter().map(Into::into).collect();
    words.extend(["--address".into(), place.name(socket).into_os_string(), "--namespace".into(), "k8s.io".into()]);
    words.extend(["images", "pull", "--hosts-dir"].map(OsString::from));
    words.push(hosts.as_os_str().to_owned());
    // Newer ones would let the daemon ask, and ask for platforms that no node needs and no sparse index has.
    let flags = ["--local", "--skip-metadata"].into_iter().filter(|flag| help.contains(flag));
    words.extend(flags.map(OsString::from));
    Some(Way { by: "ctr", asks_itself: true, call: Call::of(words), before: "", _scratch: None })
}

fn crictl(place: &Place, program: &str, socket: &str) -> Option<Way> {
    said(program, &["--version"])?;
    let endpoint = format!("unix://{}", place.name(socket).display());
    let call = Call::of([program, "--runtime-endpoint", &endpoint, "--image-endpoint", &endpoint, "pull"]);
    place.has(socket).then_some(Way { by: "crictl", asks_itself: false, call, before: "", _scratch: None })
}

/// podman with a storage of its own that is thrown away: all of the image comes over the wire, and nothing stays.
fn podman(place: &Place, setup: &Setup) -> Option<Way> {
    said("podman", &["--version"])?;
    let scratch = tempfile::tempdir().ok()?;
    let mut words: Vec<OsString> = ["podman", "--storage-driver", "vfs", "--root"].map(OsString::from).to_vec();
    words.extend([scratch.path().join("root").into(), "--runroot".into(), scratch.path().join("run").into()]);
    words.extend(["pull", "--quiet"].map(OsString::from));
    Some(by_files("podman", words, place, setup, scratch))
}

fn skopeo(place: &Place, setup: &Setup) -> Option<Way> {
    said("skopeo", &["--version"])?;
    let scratch = tempfile::tempdir().ok()?;
    let words = ["skopeo", "inspect", "--raw"].map(OsString::from).to_vec();
    Some(by_files("skopeo", words, place, setup, scratch))
}

/// Below another root folder the programs are shown its files; on the machine itself they find them.
fn by_files(
    by: &'static str,
    mut words: Vec<OsString>,
    place: &Place,
    setup: &Setup,
    scratch: tempfile::TempDir,
) -> Way {
    let mut environment = Vec::new();
    if !place.is_machine() {
        environment.push(("CONTAINERS_REGISTRIES_CONF", place.name(containers::FILE).into_os_string()));
        if setup.needed_authority().is_some()
            && let Some(server) = setup.servers.iter().find(|server| server.tls())
        {
            let folder = place.name(containers::CERTIFICATES).join(server.address());
            words.extend(["--cert-dir".into(), folder.into_os_string()]);
        }
        if setup.credentials.is_some() {
            words.extend(["--authfile".into(), place.name(containers::LOGINS).into_os_string()]);
        }
    }
    let before = if by == "skopeo" { "docker://" } else { "" };
    Way { by, asks_itself: true, call: Call { words, environment }, before, _scratch: Some(scratch) }
}
