//! containerd's hosts.toml: a folder per upstream host, and `_default` for all others.
//!
//! Each file names the server twice, as `server` and as a host: with `server` alone, containerd 1.6 and 1.7 read
//! nothing of it and ask the internet; without `server`, every version asks the upstream once the hosts said no.

use std::fmt::Write as _;

use toml::Value;

use super::containerd_config::{ContainerdConfig, OUR_FILE, PATH, inside};
use super::{Advice, HEADER, NodesError, Place, Runtime, Setup, Wanted, text};

/// Where containerd looks by its own documentation, and by itself since 2.2.
pub const FOLDER: &str = "/etc/containerd/certs.d";

/// Where MicroK8s tells its containerd to look.
pub const MICROK8S_FOLDER: &str = "/var/snap/microk8s/current/args/certs.d";

/// The first version that looks into [`FOLDER`] without being told.
const LOOKS_BY_ITSELF: (u32, u32) = (2, 2);

/// What a node with containerd should have. `version` is that of the program, where it is known.
pub fn wanted(setup: &Setup, place: &Place, version: Option<(u32, u32)>) -> Result<Wanted, NodesError> {
    let config = ContainerdConfig::read(place)?;
    let by_itself = version.is_some_and(|version| version >= LOOKS_BY_ITSELF);
    refuse_legacy(&config, place)?;
    let folder = folder(&config, place);
    let mut wanted = Wanted::default();
    hosts_toml(&mut wanted, Runtime::Containerd, setup, place, &folder)?;
    if config.config_path.is_none() && !by_itself {
        point_there(&mut wanted, &config, place, &folder)?;
    }
    if config.cri_disabled {
        wanted.advice.push(Advice {
            runtime: Runtime::Containerd,
            message: format!(
                "{} switches off the part of containerd that serves Kubernetes",
                place.name(PATH).display()
            ),
            fix: "take `cri` out of disabled_plugins if this containerd is meant to run pods".to_owned(),
            needed: false,
        });
    }
    Ok(wanted)
}

/// What a node with MicroK8s should have: its containerd is told already where to look.
pub fn wanted_microk8s(setup: &Setup, place: &Place) -> Result<Wanted, NodesError> {
    let mut wanted = Wanted::default();
    hosts_toml(&mut wanted, Runtime::Microk8s, setup, place, MICROK8S_FOLDER)?;
    Ok(wanted)
}

/// The folder of hosts.toml: the first that is configured, for a host that is in two is read there.
pub fn folder(config: &ContainerdConfig, place: &Place) -> String {
    let first = config.config_path.as_deref().and_then(|path| path.split(':').find(|part| !part.is_empty()));
    first.map_or(FOLDER.to_owned(), |path| inside(place, path.trim_end_matches('/')))
}

fn refuse_legacy(config: &ContainerdConfig, place: &Place) -> Result<(), NodesError> {
    if !config.legacy {
        return Ok(());
    }
    let file = place.name(PATH);
    let message = if config.config_path.is_some() {
        format!("{} has config_path together with registry.mirrors or TLS settings, which is an error", file.display())
    } else {
        format!("{} has registry.mirrors or TLS settings, and with those no hosts.toml is read", file.display())
    };
    let fix = "take registry.mirrors and the tls tables of registry.configs out, then run again".to_owned();
    Err(NodesError::Conflict { runtime: Runtime::Containerd, message, fix })
}

/// Lets containerd look into the folder: by a file of ours where that is safe, else by a person.
fn point_there(wanted: &mut Wanted, config: &ContainerdConfig, place: &Place, folder: &str) -> Result<(), NodesError> {
    let lines = config.lines(&text(place.name(folder))?);
    let runtime = Runtime::Containerd;
    if let Some(conf_d) = config.drop_in_folder() {
        let content = format!("{HEADER}version = {}\n\n{lines}", config.version);
        wanted.file(runtime, format!("{}{OUR_FILE}", inside(place, conf_d)), content, false, true);
        return Ok(());
    }
    let file = place.name(PATH);
    let version = if config.exists { String::new() } else { "version = 2\n".to_owned() };
    wanted.advice.push(Advice {
        runtime,
        message: format!("containerd is not told to look into {}", place.name(folder).display()),
        fix: format!("put these lines into {} and restart containerd:\n{version}{}", file.display(), lines.trim_end()),
        needed: true,
    });
    Ok(())
}

fn hosts_toml(
    wanted: &mut Wanted,
    runtime: Runtime,
    setup: &Setup,
    place: &Place,
    folder: &str,
) -> Result<(), NodesError> {
    let authority = match setup.needed_authority() {
        Some(certificates) => {
            let path = format!("{folder}/site-ca.crt");
            wanted.file(runtime, path.clone(), format!("{HEADER}{certificates}"), false, false);
            Some(text(place.name(&path))?)
        }
        None => None,
    };
    let content = hosts_file(setup, authority.as_deref());
    let hosts = setup.hosts.iter().map(|host| host_folder(host));
    for name in std::iter::once("_default".to_owned()).chain(hosts) {
        let path = format!("{folder}/{name}/hosts.toml");
        wanted.file(runtime, path, content.clone(), setup.credentials.is_some(), false);
    }
    Ok(())
}

/// `HOST_PORT_`, or the host alone: the form that is looked for first.
fn host_folder(host: &str) -> String {
    match host.rsplit_once(':') {
        Some((name, port)) => format!("{name}_{port}_"),
        None => host.to_owned(),
    }
}

fn hosts_file(setup: &Setup, authority: Option<&str>) -> String {
    let quoted = |text: &str| Value::String(text.to_owned()).to_string();
    let mut out = HEADER.to_owned();
    if let Some(first) = setup.servers.first() {
        let _ = writeln!(out, "server = {}", quoted(&first.to_string()));
    }
    for server in &setup.servers {
        let name = quoted(&server.to_string());
        let _ = write!(out, "\n[host.{name}]\n  capabilities = [\"pull\", \"resolve\"]\n");
        if let Some(path) = authority.filter(|_| server.tls()) {
            let _ = writeln!(out, "  ca = {}", quoted(path));
        }
        // Known since containerd 2.1; earlier ones pass over it and wait for 30 seconds.
        out += "  dial_timeout = \"2s\"\n";
        if let Some(credentials) = &setup.credentials {
            let basic = quoted(&format!("Basic {}", credentials.encoded()));
            let _ = write!(out, "  [host.{name}.header]\n    authorization = {basic}\n");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_with_a_port_have_a_folder_of_their_own_form() {
        for (host, folder) in
            [("quay.io", "quay.io"), ("corp:5000", "corp_5000_"), ("[fd00::1]:5000", "[fd00::1]_5000_")]
        {
            assert_eq!(host_folder(host), folder);
        }
    }
}
